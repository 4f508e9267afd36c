"""A version goes to another name or registry with what speaks for it, and without what was decided elsewhere."""

from __future__ import annotations

import json

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Param

from serving.fleet import Followed, Rules
from serving.registry import Cache
from serving.registry.errors import NotInLedger
from serving.signatures import Trust
from tests.keys import pair
from training.__main__ import main
from training.records import copies, ledger, model_registry, tag_names, tracking


def copy(*words):
    """Copy the champion of line to line-prod."""
    return main(["copy", "--name", "line", "--to", "line-prod", *words])


def served(store, name="line-prod", trust=None):
    """The version that a server would begin with."""
    cache = Cache(store.workspace.folder / f"cache-{name}")
    return Followed("", f"models:/{name}@champion", Rules(cache, trust=trust)).model


def test_a_copy_is_champion_under_its_new_name_by_an_entry_of_its_own(store, capsys):
    """Files and digests stay; the ledger of the new name begins with where it came from."""
    source = model_registry.version("line", "1")
    store.client.log_text(source.run_id, "why", "gate/evidence.json")
    assert copy() == 0
    version, history = model_registry.version("line-prod", "1"), ledger.read("line-prod")
    (entry,) = history.entries
    assert (entry.kind, entry.from_version, entry.to_version) == ("copy", "", "1")
    assert entry.reason.startswith("copied from line version 1 at sqlite:///")
    assert "(entry 1: the first)" in entry.reason
    assert (entry.to_digest, entry.to_files) == (source.digest, source.files)
    assert version.tags[tag_names.ENTRY] in history.marks
    assert version.tags[tag_names.SPLIT] == source.tags[tag_names.SPLIT]
    assert mlflow.artifacts.load_text(f"runs:/{version.run_id}/gate/evidence.json") == "why"
    kept = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/source/ledger_entry.json")
    assert (kept["name"], kept["sequence"]) == ("line", 1)
    model = served(store)
    assert (model.version, model.digest) == ("1", source.digest)
    capsys.readouterr()
    assert main(["history", "--name", "line-prod"]) == 0
    assert "a whole chain of 1; the champion is 1" in " ".join(capsys.readouterr().out.split())


def test_stock_mlflow_loads_a_copy(store):
    """The files are the source's, MLmodel among them."""
    assert copy() == 0
    model = mlflow.pyfunc.load_model("models:/line-prod@champion")
    assert round(float(model.predict(pd.DataFrame({"x": [3.0]}))[0])) == 11


def test_a_copy_goes_from_one_registry_to_another(store, make_workspace, monkeypatch):
    """Staging to production: the other side knows nothing of this one but what came along."""
    production = make_workspace("production")
    assert main(["copy", "--name", "line", "--to", "line", "--to_registry", production.uri]) == 0
    here = model_registry.version("line", "1")
    with copies.elsewhere(production.uri):
        there = ledger.read("line")
        assert [entry.kind for entry in there.entries] == ["copy"]
        assert there.current.files == here.files
        assert there.current.tags[tag_names.COPIED].endswith(" line/1")
        there.current.check_files_now()
        client = mlflow.MlflowClient()
        model = client.get_logged_model(client.get_model_version("line", "1").source.removeprefix("models:/"))
        assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "line", "version": "1"}]
    assert [entry.kind for entry in ledger.read("line").entries] == ["promotion"]


def test_a_copy_that_is_made_again_is_the_same_one(store, capsys):
    """A job that was killed, or a cron job that comes twice."""
    assert copy() == 0
    assert copy() == 0
    assert "version 1 is the champion already" in capsys.readouterr().out
    assert len(model_registry.versions("line-prod")) == len(ledger.read("line-prod").entries) == 1


def test_a_copy_that_ended_before_its_entry_is_gone_on_with(store, monkeypatch):
    """Registered, and not yet champion."""

    def killed(*_, **__):
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "record", killed)
        assert copy() == 2
    assert model_registry.version("line-prod", "1").tags[tag_names.DECISION] == "undecided"
    assert copy() == 0
    assert [version.number for version in model_registry.versions("line-prod")] == ["1"]
    assert ledger.read("line-prod").serving == "1"


def test_what_was_never_promoted_becomes_no_champion(store, capsys):
    """The gate of the target may take it."""
    assert copy("--version", "2") == 2
    assert "line version 2 was never promoted" in capsys.readouterr().err
    assert copy("--version", "2", "--promote", "never") == 0
    assert "-e promote -P name=line-prod -P version=1" in " ".join(capsys.readouterr().out.split())
    assert ledger.read("line-prod").entries == ()
    words = ["promote", "--name", "line-prod", "--version", "1", "--force", "true", "--reason", "looked at"]
    assert main(words) == 0
    assert ledger.read("line-prod").serving == "1"


def test_a_champion_of_another_origin_keeps_its_place(store, capsys):
    """Nobody compared the two."""
    assert copy() == 0
    for origin in ("sqlite:///here others/1", "sqlite:///elsewhere line/1"):
        store.client.set_model_version_tag("line-prod", "1", tag_names.COPIED, origin)
        assert copy("--version", "1") == 2
        assert " line: copy with promote=never" in capsys.readouterr().err


def test_a_champion_that_came_while_the_files_were_written_keeps_its_place_too(store, monkeypatch, capsys):
    """Its origin was asked for before the work, when there was none."""
    write = copies.write

    def overtaken(*words):
        result = write(*words)
        other = store.client.copy_model_version("models:/line/2", "line-prod")
        store.client.set_registered_model_alias("line-prod", "champion", other.version)
        return result

    monkeypatch.setattr(copies, "write", overtaken)
    assert copy() == 2
    assert "version 2, is no copy of sqlite:///" in capsys.readouterr().err
    history = ledger.read("line-prod")
    assert (history.serving, history.entries) == ("2", ())


def test_the_run_of_a_copy_says_what_was_decided_here_and_what_the_source_was_asked(store, monkeypatch):
    """`mlflow run` has logged this command's params in an experiment that somebody named, and none can be changed."""
    source = model_registry.version("line", "1").run_id
    store.client.log_batch(source, params=[Param("seed", "7"), Param("name", "line")])
    store.client.set_tag(source, tag_names.REASON, "better by 3 %")
    given = store.client.create_run(store.client.create_experiment("handed over")).info.run_id
    store.client.log_param(given, "name", "of this command")
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert copy() == 0
    made = store.client.get_run(model_registry.version("line-prod", "1").run_id)
    assert made.info.run_id == given
    assert made.data.params == {"seed": "7", "name": "of this command"}
    assert tag_names.REASON not in made.data.tags


def test_a_copy_of_new_intervals_has_the_training_of_its_model(store, capsys):
    """A recalibration's run has no rows, error, command, specification or contract: retraining asks for all of them."""
    own = model_registry.version("line", "1").run_id
    experiment = store.client.get_run(own).info.experiment_id
    training = store.client.create_run(
        experiment, tags={tag_names.COMMAND: "python -m training train --seed 7"}
    )
    store.client.log_metric(training.info.run_id, "rows_train", 600)
    for run_id, word in ((training.info.run_id, "trained"), (own, "recalibrated")):
        store.client.log_param(run_id, "data", f"{word}.csv")
        store.client.log_text(run_id, word, "plots/intervals.txt")
    store.client.log_param(training.info.run_id, "seed", "7")
    store.client.log_text(training.info.run_id, "columns: {}", tracking.CONTRACT)
    store.tag("1", tag_names.TRAINED_IN, training.info.run_id)
    assert copy() == 0
    made = model_registry.version("line-prod", "1").trained_in
    assert tracking.recorded_metrics(made)["rows_train"] == 600
    assert tracking.recorded_command(made) == {"seed": "7"}
    assert tracking.recorded_text(made, tracking.CONTRACT) == "columns: {}"
    assert tracking.recorded_text(made, "plots/intervals.txt") == "recalibrated"
    params = store.client.get_run(made).data.params
    assert (params["seed"], params["data"]) == ("7", "trained.csv")  # by which a table is read again
    capsys.readouterr()
    assert main(["reproduce", "--name", "line-prod", "--version", "1"]) == 2
    assert "came after its training, which cannot rebuild them" in capsys.readouterr().err


def test_new_intervals_whose_models_training_is_gone_are_copied_with_what_is_left(store):
    """`mlflow gc` removes what somebody deleted."""
    store.tag("1", tag_names.TRAINED_IN, "0" * 32)
    assert copy() == 0
    assert ledger.read("line-prod").serving == "1"


def test_files_that_changed_are_not_copied(store, capsys):
    """What nobody vouches for here comes to nobody there."""
    with (store.artifacts("1") / "MLmodel").open("a") as file:
        file.write("# more\n")
    assert copy() == 2
    assert "other files than it was registered with" in capsys.readouterr().err
    assert not model_registry.is_known("line-prod")


def test_a_copy_is_signed_anew_and_brings_the_old_signature_along(store, tmp_path, monkeypatch):
    """A signature names one name: the old one is evidence, the new one opens the door."""
    keys = pair(tmp_path)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(keys.private))
    assert main(["sign", "--name", "line"]) == 0
    assert copy() == 0
    trust = Trust((keys.public,))
    assert served(store, trust=trust).version == "1"
    run_id = model_registry.version("line-prod", "1").run_id
    old = mlflow.artifacts.load_text(f"runs:/{run_id}/source/scorer.sig")
    assert trust.check(old, name="line", version="1").statement.sequence == 1


def test_mlflows_own_copy_is_not_served_and_history_says_what_it_is(store, capsys):
    """It takes pin and mark along: it was served though nobody promoted it, and history cried tampering."""
    store.client.copy_model_version("models:/line@champion", "line-prod")
    store.client.set_registered_model_alias("line-prod", "champion", "1")
    with pytest.raises(
        NotInLedger, match="MLflow copied it from line, pin and all, and nobody promoted it here"
    ):
        served(store)
    assert main(["history", "--name", "line-prod"]) == 0
    assert "was copied from line without its ledger" in " ".join(capsys.readouterr().out.split())
    words = ["promote", "--name", "line-prod", "--version", "1", "--force", "true", "--reason", "looked at"]
    store.client.delete_registered_model_alias("line-prod", "champion")
    assert main(words) == 0
    assert served(store).version == "1"
    assert main(["history", "--name", "line-prod"]) == 0


def test_a_mark_of_this_names_own_ledger_stays_a_finding(store, capsys):
    """Whoever renames the ledger's experiment makes no copy of a version."""
    experiment = store.client.get_experiment_by_name("slipway ledger: line")
    store.client.rename_experiment(experiment.experiment_id, "slipway ledger: other")
    assert main(["history", "--name", "line"]) == 3
    assert "the ledger was deleted or rewritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "line"], "to is the name itself"),
        (["--to", "line", "--to_registry", "http://me:secret@models.example.com"], "holds a password"),
        (["--to", "../etc"], "must be up to 100 letters"),
    ],
)
def test_words_that_do_not_fit_are_refused(store, capsys, words, said):
    """A password would be recorded with the run."""
    assert main(["copy", "--name", "line", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "secret" not in err
