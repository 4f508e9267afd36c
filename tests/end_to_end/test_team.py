"""The whole path on what a team has: MLflow's server with three users, on PostgreSQL, with files in a bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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
from tests.registered import LINE
from tests.seaweed import Seaweed
from tests.serving.conftest import Served
from tests.serving.fleet.test_follow import status, until
from tests.serving.registry.test_ledger_served import answer
from tests.team import Team, team
from tests.tracking_server import TrackingServer
from training.__main__ import main
from training.records import ledger

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
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@dataclass(frozen=True)
class Backend:
    """What all the tests here share, in the order in which they stand: the second begins where the first ended."""

    server: Team
    databases: Callable[[str], str]
    database: str
    buckets: Seaweed

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
    with team(tmp_path_factory.mktemp("team"), database, postgres("users"), seaweed_server) as made:
        for user in ("server", "trainer", "promoter"):
            made.add(user)
        yield Backend(made, postgres, database, seaweed_server)


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
        for name, value in (backend.server.environment(user) | more).items():
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

    environment = workspace.environment | backend.server.environment("server")
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
            env=workspace.environment | backend.server.environment("promoter"),
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


@pytest.mark.parametrize("step", ["before its entry", "before its alias"])
def test_a_backend_that_stops_in_the_middle_of_a_promotion_leaves_it_whole(
    backend: Backend, run: Run, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with a line; who asks again finds the promotion carried out or not begun."""
    append = ledger._append

    def stopping(*given: object) -> None:
        if step == "before its alias":
            append(*given)
        backend.server.stop()
        if step == "before its entry":
            append(*given)

    forced = ("promote", "--name", "line", "--force", "true", "--reason", step, "--version")
    chosen = {"before its entry": "1", "before its alias": "2"}[step]
    monkeypatch.setattr(ledger, "_append", stopping)
    done = run("promoter", *forced, chosen, **IMPATIENT)
    monkeypatch.setattr(ledger, "_append", append)
    backend.server.go_on()
    assert done.returncode == 2, done.stderr
    assert "did not answer" in done.stderr
    well(run("promoter", *forced, chosen))
    well(run("server", "history", "--name", "line"))
    assert ledger.settle("line").serving == chosen


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
