"""The whole path on what a team has: MLflow's server with three users, on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import mlflow
import pytest

from serving import running
from tests.conftest import ROOT, Workspace
from tests.registered import LINE
from tests.serving.conftest import Served
from tests.serving.test_follow import status, until
from tests.serving.test_ledger_served import answer
from tests.team import Team, team

Run = Callable[..., subprocess.CompletedProcess[str]]

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


@pytest.fixture
def backend(postgres: Callable[[str], str], tmp_path) -> Iterator[Team]:
    """The server, and three users: who serves may read, who trains writes, who promotes decides."""
    with team(tmp_path, postgres("runs"), postgres("users")) as made:
        for user in ("server", "trainer", "promoter"):
            made.add(user)
        yield made


@pytest.fixture
def run(backend: Team, workspace: Workspace) -> Run:
    """Run a command of a user's, and return what came of it."""

    def command(user: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return workspace.run(sys.executable, "-m", "training", *words, **backend.environment(user), **more)

    return command


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_three_users_train_promote_follow_and_roll_back(
    backend: Team, run: Run, workspace: Workspace, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may do what is asked of that one; what is more ends with a line, and changes nothing."""
    done = workspace.run(
        sys.executable,
        *("-m", "training", *TRAIN),
        **backend.environment("trainer") | {"MLFLOW_TRACKING_PASSWORD": "wrong"},
    )
    assert (done.returncode, done.stderr) == (
        2,
        "slipway: MLflow does not know this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD\n",
    )
    for words in (TRAIN, (*TRAIN, "--seed", "1")):  # the first name of a model that is not there yet
        done = run("trainer", *words, "--promote", "never")
        assert done.returncode == 0, done.stderr
    promote = ("promote", "--name", "line", "--version", "1")
    done = run("promoter", *promote)
    assert done.returncode == 2
    assert done.stderr.startswith("slipway: MLflow does not let this user ask /api/2.0/mlflow/")
    assert done.stderr.count("\n") == 1

    for name, value in backend.environment("trainer").items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", backend.uri)
    places = [each.experiment_id for each in mlflow.MlflowClient().search_experiments()]
    backend.allow("promoter", "MANAGE", model="line", experiments=places)
    done = run("promoter", *promote)
    assert done.returncode == 0, done.stderr

    environment = workspace.environment | backend.environment("server")
    words = ("--model", "models:/line@champion", "--cache", str(tmp_path / "cache"), "--poll-seconds", "0.5")
    with running.served(*words, cwd=ROOT, env=environment) as started:
        served = Served(started.address, started.process)
        assert answer(served)[1] == "1"
        forced = ("promote", "--name", "line", "--version", "2", "--force", "true", "--reason", "a test")
        done = run("promoter", *forced)
        assert done.returncode == 0, done.stderr
        until(lambda: answer(served)[1] == "2")
        done = run("promoter", "rollback", "--name", "line")
        assert done.returncode == 0, done.stderr
        until(lambda: answer(served)[1] == "1")
        assert status(served)["state"] == "READY"

    done = run("server", "history", "--name", "line")
    assert done.returncode == 0, done.stderr
    done = run("server", *forced)
    assert done.returncode == 2
    assert "slipway: MLflow does not let this user ask" in done.stderr
