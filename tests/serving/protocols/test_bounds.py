"""Intervals at the endpoint: asked for in each format, refused where they cannot be promised, unpaid unasked."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout

import mlflow
import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy import heteroscedastic
from serving.batch.__main__ import main as score
from serving.scorer.scoring import Scorer
from tests.conftest import ROOT, Workspace, at_work_in
from tests.registered import copied
from training.__main__ import main


@pytest.fixture(scope="module")
def trained(empty_store, tmp_path_factory):
    """A champion whose noise grows with x0, with widths that follow the row; returns its folder and rows."""
    folder = tmp_path_factory.mktemp("intervals")
    copied(empty_store.parent, folder)
    table, _ = heteroscedastic(4_000)
    table.to_csv(folder / "noisy.csv", index=False)
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    workspace = Workspace(folder, environment | {"PYTHONPATH": str(ROOT)})
    with at_work_in(folder), redirect_stdout(io.StringIO()) as said:
        assert main(["train", "--data", "noisy.csv", "--target", "y", "--trials", "2"]) == 0
    assert "widths follow the row" in said.getvalue()
    client = mlflow.MlflowClient(workspace.uri)
    source = client.get_model_version_by_alias("noisy", "champion")
    mlflow.set_tracking_uri(workspace.uri)
    try:
        version = mlflow.artifacts.download_artifacts(
            "models:/noisy@champion", dst_path=str(folder / "version")
        )
        metrics = client.get_run(source.run_id).data.metrics
    finally:
        mlflow.set_tracking_uri(None)
    return workspace, version, table.drop(columns="y").head(200), metrics


@pytest.fixture(scope="module")
def served(start, trained):
    """That version, served."""
    with start("--model", trained[1]) as served:
        yield served


@pytest.fixture(scope="module")
def expected(trained):
    """The reference: the scorer in this process."""
    scorer = Scorer.load(f"{trained[1]}/scorer")
    return scorer.predict_interval(trained[2].to_numpy(), 0.9)


def split(frame):
    """Rows as MLflow's protocol has them."""
    return {"dataframe_split": frame.to_dict(orient="split")}


@pytest.mark.parametrize("count", [1, 200])
def test_params_ask_for_intervals(served, trained, expected, count):
    """Beside the predictions, which stay as they were; a row alone and a batch."""
    body = split(trained[2].head(count))
    status, plain, _ = served.call("/invocations", body)
    assert (status, set(plain)) == (200, {"predictions"})
    status, answer, _ = served.call("/invocations", body | {"params": {"coverage": 0.9}})
    assert (status, answer["intervals"]["coverage"]) == (200, 0.9)
    np.testing.assert_allclose(answer["predictions"], plain["predictions"], rtol=1e-12)
    np.testing.assert_allclose(answer["intervals"]["lower"], expected.lower[:count], rtol=1e-9)
    np.testing.assert_allclose(answer["intervals"]["upper"], expected.upper[:count], rtol=1e-9)
    assert np.ptp(expected.upper - expected.lower) > 1.0


def test_formats_without_params_ask_in_the_address(served, trained, expected):
    """CSV and Parquet have no place for params."""
    parquet = io.BytesIO()
    trained[2].to_parquet(parquet, index=False)
    for content, kind in (
        (trained[2].to_csv(index=False).encode(), "text/csv"),
        (parquet.getvalue(), "application/vnd.apache.parquet"),
    ):
        status, answer, _ = served.call("/invocations?coverage=0.9", content, headers={"Content-Type": kind})
        assert (status, answer["intervals"]["coverage"]) == (200, 0.9)
        np.testing.assert_allclose(answer["intervals"]["upper"], expected.upper, rtol=1e-9)


def test_the_simplest_call_takes_a_coverage_too(served, trained, expected):
    """One row gives one number each."""
    row = trained[2].iloc[0].to_dict()
    status, answer, _ = served.call("/predict", {"x": row, "coverage": 0.9})
    assert (status, set(answer)) == (200, {"y", "lower", "upper"})
    assert answer["lower"] == pytest.approx(expected.lower[0], rel=1e-9)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"coverage": 0.3}, "between 0.5 and 0.99"),
        ({"coverage": 1}, "between 0.5 and 0.99"),
        ({"coverage": "0.9"}, "must be a number"),
        ({"coverage": True}, "must be a number"),
        ({"coverage": 0.9, "temperature": 1}, "coverage and explain and top, and nothing else"),
        ([0.9], "coverage and explain and top, and nothing else"),
    ],
)
def test_what_is_no_coverage_is_refused(served, trained, params, says):
    """400, and the range is said."""
    status, answer, _ = served.call("/invocations", split(trained[2].head(1)) | {"params": params})
    assert (status, says in answer["message"]) == (400, True), answer
    assert served.call("/invocations?coverage=much", split(trained[2].head(1)))[0] == 400


def test_a_version_without_intervals_says_so(start, line):
    """One that was registered before there were any."""
    with start("--model", str(line)) as served:
        status, answer, _ = served.call("/predict", {"x": 3, "coverage": 0.9})
        assert (status, "without intervals" in answer["message"]) == (400, True)


def test_stock_mlflow_ignores_the_parameter(trained):
    """The same numbers with it and without, and no default that is filled in."""
    model = mlflow.pyfunc.load_model(trained[1])
    rows = trained[2].head(5)
    np.testing.assert_array_equal(model.predict(rows, params={"coverage": 0.9}), model.predict(rows))


def test_the_run_says_what_was_promised_and_reached(trained):
    """By MLflow's names."""
    metrics = trained[3]
    assert (
        metrics["interval_coverage_90_low"]
        <= metrics["interval_coverage_90"]
        <= metrics["interval_coverage_90_high"]
    )
    assert metrics["interval_width_50"] < metrics["interval_width_90"] < metrics["interval_width_95"]


@pytest.mark.soak
def test_fresh_rows_make_new_intervals_for_the_same_model(trained):
    """Noise twice as wild makes them wider, and the predictions stay to the bit."""
    workspace, old, _, _ = trained
    words = ["recalibrate", "--name", "noisy", "--data"]
    done = workspace.command(*words, "noisy.csv")
    assert (done.returncode, "pass fresh labelled rows" in done.stderr) == (2, True)
    fresh, _ = heteroscedastic(3_000)
    first = Scorer.load(f"{old}/scorer")
    predicted = first.predict(fresh.drop(columns="y").to_numpy())
    fresh["y"] = predicted + 2.0 * (fresh["y"] - predicted)
    fresh.to_csv(workspace.folder / "fresh.csv", index=False)
    done = workspace.command(*words, "fresh.csv")
    assert done.returncode == 0, done.stderr
    mlflow.set_tracking_uri(workspace.uri)
    try:
        folder = mlflow.artifacts.download_artifacts(
            "models:/noisy/2", dst_path=str(workspace.folder / "two")
        )
    finally:
        mlflow.set_tracking_uri(None)
    second = Scorer.load(f"{folder}/scorer")
    rows = fresh.drop(columns="y").to_numpy()
    np.testing.assert_array_equal(second.predict(rows), predicted)
    ratio = second.intervals.quantile_for(0.9) / first.intervals.quantile_for(0.9)
    assert 1.7 < ratio < 2.3
    bounds = second.predict_interval(rows, 0.9)
    inside = (bounds.lower <= fresh["y"]) & (fresh["y"] <= bounds.upper)
    assert inside.mean() == pytest.approx(0.9, abs=0.001)
    words = ["promote", "--name", "noisy", "--version", "2"]
    done = workspace.command(*words, "--policy", "not-worse", "--data", "noisy.csv")
    assert done.returncode == 0, done.stderr
    assert "promoted" in done.stdout


def test_a_file_is_scored_with_intervals(trained, expected, capsys):
    """Two columns beside the prediction; a coverage that is none is one line."""
    workspace, _, rows, _ = trained
    rows.to_csv(workspace.folder / "new.csv", index=False)
    words = ["--name", "noisy", "--version", "1", "--input", "new.csv", "--output", "out.csv", "--coverage"]
    with at_work_in(workspace.folder):
        assert score([*words, "0.9"]) == 0, capsys.readouterr().err
        assert score([*words, "2"]) == 2
    assert capsys.readouterr().err.splitlines()[-1][:17] == "slipway: coverage"
    scored = pd.read_csv(workspace.folder / "out.csv")
    np.testing.assert_allclose(scored["lower"], expected.lower, rtol=1e-9)
    np.testing.assert_allclose(scored["upper"], expected.upper, rtol=1e-9)
