"""A survey's weights, from the table to a served version and through every command that comes after."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.conftest import Workspace


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A table in which the many light rows follow another line than the few heavy ones; some rows do not count."""
    frame = sample(0)
    frame.to_csv(tmp_path / "survey.csv", index=False)
    return tmp_path / "survey.csv"


def sample(seed: int, rows: int = 1_200) -> pd.DataFrame:
    """Draw rows of which one in five stands for twenty others."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1.0, 1.0, rows)
    heavy = random.random(rows) < 0.2
    y = np.where(heavy, 3.0, -1.0) * x + random.normal(0.0, 0.2, rows)
    weight = np.where(heavy, 20.0, 1.0)
    weight[:12] = 0.0
    y[:12] = 1e6
    return pd.DataFrame(
        {"x": x.round(6), "town": random.choice(["Ulm", "Bonn"], rows), "w": weight, "y": y.round(6)}
    )


def said(text: str, step: str) -> str:
    """Return what a command said of a step."""
    return "\n".join(line.split(maxsplit=1)[1] for line in text.splitlines() if line.split()[:1] == [step])


@pytest.mark.soak
def test_a_weighted_table_becomes_a_version_of_the_rows_that_count(
    workspace: Workspace, survey: Path
) -> None:
    """Fit, errors, intervals, decision and tags are the weighted ones; rows to score need no weight."""
    done = workspace.train("--data", str(survey), "--target", "y", "--weight", "w", "--time_budget", "5")
    assert done.returncode == 0, done.stderr
    assert "w, 1 to 20; 12 rows of weight 0 do not count" in said(done.stdout, "weight")
    assert "errors weighted by w" in said(done.stdout, "decide")
    assert "promoted" in said(done.stdout, "decide")
    client = MlflowClient(workspace.uri)
    version = client.get_model_version("survey", "1")
    assert version.tags["slipway.weight"] == "w"
    assert "RMSE, weighted by w" in version.description
    assert json.loads(version.tags["slipway.split"])["columns"] == ["x", "town"]
    metrics = client.get_run(version.run_id).data.metrics
    assert metrics["rows_of_weight_0"] == 12
    assert (
        0.5 < metrics["holdout_rmse"] < 2.0
    )  # the rows of weight 0, which lie a million away, are in no figure
    assert metrics["effective_rows_train"] < 0.4 * metrics["rows_train"]
    assert metrics["interval_coverage_90"] > 0.8
    rows = pd.DataFrame({"x": [-1.0, 1.0], "town": ["Ulm", "Ulm"]})
    for given, name in ((rows, "bare"), (rows.assign(w=[0.0, 5.0]), "with")):
        given.to_csv(workspace.folder / f"{name}.csv", index=False)
        words = ["--name", "survey", "--input", f"{name}.csv", "--output", f"{name}.out.csv"]
        scored = workspace.run(sys.executable, "-m", "serving.batch", *words)
        assert scored.returncode == 0, scored.stderr
    bare, weighted = (
        pd.read_csv(workspace.folder / f"{name}.out.csv")["prediction"] for name in ("bare", "with")
    )
    assert bare.equals(weighted)
    assert bare[1] - bare[0] > 2.0  # the heavy rows' line


@pytest.mark.soak
def test_what_comes_after_keeps_the_weights(workspace: Workspace, survey: Path) -> None:
    """Retrain, another weight, rebuilding, recalibration and a promotion on rows that lack the column."""
    words = ["--data", str(survey), "--target", "y", "--time_budget", "5"]
    assert workspace.train(*words, "--weight", "w").returncode == 0
    again = workspace.train(*words)
    assert again.returncode == 0, again.stderr
    assert "w, 1 to 20" in said(again.stdout, "weight")
    assert "shared rows, errors weighted by w" in said(again.stdout, "decide")
    client = MlflowClient(workspace.uri)
    assert client.get_model_version("survey", "2").tags["slipway.weight"] == "w"

    other = workspace.train(*words, "--weight", "x")
    assert other.returncode == 2
    assert "rows of survey are weighted by w since version 1, asked was weighted by x" in other.stderr

    rebuilt = workspace.command("reproduce", "--name", "survey", "--version", "2")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr

    bare = sample(1).drop(columns="w")[12:]
    bare.to_csv(workspace.folder / "bare.csv", index=False)
    judged = workspace.command("promote", "--name", "survey", "--version", "2", "--data", "bare.csv")
    assert judged.returncode == 2
    assert "bare.csv: has no weight column 'w'" in judged.stderr
    assert len(judged.stderr.strip().splitlines()) == 1

    renewed = workspace.command("recalibrate", "--name", "survey", "--data", "bare.csv")
    assert "bare.csv has no weight column 'w': each of its rows counts the same" in renewed.stdout
    sample(2).to_csv(workspace.folder / "fresh.csv", index=False)
    renewed = workspace.command("recalibrate", "--name", "survey", "--data", "fresh.csv")
    assert renewed.returncode == 0, renewed.stderr
    assert "of equal weight" in said(renewed.stdout, "register")
    assert client.get_model_version("survey", "4").tags["slipway.weight"] == "w"


@pytest.mark.soak
def test_weights_of_one_are_no_weights(workspace: Workspace, survey: Path) -> None:
    """The same digest with and without."""
    frame = pd.read_csv(survey)[12:].assign(w=1.0)
    frame["side"] = np.where(np.arange(len(frame)) % 4, "train", "holdout")
    frame.to_csv(survey, index=False)
    words = ["--data", str(survey), "--target", "y", "--promote", "never", "--time_budget", "40"]
    words += ["--split", "column", "--split_column", "side"]
    assert workspace.train(*words, "--weight", "w", "--name", "weighted").returncode == 0
    assert workspace.train(*words, "--exclude", "w", "--name", "plain").returncode == 0
    client = MlflowClient(workspace.uri)
    digests = [
        client.get_model_version(name, "1").tags["slipway.scorer_digest"] for name in ("weighted", "plain")
    ]
    assert digests[0] == digests[1]


@pytest.mark.soak
def test_a_weight_that_decides_the_split_is_refused(workspace: Workspace, survey: Path) -> None:
    """A changed weight would move rows."""
    done = workspace.train("--data", str(survey), "--target", "y", "--weight", "w", "--key", "w")
    assert done.returncode == 2
    assert "weight 'w' decides the split too" in done.stderr
    wrong = pd.read_csv(survey).assign(w=lambda frame: frame["w"] - 1.0)
    wrong.to_csv(survey, index=False)
    done = workspace.command("check", "--data", str(survey), "--target", "y", "--weight", "w")
    assert done.returncode == 2
    assert "weight 'w', row 1, is -1, and 11 more are negative" in done.stderr
