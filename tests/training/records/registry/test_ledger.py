"""Compare-and-set, crashes, tampering and the way back, against real MLflow stores."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from data.schema import Column, Schema
from serving.registry.promotions import Kind
from serving.scorer import Parity
from tests.conftest import ROOT, Workspace
from training.__main__ import main
from training.challenger import judging
from training.compiling import compile_pipeline, write_scorer
from training.gate import deciding
from training.jobs.champions import history
from training.records import ledger, model_registry, tag_names
from training.records.errors import LedgerBroken, NoEarlierChampion, NotOurs, Superseded, WrongFiles

NAME = "houses"


@pytest.fixture(scope="session")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a version, as the registry holds them."""
    folder = tmp_path_factory.mktemp("version")
    frame = pd.DataFrame({"x": np.arange(20.0)})
    schema = Schema((Column("x", "number"),), target="y")
    pipeline = make_pipeline(LinearRegression()).fit(frame, 2 * frame["x"])
    graph = compile_pipeline(pipeline, schema)
    parity = Parity(rows=20, max_abs=0.0, max_rel=0.0, target_sd=1.0)
    write_scorer(folder / "scorer", graph=graph, schema=schema, frame=frame, fingerprint="f", parity=parity)
    return folder


@pytest.fixture
def add_version(scorer_folder: Path, tmp_path: Path) -> Callable[[], model_registry.Version]:
    """Register versions, each with files of its own."""
    from serving.scorer.scoring import Scorer

    digest = Scorer.load(scorer_folder / "scorer").digest

    def add() -> model_registry.Version:
        client = mlflow.MlflowClient()
        if not client.search_registered_models(f"name = '{NAME}'"):
            client.create_registered_model(NAME)
        folder = tmp_path / f"files {len(model_registry.versions(NAME))}"
        shutil.copytree(scorer_folder, folder)
        tags = {tag_names.DIGEST: digest, "slipway.decision": "undecided"}
        number = client.create_model_version(NAME, source=str(folder), tags=tags).version
        return model_registry.version(NAME, str(number))

    return add


@pytest.fixture
def three(
    tracking: Workspace, add_version: Callable[[], model_registry.Version]
) -> list[model_registry.Version]:
    """Three versions, none promoted."""
    return [add_version() for _ in range(3)]


def promote(version: model_registry.Version, kind: Kind = "promotion") -> ledger.Entry:
    """Promote without a gate."""
    return ledger.record(ledger.settle(NAME), version, kind=kind, reason="for the test")


def python(code: str, *words: str) -> subprocess.Popen[str]:
    """Start a process of its own on the same store."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


WRITER = """
import sys
from training.records import ledger, model_registry
from training.records.errors import Superseded
version, lost = model_registry.version("houses", sys.argv[1]), 0
for _ in range(2):
    while True:
        try:
            entry = ledger.record(ledger.settle("houses"), version, kind="promotion", reason=sys.argv[1])
            break
        except Superseded:
            lost += 1
    print(entry.sequence)
print("lost", lost)
"""


@pytest.mark.soak
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_writers_at_once_never_overwrite_each_other(
    store: str,
    request: pytest.FixtureRequest,
    tracking: Workspace,
    add_version: Callable[[], model_registry.Version],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One winner for each number, one ledger, a whole chain, and the alias where the last entry says."""
    if store == "postgresql":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("postgres")("ledger"))
    count = 8 if store == "postgresql" else 4
    versions = [add_version() for _ in range(count)]
    writers = [python(WRITER, version.number) for version in versions]
    outputs = [writer.communicate(timeout=240) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * count, outputs
    won, lost = {}, 0
    for version, (output, _) in zip(versions, outputs, strict=True):
        *sequences, last = output.splitlines()
        won |= {int(sequence): version.number for sequence in sequences}
        lost += int(last.split()[1])
    found = ledger.settle(NAME)
    assert {entry.sequence: entry.to_version for entry in found.entries} == won
    assert sorted(won) == list(range(1, 2 * count + 1))
    assert lost > 0, "the writers never met: this shows nothing"
    assert found.serving == found.entries[-1].to_version
    assert not found.moved
    assert [history.findings(found), history.lost_entries(found)] == [[], []]
    active = mlflow.MlflowClient().search_experiments(filter_string="name LIKE 'slipway ledger%'")
    assert [home.name for home in active] == [f"slipway ledger: {NAME}"]


def test_a_ledger_whose_name_was_taken_without_an_answer_is_kept(
    three: list[model_registry.Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for another writer's, and ours deleted: every later command found its experiment in the trash."""
    rename = mlflow.MlflowClient.rename_experiment

    def unanswered(*given: str) -> None:
        rename(*given)
        raise MlflowException("API request failed with exception: read timed out")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "rename_experiment", unanswered)
        promote(three[0])
    promote(three[1])
    assert [entry.to_version for entry in ledger.settle(NAME).entries] == ["1", "2"]


def test_a_decision_on_a_past_history_is_not_entered(three: list[model_registry.Version]) -> None:
    """Two retrains that finish together: the later one is told, and nothing of it is left."""
    seen = ledger.settle(NAME)
    promote(three[0])
    with pytest.raises(Superseded, match="its champion is version 1 now"):
        ledger.record(seen, three[1], kind="promotion", reason="as good")
    assert ledger.settle(NAME).serving == "1"
    assert model_registry.version(NAME, "2").tags["slipway.decision"] == "undecided"


def test_the_later_of_two_retrains_is_judged_against_the_new_champion(
    three: list[model_registry.Version],
) -> None:
    """Version 2 becomes champion while version 3 is compared with version 1."""
    promote(three[0])
    judged_against = []

    def decide(history: ledger.History) -> deciding.Decision:
        current = history.current
        assert current is not None
        judged_against.append(current.number)
        if current.number == "1":
            promote(three[1])
        return deciding.Decision(
            promoted=current.number == "1", reason=f"compared with version {current.number}"
        )

    decision = judging.enter(three[2], decide, run_id="run", say=lambda *_: None)
    assert judged_against == ["1", "2"]
    assert not decision.promoted
    last = ledger.settle(NAME).entries[-1]
    assert (last.kind, last.from_version, last.to_version) == ("refusal", "2", "3")
    assert last.reason == "compared with version 2"
    assert model_registry.version(NAME, "3").tags["slipway.decision"] == "kept champion"


KILLED = """
import os, signal, sys
from mlflow import MlflowClient
from training.records import ledger, model_registry, tag_names

def die(*_): os.kill(os.getpid(), signal.SIGKILL)

where = sys.argv[2]
if where == "before the pin": model_registry.promote = lambda *_, **__: die()
if where == "before the alias": MlflowClient.set_registered_model_alias = die
marked = lambda *words: die() if tag_names.ENTRY in words[2] else tag(*words)
if where == "before the mark": model_registry.tag = marked
tag = ledger.model_registry.tag if where != "before the mark" else lambda name, number, tags: [
    MlflowClient().set_model_version_tag(name, number, key, value) for key, value in tags.items()
]
ledger.record(ledger.settle("houses"), model_registry.version("houses", sys.argv[1]), kind="promotion", reason="r")
"""


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("where", ["before the pin", "before the alias", "before the mark"])
def test_what_kill_9_left_is_finished_by_the_next_command(
    where: str, first: bool, three: list[model_registry.Version]
) -> None:
    """The entry is the truth: it is carried out, and nobody is accused."""
    if not first:
        promote(three[0])
    killed = python(KILLED, "2", where)
    assert (killed.communicate(timeout=60), killed.returncode)[1] == -signal.SIGKILL
    before = model_registry.champion(NAME)
    if where != "before the mark":
        assert before is None if first else before.number == "1"
    found = ledger.settle(NAME)
    assert (found.serving, found.moved) == ("2", False)
    tags = model_registry.version(NAME, "2").tags
    assert tags["slipway.decision"] == "promoted"
    assert tags[tag_names.PINNED] == tags[tag_names.DIGEST]


def test_an_alias_moved_by_hand_is_reported_and_left_alone(three: list[model_registry.Version]) -> None:
    """Even back to the champion before, which is where a crash would have left it."""
    promote(three[0])
    promote(three[1])
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, model_registry.CHAMPION, "1")
    found = ledger.settle(NAME)
    assert (found.serving, found.moved) == ("1", True)
    assert history.findings(found) == [
        "the champion of houses is version 2 in the ledger, but its alias was moved to version 1 by somebody else"
    ]
    ledger.record(found, three[2], kind="refusal", reason="not better")
    found = ledger.settle(NAME)
    assert (found.serving, found.moved) == ("1", False)
    assert (
        "between entries 2 and 3 somebody else moved the champion from version 2 to 1"
        in history.notes(found)[0]
    )
    client.delete_registered_model_alias(NAME, model_registry.CHAMPION)
    assert "its alias was deleted by somebody else" in history.findings(ledger.settle(NAME))[-1]


def test_a_champion_from_before_the_ledger_is_its_start(three: list[model_registry.Version]) -> None:
    """Promoted by an earlier release or by hand: the first entry says from where, and one can go back."""
    mlflow.MlflowClient().set_registered_model_alias(NAME, model_registry.CHAMPION, "1")
    assert not ledger.settle(NAME).moved
    entry = promote(three[1])
    assert (entry.from_version, entry.from_digest) == ("1", three[0].tags[tag_names.DIGEST])
    assert ledger.rollback(NAME).to_version == "1"


def test_rolling_back_twice_goes_one_further_back(three: list[model_registry.Version]) -> None:
    """A version that was left by a rollback is not gone back to; with none left, one line says so."""
    for version in three:
        promote(version)
    assert [ledger.rollback(NAME).to_version for _ in range(2)] == ["2", "1"]
    assert model_registry.version(NAME, "1").tags["slipway.reason"] == "rolled back from version 2"
    with pytest.raises(NoEarlierChampion, match="version 1 is the first champion of houses"):
        ledger.rollback(NAME)
    promote(three[2], "forced")
    assert ledger.settle(NAME).champions() == ["1", "3"]
    assert [entry.kind for entry in ledger.settle(NAME).entries[3:]] == ["rollback", "rollback", "forced"]


def test_files_that_were_changed_in_the_registry_are_not_promoted(
    three: list[model_registry.Version], tmp_path: Path
) -> None:
    """The digest is taken from the files, not from the tag; nothing is entered."""
    promote(three[0])
    promote(three[1])
    document = tmp_path / "files 0" / "scorer" / "scorer.json"
    document.write_text(document.read_text().replace('"y"', '"z"'))
    (tmp_path / "files 2" / "scorer" / "model.onnx").unlink()
    with pytest.raises(WrongFiles, match="houses version 1 has other files"):
        ledger.rollback(NAME)
    with pytest.raises(WrongFiles, match="houses version 3 has other files"):
        promote(three[2])
    mlflow.MlflowClient().create_model_version(NAME, source=str(tmp_path / "files 1"))
    with pytest.raises(NotOurs):
        promote(model_registry.version(NAME, "4"))
    assert len(ledger.settle(NAME).entries) == 2
    assert ledger.settle(NAME).serving == "2"


def rewrite(tracking: Workspace, statement: str, **values: str) -> None:
    """Change MLflow's database behind everybody's back."""
    engine = sqlalchemy.create_engine(tracking.uri)
    with engine.begin() as connection:
        assert connection.execute(sqlalchemy.text(statement), values).rowcount == 1
    engine.dispose()


CHANGE = "UPDATE params SET value = replace(value, 'for the test', 'for fun') WHERE key = :key"


@pytest.mark.parametrize(
    ("statement", "key", "says"),
    [
        (CHANGE, "000001", "entry 2 does not follow entry 1"),
        (CHANGE, "000002", "entry 3 does not follow entry 2"),
        ("DELETE FROM params WHERE key = :key", "000002", "entry 2 is missing"),
        ("UPDATE params SET value = '{}' WHERE key = :key", "000003", "entry 3 is not an entry: '{}'"),
    ],
)
def test_a_changed_entry_breaks_the_chain(
    statement: str, key: str, says: str, tracking: Workspace, three: list[model_registry.Version]
) -> None:
    """Whatever reads the ledger stops there and says how to go on."""
    for version in three:
        promote(version)
    rewrite(tracking, statement, key=key)
    with pytest.raises(LedgerBroken, match=says):
        ledger.settle(NAME)
    assert main(["history", "--name", NAME]) == 3


@pytest.mark.parametrize("statement", [CHANGE, "DELETE FROM params WHERE key = :key"])
def test_a_change_at_the_end_of_the_chain_is_seen_by_the_mark_on_its_version(
    statement: str, tracking: Workspace, three: list[model_registry.Version]
) -> None:
    """No later entry holds the last one's hash; the version does."""
    promote(three[0])
    promote(three[1])
    rewrite(tracking, statement, key="000002")
    found = ledger.read(NAME)
    assert "version 2 bears the mark of a ledger entry that is gone" in history.lost_entries(found)[0]
    assert main(["history", "--name", NAME]) == 3


def test_a_ledger_in_the_trash_can_be_brought_back(three: list[model_registry.Version]) -> None:
    """A new one in its place would forget who was champion."""
    promote(three[0])
    client, run_id = mlflow.MlflowClient(), ledger.read(NAME).run_id
    home = client.get_run(run_id).info.experiment_id
    client.delete_experiment(home)
    with pytest.raises(LedgerBroken, match=f"mlflow experiments restore --experiment-id {home}"):
        promote(three[1])
    client.restore_experiment(home)
    client.delete_run(run_id)
    with pytest.raises(LedgerBroken, match=f"mlflow runs restore --run-id {run_id}"):
        promote(three[1])
    client.restore_run(run_id)
    assert promote(three[1]).sequence == 2


@pytest.mark.soak
def test_the_ledger_survives_gc_and_its_loss_is_noticed(
    tracking: Workspace, three: list[model_registry.Version]
) -> None:
    """The runs it speaks of may go; were it to go itself, the versions still bear its mark."""
    client = mlflow.MlflowClient()
    run = client.create_run("0").info.run_id
    entry = ledger.record(ledger.settle(NAME), three[0], kind="promotion", reason="", evidence=run)
    client.delete_run(run)
    collect = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", tracking.uri]
    collected = tracking.run(*collect)
    assert run in collected.stdout + collected.stderr
    assert ledger.settle(NAME).entries == (entry,)
    client.delete_experiment(client.get_run(ledger.read(NAME).run_id).info.experiment_id)
    assert tracking.run(*collect).returncode == 0
    found = ledger.settle(NAME)
    assert found.entries == ()
    assert "version 1 bears the mark of a ledger entry that is gone" in history.lost_entries(found)[0]


def test_an_entry_fits_a_parameter_whatever_the_reason(three: list[model_registry.Version]) -> None:
    """MLflow refuses 6,001 characters; a reason of quotes and control characters is the longest."""
    entry = ledger.record(ledger.settle(NAME), three[0], kind="forced", reason='"\\\x00\ud800\n' * 9999)
    assert len(entry.text) < 6000
    assert ledger.settle(NAME).entries == (entry,)
    stored = mlflow.MlflowClient().get_run(ledger.read(NAME).run_id).data.params["000001"]
    assert json.loads(stored)["kind"] == "forced"


def test_the_champion_at_a_moment_is_told(three: list[model_registry.Version]) -> None:
    """Before the first entry only what that entry says; a refusal changes nothing."""
    promote(three[0])
    ledger.record(ledger.settle(NAME), three[1], kind="refusal", reason="not better")
    found, now = ledger.settle(NAME), datetime.now(UTC)
    assert history.champion_at(found, now).startswith("version 1 was champion of houses at ")
    assert history.champion_at(found, now).endswith("UTC (entry 1: promotion)")
    past = history.champion_at(found, now - timedelta(days=1))
    assert past.startswith("no version was champion of houses at ")
    assert "before the ledger's first entry" in past


@pytest.mark.soak
def test_rollback_takes_little_more_than_mlflow_itself_and_is_an_entry(
    tracking: Workspace, three: list[model_registry.Version]
) -> None:
    """The whole command, interpreter included: it imports nothing that only a training needs.

    Two to three seconds where the machine is quiet, of which MLflow's import is most.
    """
    promote(three[0])
    promote(three[1])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert tracking.run(sys.executable, "-X", "importtime", "-c", "import mlflow").returncode == 0
    alone = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", "-m", "training"]
    done = tracking.run(*command, "rollback", "--name", NAME, "--reason", "it's bad", timeout=60)
    assert done.returncode == 0, done.stderr
    assert "houses: version 2 -> 1" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"sklearn", "onnx", "onnxruntime", "matplotlib", "skops"}
    assert "mlflow" in imported
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime
    assert used < 4 * alone
    shown = tracking.run(sys.executable, "-m", "training", "history", "--name", NAME)
    assert shown.returncode == 0, shown.stderr
    assert "a whole chain of 3; the champion is 1" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100
    none = tracking.run(sys.executable, "-m", "training", "rollback", "--name", NAME)
    assert none.returncode == 2
    assert none.stderr.count("\n") == 1
