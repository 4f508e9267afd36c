"""With --trust the server believes the files and the place of a version that a key signed, whoever writes to MLflow."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.batch import __main__ as batch
from serving.fetch import fetch
from serving.fleet import Followed, Rules
from serving.registry import Cache, promotions
from serving.scorer import Scorer
from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import (
    DIGEST_TAG,
    ENTRY_TAG,
    FILES_TAG,
    PINNED_TAG,
    SIGNATURE_TAG,
    files_digest,
)
from serving.signatures import Trust
from serving.signatures.errors import NotTrusted
from tests.keys import pair
from tests.recorded import recorded
from tests.registered import LINE
from tests.serving.fleet.followed import status, until
from tests.serving.registry.attacked import answer, made, options, refused
from training.__main__ import main
from training.records import ledger, model_registry


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """The pair of whoever signs here."""
    made = pair(tmp_path)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(made.private))
    return made


@pytest.fixture
def signed(store, keys):
    """The registry, its champion signed."""
    assert main(["sign", "--name", "line", "--version", "1"]) == 0
    return store


def promote(version, kind="promotion"):
    """Enter a version into the ledger, and carry that out."""
    return ledger.record(
        ledger.settle("line"), model_registry.version("line", version), kind=kind, reason="a test"
    )


def trusting(store, keys, *more, **words):
    """The options of a server that trusts the key."""
    return options(store, "--trust", str(keys.public), *more, **words)


class Crew:
    """Workers that take every version."""

    def prepare(self, _model):
        """Nobody refuses."""

    def swap(self, _model):
        """Nobody serves."""


class Server:
    """What stands in a server's parent: the version that it would serve, and what /status would say."""

    def __init__(self, store, *keys, model="models:/line@champion", cache="cache", runtime="scorer"):
        rules = Rules(
            Cache(store.workspace.folder / cache),
            allow_unpromoted=model.startswith("runs:"),
            runtime=runtime,
            trust=Trust.in_files([str(each.public) for each in keys]),
        )
        self.followed = Followed("", model, rules)

    @property
    def answer(self):
        """What it predicts for x = 3, and by which version."""
        model = self.followed.model
        return round(float(Scorer.load(Path(model.folder)).predict(np.array([[3.0]]))[0])), model.version

    def look(self):
        """Ask the registry once; return what /status says."""
        self.followed.follow(Crew(), lambda: None)
        return self.followed.status

    def refuses(self, said):
        """Whether what the registry names now is refused with these words."""
        status = self.look()
        return status.state == "REFUSED" and said in status.reason


def bundle_of(version):
    """A version's signature."""
    return model_registry.version("line", version).tags[SIGNATURE_TAG]


@pytest.mark.soak
def test_a_promotion_signs_and_the_server_follows_it(start, signed, keys):
    """Status and metric say by which key, and `history` verifies it."""
    with start(*trusting(signed, keys)) as served:
        assert answer(served) == (11, "1")
        hint = Trust((keys.public,)).keys()[0].hint
        assert status(served)["signed"] == f"by the key {hint[:16]}, entry 1"
        assert 'slipway_signed{model="line"} 1.0' in served.call("/metrics")[1]
        promote("2")
        until(lambda: answer(served) == (11, "2"))
        until(lambda: status(served)["signed"].endswith(", entry 2"))
        ledger.rollback("line")
        until(lambda: answer(served) == (11, "1"))
        until(lambda: status(served)["signed"].endswith(", entry 3"))
        signed.tag("1", SIGNATURE_TAG, None)
        until(lambda: status(served)["state"] == "REFUSED")
        assert refused(*trusting(signed, keys)) == (3, [f"error: {status(served)['reason']}"])
        assert answer(served) == (11, "1")


def test_history_says_who_signed_the_champion(signed, keys, tmp_path, capsys):
    """And ends with 3 where no trusted key did."""
    assert main(["history", "--name", "line", "--trust", str(keys.public)]) == 0
    assert "; signed by the key" in " ".join(capsys.readouterr().out.split())
    other = str(pair(tmp_path, "other").public)
    assert main(["history", "--name", "line", "--trust", other]) == 3
    assert "line version 1 is not trusted: it was signed by the key" in capsys.readouterr().err
    assert main(["history", "--name", "line", "--trust", f"{other}, {keys.public}"]) == 0
    assert main(["history", "--name", "line", "--trust", str(keys.private)]) == 3
    assert "is a private key" in capsys.readouterr().err
    signed.tag("1", SIGNATURE_TAG, None)
    assert main(["history", "--name", "line"]) == 0
    assert main(["history", "--name", "line", "--trust", str(keys.public)]) == 3
    assert "it is not signed" in capsys.readouterr().err


def test_an_unsigned_version_is_refused_until_somebody_signs_it(signed, keys, monkeypatch):
    """A promoter without the key promotes, a second person signs: the server waits for both."""
    server = Server(signed, keys)
    monkeypatch.delenv("SLIPWAY_SIGNING_KEY")
    promote("2")
    assert server.refuses("line version 2 is not trusted: it is not signed")
    assert server.answer == (11, "1")
    with pytest.raises(NotTrusted, match="it is not signed"):
        Server(signed, keys)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(keys.private))
    assert main(["sign", "--name", "line", "--version", "2"]) == 0
    assert server.look().state == "READY"
    assert server.answer == (11, "2")


def attacked(store, version):
    """Put the attacker's scorer where a version's is, with all that MLflow says of it."""
    folder = store.artifacts(version)
    shutil.rmtree(folder / "scorer")
    shutil.copytree(made(store), folder / "scorer")
    digest = digest_in(folder / "scorer")
    for tag, value in ((PINNED_TAG, digest), (DIGEST_TAG, digest), (FILES_TAG, files_digest(folder))):
        store.tag(version, tag, value)


def rewritten(store, change):
    """Write the ledger anew, as whoever can write to the database: each entry changed, the chain whole."""
    history = ledger.read("line")
    entries, previous = [], ""
    for entry in history.entries:
        entries.append(change(entry, previous))
        previous = entries[-1].digest
    with closing(sqlite3.connect(store.workspace.folder / "mlflow.db")) as database, database:
        for entry in entries:
            words = (entry.text, history.run_id, f"{entry.sequence:06d}")
            database.execute("UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?", words)


def test_who_writes_all_of_mlflow_still_has_no_key(signed, keys):
    """Files, tags and the whole ledger rewritten, so that pin and chain agree: the case that no digest closes."""
    server = Server(signed, keys)
    attacked(signed, "1")
    folder = signed.artifacts("1")
    digest, files = digest_in(folder / "scorer"), files_digest(folder)
    rewritten(signed, lambda e, previous: replace(e, to_digest=digest, to_files=files, previous=previous))
    assert Server(signed, cache="fooled").answer == (1011, "1")  # what nothing but a key could have told
    assert server.refuses("scorer/explain.safetensors is changed since it was signed")
    assert server.answer == (11, "1")
    with pytest.raises(NotTrusted, match=r"scorer/explain\.safetensors is changed since it was signed"):
        Server(signed, keys, cache="fresh")
    recorded(
        "security",
        "files, tags and the whole ledger rewritten so that they agree; a server with `--trust`",
        "REFUSED in /status, the version in service stays; another server does not start",
        "no answer of the attacker's",
    )


def test_an_older_version_with_its_old_signature_is_refused(signed, keys):
    """A downgrade to a version with a known fault: the alias moved, then the ledger hidden as well."""
    promote("2")
    server = Server(signed, keys)
    assert server.answer == (11, "2")
    signed.client.set_registered_model_alias("line", "champion", "1")
    assert server.refuses("it was signed for entry 1 of the ledger, and entry 2 was served here already")
    assert server.answer == (11, "2")
    with pytest.raises(NotTrusted, match="the newest is entry 2: go back with rollback"):
        Server(signed, keys, cache="fresh")
    experiment = signed.client.get_experiment_by_name(promotions.home("line"))
    signed.client.rename_experiment(experiment.experiment_id, "hidden")
    assert server.refuses("entry 2 was served here already")
    with pytest.raises(NotTrusted, match="entry 2 was served here already"):
        Server(signed, keys)
    with pytest.raises(NotTrusted, match="there is none now"):
        Server(signed, keys, cache="fresh")
    recorded(
        "security",
        "the alias moved to an older version that was signed once, then the ledger hidden; a server with `--trust`",
        "refused: its signature names an older entry of the ledger than was served",
        "no answer of the older version",
    )


def test_the_signature_of_another_version_or_name_is_refused(signed, keys):
    """Tags can be copied by whoever writes them."""
    first = bundle_of("1")
    promote("2")
    server = Server(signed, keys)
    signed.tag("2", SIGNATURE_TAG, first)
    assert server.refuses("its signature is that of line version 1")
    assert server.answer == (11, "2")
    signed.client.copy_model_version("models:/line/1", "other")
    signed.client.delete_model_version_tag("other", "1", ENTRY_TAG)  # by which the ledger knows a copy
    signed.client.set_registered_model_alias("other", "champion", "1")
    with pytest.raises(
        NotTrusted, match="other version 1 is not trusted: its signature is that of line version 1"
    ):
        Server(signed, keys, model="models:/other@champion")
    recorded(
        "security",
        "a signature moved to another version, or copied to another name; a server with `--trust`",
        "refused: it names the version that it was made for",
        "the version in service stays",
    )


@pytest.mark.parametrize("bundle", ["{}", "x" * 99_000, '{"mediaType":' * 7_000])
def test_garbage_for_a_signature_stops_nothing(signed, keys, bundle):
    """As large as a tag can be, and as deep."""
    server = Server(signed, keys)
    signed.tag("1", SIGNATURE_TAG, bundle)
    assert server.refuses("its signature cannot be read")
    assert server.answer == (11, "1")
    assert main(["sign", "--name", "line", "--version", "1"]) == 0
    assert server.look().state == "READY"


def test_keys_are_rotated_without_a_moment_unserved(signed, keys, tmp_path, monkeypatch):
    """First both are trusted, then the champion is signed anew, then the old key goes."""
    new = pair(tmp_path, "next")
    server = Server(signed, keys, new)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(new.private))
    assert main(["sign", "--name", "line", "--version", "1"]) == 0
    status, hint = server.look(), Trust((new.public,)).keys()[0].hint
    assert (status.state, status.signed) == ("READY", f"by the key {hint[:16]}, entry 1")
    assert Server(signed, new).answer == (11, "1")


def test_a_registry_that_is_down_at_the_start_lifts_no_demand(signed, keys, tmp_path):
    """What the cache remembers is verified too, by the keys that are trusted now."""
    Server(signed, keys)
    (signed.workspace.folder / "mlflow.db").rename(signed.workspace.folder / "away.db")
    server = Server(signed, keys)
    assert server.answer == (11, "1")
    assert server.followed.status.signed.startswith("by the key")
    with pytest.raises(NotTrusted, match="it was signed by the key"):
        Server(signed, pair(tmp_path, "other"))


@pytest.mark.soak
def test_a_folder_is_served_by_the_signature_that_lies_in_it(start, signed, keys, tmp_path, monkeypatch):
    """As in an image or a volume, where no registry can be asked."""
    target = tmp_path / "models"
    said = fetch("models:/line@champion", target, trust=Trust((keys.public,)))
    assert said.startswith("version 1 of line")
    assert sorted(path.name for path in target.iterdir()) == ["scorer", "scorer.sig"]
    with start("--model", str(target), "--trust", str(keys.public)) as served:
        assert answer(served)[0] == 11
        assert status(served, "models")["signed"] == "by the file beside it"
    monkeypatch.delenv("SLIPWAY_SIGNING_KEY")
    with (target / "scorer" / "scorer.json").open("a") as document:
        document.write(" ")
    code, lines = refused("--model", str(target), "--trust", str(keys.public))
    assert (code, lines) == (
        3,
        ["error: line version 1 is not trusted: scorer/scorer.json is changed since it was signed"],
    )
    (target / "scorer.sig").unlink()
    assert (
        "there is no scorer.sig beside its files"
        in refused("--model", str(target), "--trust", str(keys.public))[1][0]
    )


def test_who_fetches_for_another_server_checks_as_it_would(signed, keys, tmp_path):
    """KServe's initializer: what is not signed does not reach the server's volume."""
    signed.tag("1", SIGNATURE_TAG, None)
    with pytest.raises(NotTrusted, match="line version 1 is not trusted: it is not signed"):
        fetch("models:/line@champion", tmp_path / "models", trust=Trust((keys.public,)))
    assert not list((tmp_path / "models").iterdir())


def test_a_model_that_mlflow_runs_is_held_to_all_its_files(signed, keys):
    """Its code runs: one file more is one too many."""
    folder = signed.artifacts("1")
    (folder / "door.py").write_text("import os")
    signed.tag("1", FILES_TAG, files_digest(folder))
    history = ledger.read("line")
    rewritten(signed, lambda e, previous: replace(e, to_files=files_digest(folder), previous=previous))
    assert len(history.entries) == 1
    with pytest.raises(NotTrusted, match=r"door\.py was added since it was signed"):
        Server(signed, keys, runtime="pyfunc")


def test_bytecode_beside_a_model_that_mlflow_runs_is_no_part_of_it(signed, keys, tmp_path):
    """Python would run it in place of the signed source. The attacker drops the digest of all files, too."""
    folder, local = signed.artifacts("1"), tmp_path / "local"
    shutil.copytree(folder, local)
    (local / "scorer.sig").write_text(bundle_of("1"))
    with_bytecode(folder)
    signed.tag("1", FILES_TAG, None)
    rewritten(signed, lambda e, previous: replace(e, to_files="", previous=previous))
    server = Server(signed, keys, runtime="pyfunc")
    assert not list(Path(server.followed.model.folder).rglob("__pycache__"))
    with_bytecode(Path(server.followed.model.folder))
    (signed.workspace.folder / "mlflow.db").rename(signed.workspace.folder / "away.db")
    again = Server(signed, keys, runtime="pyfunc")
    assert not list(Path(again.followed.model.folder).rglob("__pycache__"))
    words = {"model": str(local), "runtime": "pyfunc"}
    assert Server(signed, keys, **words).followed.model.version == ""
    with_bytecode(local)
    with pytest.raises(NotTrusted, match=r"code/__pycache__/mod\.cpython-311\.pyc was added since"):
        Server(signed, keys, **words)


def with_bytecode(folder):
    """Put bytecode into a version's folder."""
    (folder / "code" / "__pycache__").mkdir(parents=True)
    (folder / "code" / "__pycache__" / "mod.cpython-311.pyc").write_bytes(b"an attacker's")


def test_a_batch_is_scored_only_by_a_signed_version(signed, keys, tmp_path, capsys):
    """The same question, in the same words."""
    output, other = tmp_path / "out.csv", pair(tmp_path, "other")
    words = ["--name", "line", "--input", str(LINE), "--output", str(output), "--trust"]
    assert batch.main([*words, str(keys.public)]) == 0
    before = output.read_bytes()
    assert batch.main([*words, str(other.public)]) == 2
    assert "slipway: line version 1 is not trusted: it was signed by the key" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert batch.main([*words, f"{other.public}, {keys.public}"]) == 0


def test_what_no_registry_names_is_signed_by_nobody(signed, keys):
    """A run's artifact has no version and no place in the ledger."""
    run = signed.client.get_model_version("line", "1").run_id
    with pytest.raises(NotTrusted, match="only a registered version is signed"):
        Server(signed, keys, model=f"runs:/{run}/model")


def test_a_key_that_cannot_be_used_stops_a_promotion_before_it_is_entered(signed, keys):
    """Not with the alias half moved."""
    keys.private.chmod(0o644)
    assert main(["rollback", "--name", "line"]) == 2
    assert main(["promote", "--name", "line", "--version", "2", "--force", "true", "--reason", "now"]) == 2
    assert len(ledger.read("line").entries) == 1


def test_stock_mlflow_loads_a_signed_version(signed):
    """A signature is a tag: no file is added to the model."""
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model("models:/line@champion")
    assert round(float(model.predict(pd.DataFrame({"x": [3.0]}))[0])) == 11
    assert json.loads(bundle_of("1"))["mediaType"].startswith("application/vnd.dev.sigstore.bundle")


def test_a_file_in_the_cache_that_was_never_signed_is_fetched_again(signed, keys):
    """The digest is that of the document in canonical form, the signature that of its bytes: such an entry stuck."""
    Server(signed, keys)
    cached = Path(Server(signed, keys).followed.model.folder) / "scorer.json"
    before = cached.read_bytes()
    cached.write_bytes(before + b"\n")
    assert digest_in(cached.parent) == digest_in(signed.artifacts("1") / "scorer")
    assert Path(Server(signed, keys).followed.model.folder, "scorer.json").read_bytes() == before
