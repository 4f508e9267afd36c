"""The whole path on what a team has: MLflow's server with three users, on PostgreSQL, with files in a bucket.

Each of the three stands behind a wire that can be cut: what a command leaves is what was before it, or what comes
after.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import requests
from pyarrow.fs import FileSelector

from serving import running
from tests import tracking_server
from tests.conftest import ROOT, Workspace
from tests.end_to_end.test_pages import PAGES
from tests.faulty_wire import INSUFFICIENT, Fault, FaultyWire, disk_full, faulty_wire
from tests.registered import LINE
from tests.seaweed import Seaweed
from tests.serving.conftest import Served
from tests.serving.fleet.followed import status, until
from tests.serving.registry.attacked import answer
from tests.team import Team, team
from tests.tracking_server import TrackingServer
from training.__main__ import main
from training.records import ledger, model_registry

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

TRAIN = (
    "train",
    "--data",
    str(LINE),
    "--target",
    "y",
    "--name",
    "line",
    "--trials",
    "1",
    "--time_budget",
    "20",
)
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
PATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class Backend:
    """What all the tests here share, in the order in which they stand: the second begins where the first ended."""

    server: Team
    databases: Callable[[str], str]
    database: str
    buckets: Seaweed
    to_server: FaultyWire
    to_database: FaultyWire
    to_bucket: FaultyWire

    def environment(self, user: str) -> dict[str, str]:
        """What a command of a user's gets: it asks by the wire."""
        address = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.to_server.port}"}
        return self.server.environment(user) | address

    def files(self, bucket: str) -> list[str]:
        """Return the paths of a bucket's files."""
        found = self.buckets.files.get_file_info(FileSelector(bucket, recursive=True))
        return [each.path for each in found if each.is_file]


@pytest.fixture(scope="module")
def backend(
    postgres: Callable[[str], str], seaweed_server: Seaweed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """The server, and three users: who serves may read, who trains writes, who promotes decides."""
    for bucket in ("direct", "captures", "restored"):
        seaweed_server.files.create_dir(bucket)
    database = postgres("runs")
    address = database.rpartition("@")[2].partition("/")[0]
    with ExitStack() as stack:
        to_database = stack.enter_context(faulty_wire(int(address.partition(":")[2])))
        to_bucket = stack.enter_context(faulty_wire(seaweed_server.port))
        by_wire = database.replace(address, f"127.0.0.1:{to_database.port}")
        folder, users = tmp_path_factory.mktemp("team"), postgres("users")
        made = stack.enter_context(team(folder, by_wire, users, Seaweed(to_bucket.port)))
        for user in ("server", "trainer", "promoter"):
            made.add(user)
        to_server = stack.enter_context(faulty_wire(made.port))
        yield Backend(made, postgres, database, seaweed_server, to_server, to_database, to_bucket)


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(
    backend: Backend,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command of a user's in this process, where a start costs nothing, and return what came of it."""
    monkeypatch.chdir(workspace.folder)
    mlflow.set_tracking_uri(None)  # takes the variable away, if a test before set the address by a call
    mlflow.set_registry_uri(None)

    def command(user: str, *words: str, **more: str) -> Done:
        while mlflow.active_run():  # of a command that could not close it: its process would have ended
            mlflow.end_run()
        for name, value in (backend.environment(user) | more).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(words)
        return Done(code, *capsys.readouterr())

    return command


def well(done: Done) -> None:
    """Hold a command to its end."""
    assert done.returncode == 0, done.stdout + done.stderr


def users(backend: Backend, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command that adds people to a team's server."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": backend.server.uri,
        "ADMIN_PASSWORD": backend.server.passwords["admin"],
        **more,
    }
    command = [sys.executable, str(ROOT / "deploy" / "team" / "users.py"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_people_are_added_by_a_command_that_says_what_is_wrong_in_a_line(backend: Backend) -> None:
    """Whoever is added may read at once; a password that is not the admin's, and a name twice, change nothing."""
    added = users(backend, "add", "reader")
    name, password = added.stdout.split()
    assert (added.returncode, name) == (0, "reader")
    asked = requests.post(
        f"{backend.server.uri}/api/2.0/mlflow/experiments/search",
        json={"max_results": 1},
        auth=(name, password),
        timeout=30,
    )
    assert asked.status_code == 200
    for words, more, said in (
        (("add", "reader"), {}, "says 400: "),
        (
            ("add", "other"),
            {"ADMIN_PASSWORD": "wrong"},
            "says 401: ADMIN_PASSWORD is not the admin's password",
        ),
        (("add", "other"), {"ADMIN_PASSWORD": ""}, "ADMIN_PASSWORD must be set"),
        (
            ("add", "other"),
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
            "does not answer (ConnectionError)",
        ),
    ):
        refused = users(backend, *words, **more)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_three_users_train_promote_follow_and_roll_back(
    backend: Backend, run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    """Each may do what is asked of that one; what is more ends with a line, and changes nothing."""
    done = run("trainer", *TRAIN, MLFLOW_TRACKING_PASSWORD="wrong")
    assert (done.returncode, done.stderr) == (
        2,
        "slipway: MLflow does not know this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD\n",
    )
    for words in (TRAIN, (*TRAIN, "--seed", "1")):  # the first name of a model that is not there yet
        well(run("trainer", *words, "--promote", "never"))
    promote = ("promote", "--name", "line", "--version", "1")
    done = run("promoter", *promote)
    assert done.returncode == 2
    assert done.stderr.startswith("slipway: MLflow does not let this user ask /api/2.0/mlflow/")
    assert done.stderr.count("\n") == 1

    backend.server.administered.allow("promoter", "MANAGE", "line")
    well(run("promoter", *promote))

    environment = workspace.environment | backend.environment("server")
    words = ("--model", "models:/line@champion", "--cache", str(tmp_path / "cache"), "--poll-seconds", "0.5")
    captures = tmp_path / "captures"
    forced = ("promote", "--name", "line", "--version", "2", "--force", "true", "--reason", "a test")
    with running.served(*words, "--capture", str(captures), cwd=ROOT, env=environment) as started:
        served = Served(started.address, started.process)
        assert answer(served)[1] == "1"
        well(run("promoter", *forced))
        until(lambda: answer(served)[1] == "2")
        well(run("promoter", "rollback", "--name", "line"))
        until(lambda: answer(served)[1] == "1")
        until(lambda: status(served)["state"] == "READY")

    well(run("server", "history", "--name", "line"))
    done = run("server", *forced)
    assert done.returncode == 2
    assert "slipway: MLflow does not let this user ask" in done.stderr
    well(run("trainer", "reproduce", "--name", "line", "--version", "1"))
    assert any(path.endswith("/scorer/scorer.json") for path in backend.files("mlflow"))
    compact = ("compact", "--captures", str(captures), "--to", "s3://captures")
    well(run("server", *compact, **backend.buckets.environment))
    assert any(path.endswith(".parquet") for path in backend.files("captures"))


def test_two_trainers_at_once_leave_one_whole_ledger(
    backend: Backend, run: Run, workspace: Workspace
) -> None:
    """The one who comes second is judged against the first; both are told what came of it."""
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "training", *TRAIN, "--seed", seed, "--result", f"{seed}.json"],
            cwd=workspace.folder,
            env=workspace.environment | backend.environment("promoter"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ("2", "3")
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    results = [json.loads((workspace.folder / f"{seed}.json").read_text()) for seed in ("2", "3")]
    assert {result["version"] for result in results} == {"3", "4"}
    well(run("server", "history", "--name", "line"))
    entries = ledger.read("line").entries
    assert {entry.to_version for entry in entries[-2:]} == {"3", "4"}


@dataclass(frozen=True)
class Step:
    """A wire that fails at some step of a command, and what the command says."""

    wire: str
    fault: Callable[[], Fault]
    says: str = ""

    def failing(self, backend: Backend) -> AbstractContextManager[Fault]:
        """Let it fail until the block ends."""
        wire: FaultyWire = getattr(backend, f"to_{self.wire}")
        return wire.failing(self.fault())


AWAY = "the server did not answer (ConnectionError)"
ANSWERS = "the server answers 50"
FILES = "the files of line version "


def full(statement: bytes) -> Callable[[], Fault]:
    """PostgreSQL's disk is full at a statement."""
    return lambda: Fault(statement, "says", answer=disk_full())


PROMOTING = {
    "silent before the entry": Step("server", lambda: Fault(b"runs/log-parameter", "lost"), AWAY),
    "no answer to the entry": Step("server", lambda: Fault(b"runs/log-parameter", "unanswered", times=1)),
    "silent before the alias": Step(
        "server", lambda: Fault(b"POST /api/2.0/mlflow/registered-models/al", "lost"), AWAY
    ),
    "no answer to the alias": Step(
        "server", lambda: Fault(b"POST /api/2.0/mlflow/registered-models/al", "unanswered", times=1)
    ),
    "half an answer": Step(
        "server",
        lambda: Fault(b"registered-models/alias", "cut", bytes_left=200),
        "the server did not answer (Chunked",
    ),
    "slower than a client waits": Step(
        "server",
        lambda: Fault(b"runs/log-parameter", "slow", seconds=12.0),
        "the server did not answer (",
    ),
    "disk of the database full at the entry": Step("database", full(b"INSERT INTO params"), ANSWERS),
    "disk of the database full at the alias": Step(
        "database", full(b"UPDATE registered_model_aliases"), ANSWERS
    ),
    "database away": Step("database", lambda: Fault(b"SELECT", "lost"), ANSWERS),
    "no answer to a commit": Step("database", lambda: Fault(b"COMMIT", "unanswered", times=1), ANSWERS),
    "bucket away": Step("bucket", lambda: Fault(b"GET /", "lost"), FILES),
    "half of the files": Step("bucket", lambda: Fault(b"GET /mlflow/", "cut", bytes_left=900), FILES),
}


@pytest.fixture
def impatient(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of the promoter's, who gives up soon: once nothing fails, the tests ask as one who is `PATIENT`."""
    for name, value in (IMPATIENT | backend.environment("promoter")).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("step", PROMOTING)
def test_a_promotion_that_fails_at_any_step_was_carried_out_or_not_begun(
    backend: Backend, run: Run, step: str, workspace: Workspace
) -> None:
    """It ends with one line; whoever comes next finds the state before, or finishes what was entered."""
    command = ("promote", "--name", "line", "--force", "true", "--reason", step, "--version")
    before = ledger.settle("line")
    chosen = "2" if before.serving == "1" else "1"
    with PROMOTING[step].failing(backend) as fault:
        done = run("promoter", *command, chosen)
    assert fault.happened
    assert done.returncode == (2 if PROMOTING[step].says else 0), done.stderr
    assert PROMOTING[step].says in done.stderr
    assert done.stderr.count("\n") == bool(PROMOTING[step].says)
    after = ledger.settle("line")
    entered = len(after.entries) - len(before.entries)
    assert (entered, after.serving) in {(0, before.serving), (1, chosen)}
    well(run("promoter", *command, chosen, **PATIENT))
    well(run("server", "history", "--name", "line", **PATIENT))
    assert ledger.settle("line").serving == chosen


COPYING = {
    "bucket full": Step("bucket", lambda: Fault(b"PUT /", "says", answer=INSUFFICIENT), "the server"),
    "disk of the database full": Step("database", full(b"INSERT INTO model_versions"), ANSWERS),
    "no answer to the version": Step(
        "server", lambda: Fault(b"model-versions/create", "unanswered", times=1)
    ),
    "disk of the database full at the page": Step("database", full(b"INSERT INTO logged_model_tags")),
    "no answer to the ledger": Step("server", lambda: Fault(b"experiments/update", "unanswered", times=1)),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("step", COPYING)
def test_a_registration_that_fails_at_any_step_leaves_one_whole_version_or_none(
    backend: Backend, run: Run, step: str
) -> None:
    """A client that asks again made a version twice, and one that took its own ledger for another's deleted it."""
    name = step.replace(" ", "-")
    command = ("copy", "--name", "line", "--to", name)
    again = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1" if step == "no answer to the version" else "0"}
    if step == "bucket full":
        again = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
    with COPYING[step].failing(backend) as fault:
        done = run("promoter", *command, **again)
    assert fault.happened
    assert done.returncode == (2 if COPYING[step].says else 0), done.stderr
    assert COPYING[step].says in done.stderr
    assert done.stderr.count("\n") == bool(COPYING[step].says)
    waits = " for files: its bucket may be down, or full; trying again in "
    assert (waits in done.stdout) == (step == "bucket full")
    if done.returncode:
        assert (model_registry.versions(name), ledger.settle(name).serving) == ([], "")
    well(run("promoter", *command, **PATIENT))
    assert [each.number for each in model_registry.versions(name)] == ["1"]
    well(run("server", "history", "--name", name, **PATIENT))
    client = mlflow.MlflowClient()
    model_id = client.get_model_version(name, "1").source.removeprefix("models:/")
    (named,) = json.loads(client.get_logged_model(model_id).tags["mlflow.modelVersions"])
    assert (named["name"], str(named["version"])) == (name, "1")


def test_a_server_that_follows_serves_on_whatever_fails_behind_it(
    backend: Backend, run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    """What was promoted meanwhile it serves once all is there again."""
    forced = ("promote", "--name", "line", "--force", "true", "--reason", "a test", "--version")
    directly = {"MLFLOW_TRACKING_URI": backend.server.uri}
    well(run("promoter", *forced, "1", **directly))
    environment = workspace.environment | backend.environment("server")
    words = ("--model", "models:/line@champion", "--cache", str(tmp_path / "cache"), "--poll-seconds", "0.25")
    with running.served(*words, cwd=ROOT, env=environment) as started:
        served = Served(started.address, started.process)

        def serves_on(version: str, fault: Fault) -> None:
            until(lambda: fault.happened, seconds=40)  # it asks ever more slowly
            for _ in range(10):
                assert answer(served)[1] == version
                time.sleep(0.05)

        with backend.to_server.failing(Fault(b"GET /", "lost")) as silent:
            well(run("promoter", *forced, "2", **directly))
            serves_on("1", silent)
        until(lambda: answer(served)[1] == "2", seconds=40)
        for wire, fault in (
            (backend.to_database, Fault(b"SELECT", "lost")),
            (backend.to_server, Fault(b"registered-models/alias", "cut", bytes_left=200)),
            (backend.to_server, Fault(b"registered-models/alias", "slow", seconds=0.5)),
        ):
            with wire.failing(fault):
                serves_on("2", fault)
        until(lambda: status(served)["state"] == "READY", seconds=40)


def test_files_in_a_bucket_that_clients_ask_themselves(
    backend: Backend, run: Run, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --serve-artifacts trainer and server need the bucket's key, and MLflow's server none."""
    store = [
        "--backend-store-uri",
        backend.database,
        "--no-serve-artifacts",
        "--default-artifact-root",
        "s3://direct",
    ]
    made = TrackingServer(tmp_path, running.free_port(), store=store)
    with tracking_server.running(made) as direct:
        keys = backend.buckets.environment | {"MLFLOW_TRACKING_URI": direct.uri}
        train = [*TRAIN]
        train[train.index("line")] = "direct"
        well(run("trainer", *train, **keys))
        environment = workspace.environment | keys
        words = ("--model", "models:/direct@champion", "--cache", str(tmp_path / "cache"))
        with running.served(*words, cwd=ROOT, env=environment) as started:
            assert answer(Served(started.address, started.process))[1] == "1"
    assert any(path.endswith("/scorer/scorer.json") for path in backend.files("direct"))


def test_a_backup_restored_elsewhere_is_whole(
    backend: Backend, run: Run, tmp_path: Path, workspace: Workspace
) -> None:
    """By the runbook's commands, into a database and a bucket of other names; a file that is missing is noticed."""
    saved, restored = (
        block for block in PAGES["docs/operations.md"] if block[0].startswith(("pg_dump", "pg_restore"))
    )
    target = backend.databases("restored")
    environment = (
        os.environ
        | backend.buckets.environment
        | {"DATABASE": backend.database.replace("+psycopg", ""), "RESTORED": target.replace("+psycopg", "")}
    )
    *restore, check = restored
    for command in (*saved, *restore):
        done = subprocess.run(
            ["bash", "-e", "-c", command.replace("/path/to", str(tmp_path))],
            cwd=workspace.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    address, _, words = check.partition(" python -m training ")
    assert address.startswith("MLFLOW_TRACKING_URI=")
    store = ["--backend-store-uri", target, "--artifacts-destination", "s3://restored"]
    made = TrackingServer(tmp_path, running.free_port(), store=store, settings=backend.buckets.environment)
    with tracking_server.running(made) as server:
        well(run("server", *words.split(), MLFLOW_TRACKING_URI=server.uri))
        champion = ledger.settle("line").current
        assert champion is not None
        lost = [path for path in backend.files("restored") if path.endswith("/scorer/model.onnx")]
        for path in lost:
            backend.buckets.files.delete_file(path)
        assert run("server", *words.split(), MLFLOW_TRACKING_URI=server.uri).returncode == 3
