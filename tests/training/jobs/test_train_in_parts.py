"""A training on a table that memory does not hold says what the version is worth on all held-out rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Workspace
from training.__main__ import main
from training.rows.parts import sampling

ROWS = 20_000


@pytest.fixture
def table(tracking: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A line with noise of 1, of which a training within 1 MB is judged by some 300 rows of 4,000."""
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=ROWS), "b": random.normal(size=ROWS)})
    frame["shop"] = random.choice(["Ulm", "Bonn"], ROWS)
    frame["y"] = 3.0 * frame["a"] + frame["b"] + random.normal(size=ROWS)
    where = tracking.folder / "t.parquet"
    frame.to_parquet(where, index=False)
    return where


def test_all_held_out_rows_are_judged(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics of the model, a line, the card, a table."""
    import mlflow

    words = ["--data", str(table), "--target", "y", "--trials", "1", "--time_budget", "4", "--memory", "1MB"]
    assert main(["train", *words, "--promote", "never", "--explain", "false"]) == 0
    said = capsys.readouterr().out
    client = mlflow.MlflowClient()
    run = client.get_run(client.get_model_version("t", "1").run_id)
    figures, rows = run.data.metrics, int(run.data.metrics["rows_all_holdout"])
    assert rows == figures["rows_holdout"] > 5 * figures["rows_holdout_used"]
    assert figures["all_holdout_rmse"] == pytest.approx(1.0, abs=0.05)
    assert f"  evaluate  all {rows:,} held-out rows: RMSE " in said
    assert f"all {rows:,} held-out rows are scored: about" in said  # the line's reading wrote them to a file
    card = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="card.html"))
    assert f"These rows are a sample. All {rows:,} held-out rows: RMSE" in card.read_text()
    sliced = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/tables/all_holdout_slices.csv")
    assert "shop = Ulm" in sliced
