"""The real commands: mlflow run from a table to a champion, and what it leaves in MLflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from tests.conftest import ROOT, Workspace

MLFLOW = [sys.executable, "-m", "mlflow"]


def mlflow_run(
    workspace: Workspace,
    *words: str,
    project: str = str(ROOT),
    env_manager: str = "local",
    **environment: str,
):
    """Run the project as a user does; a training tries two settings unless the words say otherwise."""
    few = [] if "-e" in words or "trials=" in " ".join(words) else ["-P", "trials=2"]
    command = [*MLFLOW, "run", project, "--env-manager", env_manager, *few, *words]
    return workspace.run(*command, timeout=280, **environment)


def only_run(workspace: Workspace, experiment: str):
    """The newest parent run, through MLflow's own client."""
    from mlflow import MlflowClient

    client = MlflowClient(workspace.uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time DESC"])
    return client, next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def champion_of(client, name: str) -> str:
    """The number of the version that production serves."""
    return str(client.get_model_version_by_alias(name, "champion").version)


@pytest.mark.soak
def test_a_retrain_on_the_same_rows_keeps_the_champion(workspace: Workspace) -> None:
    """The second version is registered, compared on the same rows, and not promoted; it can be, by hand."""
    table = str(ROOT / "data" / "samples" / "line.csv")
    first = workspace.train("--data", table, "--target", "y")
    assert first.returncode == 0, first.stderr
    second = workspace.train("--data", table, "--target", "y", "--seed", "1")
    assert "kept champion: holdout RMSE" in second.stdout, second.stdout + second.stderr
    client, run = only_run(workspace, "line")
    assert run.data.metrics["slope"] == pytest.approx(3.0, abs=0.02)
    assert run.data.metrics["intercept"] == pytest.approx(2.0, abs=0.1)
    assert run.data.metrics["champion_holdout_rmse"] == run.data.metrics["holdout_rmse"]
    assert champion_of(client, "line") == "1"
    client.delete_registered_model_alias("line", "champion")
    by_hand = workspace.command("promote", "--name", "line", "--version", "2")
    assert by_hand.returncode == 0, by_hand.stderr
    assert champion_of(client, "line") == "2"


@pytest.mark.soak
def test_a_promotion_by_hand_goes_through_the_same_gate(workspace: Workspace) -> None:
    """A rehearsal changes nothing, another policy asks less, force needs a reason, and all of it is in the ledger."""
    table = str(ROOT / "data" / "samples" / "line.csv")
    for seed in ("0", "1"):
        assert workspace.train("--data", table, "--target", "y", "--seed", seed).returncode == 0
    client, run = only_run(workspace, "line")

    def promote(version: str, *words: str) -> subprocess.CompletedProcess[str]:
        return workspace.command("promote", "--name", "line", "--version", version, *words)

    rehearsed = promote("2", "--policy", "not-worse", "--dry_run", "true")
    assert "version 2 would be promoted, nothing was changed" in rehearsed.stdout, rehearsed.stderr
    assert "kept champion" in promote("2").stdout
    assert champion_of(client, "line") == "1"
    assert "promoted: holdout RMSE" in promote("2", "--policy", "not-worse", "--margin", "0.01").stdout
    assert champion_of(client, "line") == "2"
    bare = promote("1", "--force", "true")
    assert (bare.returncode, "needs reason=..." in bare.stderr) == (2, True)
    assert "forced: we know better" in promote("1", "--force", "true", "--reason", "we know better").stdout
    assert champion_of(client, "line") == "1"
    shown = workspace.command("history", "--name", "line").stdout
    assert [kind for kind in re.findall(r"promotion|refusal|forced", shown) if kind][:5] == [
        "promotion", "refusal", "refusal", "promotion", "forced",
    ]  # fmt: skip
    pages = [
        json.loads(Path(client.download_artifacts(run.info.run_id, "gate/evidence.json")).read_text())
        for run in client.search_runs([run.info.experiment_id])
        if any(file.path == "gate" for file in client.list_artifacts(run.info.run_id))
    ]
    assert len(pages) == 4  # force and a rehearsal leave none
    names = " ".join(check["name"] for page in pages for check in page["checks"])
    assert names.count("the server in 7 formats and stock MLflow") == 4
    assert all(check["passed"] for page in pages if page["promoted"] for check in page["checks"])


@pytest.mark.soak
def test_two_first_trainings_at_once_leave_one_champion_that_can_be_rolled_back(
    workspace: Workspace,
) -> None:
    """Both found no champion; the one that comes later is judged against the other, and all of it is told."""
    table = str(ROOT / "data" / "samples" / "line.csv")
    command = [sys.executable, "-m", "training", "train", "--data", table, "--target", "y"]
    both = [
        subprocess.Popen(
            command, cwd=workspace.folder, env=workspace.environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [training.communicate(timeout=120)[0] for training in both]
    assert sorted("promoted: line had no champion" in text for text in told) == [False, True], told
    assert sorted("kept champion: holdout RMSE" in text for text in told) == [False, True], told
    client, _ = only_run(workspace, "line")
    first = champion_of(client, "line")
    client.set_registered_model_alias("line", "champion", str(3 - int(first)))
    rolled = mlflow_run(workspace, "-e", "rollback", "-P", "name=line", "-P", "reason=it's bad")
    assert rolled.returncode == 0, rolled.stderr
    assert champion_of(client, "line") == first
    shown = mlflow_run(workspace, "-e", "history", "-P", "name=line")
    assert shown.returncode == 0, shown.stderr
    assert "it's bad" in shown.stdout
    assert "somebody else moved the champion" in shown.stdout
    asked = mlflow_run(workspace, "-e", "history", "-P", "name=line", "-P", "at=2020-01-01")
    assert "no version was champion of line at 2020-01-01 00:00 UTC" in asked.stdout


@pytest.mark.soak
def test_a_better_model_on_more_columns_replaces_the_champion(workspace: Workspace) -> None:
    """`exclude` never moves a row: both versions are judged on the same holdout."""
    frame = load_diabetes(as_frame=True).frame
    frame.to_csv(workspace.folder / "diabetes.csv", index=False)
    table = ["--data", "diabetes.csv", "--target", "target"]
    poor = workspace.train(*table, "--exclude", "bmi,s5,bp,s3,s4")
    assert poor.returncode == 0, poor.stderr
    refused = workspace.train(*table)
    assert "requests that the champion accepts: " in refused.stdout, refused.stdout + refused.stderr
    better = workspace.train(*table, "--allow_schema_change", "true")
    assert "promoted: holdout RMSE" in better.stdout, better.stdout + better.stderr
    client, run = only_run(workspace, "diabetes")
    held_out = int(run.data.metrics["rows_holdout"])
    assert f"on {held_out} shared rows" in better.stdout
    assert champion_of(client, "diabetes") == "3"
    never = workspace.train(*table, "--promote", "never")
    assert "promote=never was asked for" in never.stdout


@pytest.mark.soak
def test_another_split_under_a_known_name_is_refused(workspace: Workspace) -> None:
    """It would test the champion on rows that it was trained on."""
    table = ["--data", str(ROOT / "data" / "samples" / "line.csv"), "--target", "y"]
    assert workspace.train(*table).returncode == 0
    refused = workspace.train(*table, "--holdout", "0.3")
    assert refused.returncode == 2
    assert "train under a new name" in refused.stderr


@pytest.mark.soak
def test_the_project_runs_in_a_fresh_environment_from_a_git_uri(workspace: Workspace, tmp_path: Path) -> None:
    """What a colleague does who has only the repository's address; uv makes the environment."""
    clone = tmp_path / "slipway"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "mlruns", "mlflow.db*", "__pycache__", "*.egg-info", "docs"
    )
    shutil.copytree(ROOT, clone, ignore=ignored)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "--quiet"], ["add", "-A"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *words], cwd=clone, check=True, capture_output=True)
    table = ROOT / "data" / "samples" / "line.csv"
    done = mlflow_run(
        workspace,
        "-P",
        f"data={table}",
        "-P",
        "target=y",
        project=f"file://{clone}",
        env_manager="uv",
        PYTHONPATH="",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promoted: line had no champion" in done.stdout


def heed_interrupts() -> None:
    """Take Ctrl-C as a terminal's process does: what a shell runs in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("how", "status"),
    [(signal.SIGTERM, "KILLED"), (signal.SIGKILL, "RUNNING"), (signal.SIGINT, "FINISHED")],
)
def test_a_stopped_training_registers_nothing_and_an_interrupted_search_its_best(
    how: signal.Signals, status: str, workspace: Workspace
) -> None:
    """SIGTERM closes the run; after kill -9 it stays open; Ctrl-C means that the search was long enough."""
    words = [
        "--data",
        str(ROOT / "data" / "samples" / "flights.csv"),
        "--target",
        "arr_delay",
        "--exclude",
        "date",
    ]
    command = [sys.executable, "-m", "training", "train", *words]
    started = subprocess.Popen(
        command,
        cwd=workspace.folder,
        env=workspace.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no thread runs here
    )
    assert started.stdout is not None and started.stderr is not None
    for line in started.stdout:
        if line.split()[:1] == ["split"]:
            break
    time.sleep(15.0 if how == signal.SIGINT else 0.5)
    os.kill(started.pid, how)
    output, error = started.communicate(timeout=60)
    code = {signal.SIGTERM: 130, signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 0}[how]
    assert started.returncode == code, error
    client, run = only_run(workspace, "flights")
    assert run.info.status == status
    if how == signal.SIGINT:
        assert "interrupted: the best of" in output
        assert champion_of(client, "flights") == "1"
        return
    assert client.search_registered_models() == []
    table = ["--data", str(ROOT / "data" / "samples" / "line.csv"), "--target", "y", "--name", "flights"]
    assert workspace.train(*table).returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-P", "tarjet=y"], "unknown parameter 'tarjet': did you mean 'target'?"),
        pytest.param(
            ["-P", "data=missing.csv"],
            f"missing.csv: no such file, folder or match; searched from {ROOT}",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_mlflow_run_fails_with_one_line_and_the_reason_as_a_tag(
    words: list[str], says: str, workspace: Workspace
) -> None:
    """The person sees the line; the run in the UI keeps it."""
    done = mlflow_run(workspace, *words)
    assert done.returncode == 1
    assert f"slipway: {says}" in done.stderr
    assert "Traceback" not in done.stderr
    client, run = only_run(workspace, "Default")
    assert run.info.status == "FAILED"
    assert says in run.data.tags["slipway.reason"]
    assert client.search_registered_models() == []


@pytest.mark.soak
def test_a_table_in_postgresql_and_runs_in_postgresql(
    postgres: Callable[[str], str], workspace: Workspace
) -> None:
    """A team's database on both sides: the rows come from one, MLflow's records go to another."""
    import sqlalchemy

    rows, records = postgres("rows"), postgres("records")
    engine = sqlalchemy.create_engine(rows)
    pd.read_csv(ROOT / "data" / "samples" / "line.csv").to_sql("points", engine, index=False)
    engine.dispose()
    words = [
        "--data",
        rows,
        "--query",
        "SELECT x, y FROM points WHERE x >= 0",
        "--target",
        "y",
        "--name",
        "line",
    ]
    done = workspace.train(*words, MLFLOW_TRACKING_URI=records)
    assert done.returncode == 0, done.stderr
    assert "200 rows" in done.stdout
    from mlflow import MlflowClient

    assert champion_of(MlflowClient(records), "line") == "1"
