"""Intervals keep their promise, follow the row where that helps, and say what too few rows cannot promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from crepes import ConformalRegressor
from scipy.stats import binom

from benchmarks.accuracy import heteroscedastic
from data.schema import Schema
from data.tables import Table, describe
from serving.errors import CoverageRefused
from serving.scorer.scoring import Session
from tests.training.measuring.intervals.residual_rows import residuals_on
from training.compiling import compile_pipeline, compile_verified, compiler, with_scale
from training.measuring.intervals.conformal import (
    COVERAGES,
    Calibrated,
    calibrate,
    quantile,
    table_of,
)
from training.models import portfolio
from training.models.families import build


def fitted(rows: int = 4_000) -> tuple[pd.DataFrame, np.ndarray, Schema, object]:
    """A boosting on half of a table whose noise grows with x0; returns the whole table."""
    table, _ = heteroscedastic(rows)
    names = list(table.columns[:-1])
    schema = describe(Table("t", table, dict.fromkeys(table.columns, "number")), names, target="y")
    model = build({"family": "boosting", "params": {}}, schema, seed=0)
    half = rows // 2
    return (
        table[names],
        table["y"].to_numpy(),
        schema,
        model.fit(table[names][:half], table["y"].to_numpy()[:half]),
    )


@pytest.fixture(scope="module")
def calibrated() -> tuple[Calibrated, pd.DataFrame, np.ndarray, np.ndarray]:
    """Calibrated on a quarter; returns the last quarter with its predictions."""
    frame, y, schema, model = fitted(24_000)
    predicted = model.predict(frame)
    part, rest = slice(12_000, 16_000), slice(16_000, 24_000)
    found = calibrate(residuals_on(frame[part], np.abs(y - predicted)[part]), schema, seed=0)
    assert found is not None
    return found, frame[rest], y[rest], predicted[rest]


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_the_share_inside_is_the_promised_one(calibrated, coverage: float) -> None:
    """Within what chance does 99 times in 100, calibration's own chance included."""
    found, frame, y, predicted = calibrated
    bounds = found.table.around(predicted, found.scale.predict(frame), coverage)
    inside = float(np.mean((bounds.lower <= y) & (y <= bounds.upper)))
    # The quantile of 4,000 rows and the share of 8,000 both vary: as one share of 2,667 rows would.
    low, high = binom.ppf([0.005, 0.995], 2_667, coverage) / 2_667
    assert low <= inside <= high


def test_widths_that_follow_the_row_are_narrower_where_the_noise_differs(calibrated) -> None:
    """At least 15 % narrower on average than one width for all."""
    found, frame, y, predicted = calibrated
    assert found.table.adaptive
    adaptive = found.table.quantile_for(0.9) * float(found.scale.predict(frame).mean())
    constant = quantile(np.abs(y - predicted), 0.9)
    assert adaptive <= 0.85 * constant


def test_one_width_serves_where_the_noise_is_the_same() -> None:
    """A scale model would only add noise of its own."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=3_000)})
    schema = describe(Table("t", frame.assign(y=0.0), {"x": "number", "y": "number"}), ["x"], target="y")
    found = calibrate(residuals_on(frame, np.abs(random.normal(size=3_000))), schema, seed=0)
    assert found is not None
    assert found.scale is None
    assert found.table.quantile_for(0.9) == pytest.approx(1.645, rel=0.05)


def test_the_table_is_that_of_crepes() -> None:
    """The reference is a kept library for conformal prediction."""
    residuals = np.random.default_rng(1).normal(size=500)
    scale = np.exp(np.random.default_rng(2).normal(size=500))
    frame = pd.DataFrame({"x": np.zeros(500)})
    table = table_of(residuals_on(frame, np.abs(residuals)), scale, adaptive=True)
    assert table is not None
    reference = ConformalRegressor().fit(residuals, sigmas=scale)
    for coverage in (0.5, 0.73, 0.9, 0.99):
        (bounds,) = reference.predict_int(np.zeros(1), sigmas=np.ones(1), confidence=coverage)
        assert table.quantile_for(coverage) == pytest.approx(bounds[1], rel=1e-12)


def test_too_few_rows_promise_less_and_say_how_many_are_needed() -> None:
    """With 20 rows nothing beyond 20/21 can be kept."""
    table = table_of(
        residuals_on(pd.DataFrame({"x": np.zeros(20)}), np.arange(1.0, 21.0)), np.ones(20), adaptive=False
    )
    assert table is not None
    assert table.coverage[-1] == 0.95
    with pytest.raises(CoverageRefused, match="needs at least 99 calibration rows, this version has 20"):
        table.quantile_for(0.99)
    for outside in (0.49, 0.995, float("nan")):
        with pytest.raises(CoverageRefused, match=r"between 0\.5 and 0\.99"):
            table.quantile_for(outside)
    assert len(COVERAGES) == 50


def test_a_spread_that_grows_with_time_widens_the_intervals() -> None:
    """The newest half decides where it is wilder than all rows."""
    random = np.random.default_rng(0)
    absolute = np.abs(random.normal(0.0, np.linspace(1.0, 3.0, 2_000)))
    frame = pd.DataFrame({"x": np.zeros(2_000)})
    by_time = table_of(
        residuals_on(frame, absolute, moments=np.arange(2_000.0)), np.ones(2_000), adaptive=False
    )
    by_hash = table_of(residuals_on(frame, absolute), np.ones(2_000), adaptive=False)
    assert by_time.quantile_for(0.9) == quantile(absolute[1_000:], 0.9)
    assert by_time.quantile_for(0.9) > by_hash.quantile_for(0.9)


def test_the_scale_is_a_second_output_that_costs_nothing_unasked() -> None:
    """The predictions are the same to the bit, the scales are their model's."""
    frame, y, schema, model = fitted()
    scale = build({"family": "boosting", "params": {"max_iter": 20, "target": "natural_log"}}, schema, seed=0)
    scale.fit(frame, np.abs(y - model.predict(frame)) + 0.1)
    plain = compile_verified(model, schema=schema, frame=frame, target=y)
    both = with_scale(plain, scale, frame=frame)
    matrix = frame.to_numpy()
    np.testing.assert_array_equal(Session(both.graph).predict(matrix), Session(plain.graph).predict(matrix))
    found = Session(both.graph).predict_with_scale(matrix)[:, 1]
    np.testing.assert_allclose(found, scale.predict(frame), rtol=1e-9)


def test_a_blend_of_trees_and_a_line_has_a_scale_too() -> None:
    """It was refused for a last bit: rows were sorted for the one side, and a product's bits hang on a row's place."""
    random = np.random.default_rng(0)
    words = {name: [f"w{word}" for word in random.integers(0, 4, 602)] for name in "abc"}
    frame = pd.DataFrame(words).assign(hour=random.integers(0, 24, 602).astype(float))
    y = np.sin(frame["hour"].to_numpy()) + random.normal(size=602)
    kinds = {**dict.fromkeys("abc", "category"), "hour": "number", "y": "number"}
    schema = describe(Table("t", frame.assign(y=y), kinds), list(frame), target="y")
    members = [portfolio.FEW_LEAVES, portfolio.spec_of("ridge")]
    blend = build({"family": "blend", "members": members, "weights": [0.5, 0.5]}, schema, seed=0).fit(
        frame, y
    )
    scale = build({"family": "boosting", "params": {"max_iter": 5}}, schema, seed=0).fit(frame, np.abs(y))
    plain = compile_verified(blend, schema=schema, frame=frame, target=y)
    assert with_scale(plain, scale, frame=frame).graph != plain.graph


def test_a_pipeline_is_compiled_once_for_both_of_its_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner of each search was compiled a second time for its intervals; the bytes, and so digests, stay."""
    frame, y, schema, model = fitted()
    scale = build({"family": "boosting", "params": {"max_iter": 5}}, schema, seed=0).fit(frame, np.abs(y))
    anew = compile_pipeline(model, schema, scale=scale)
    compiled: list[Any] = []
    whole = compiler._whole
    monkeypatch.setattr(compiler, "_whole", lambda step, *words: compiled.append(step) or whole(step, *words))
    plain = compile_verified(model, schema=schema, frame=frame, target=y)
    assert with_scale(plain, scale, frame=frame).graph == anew
    assert compiled == [model, scale]
    assert plain.draft.written() == plain.graph, "what was written in between leaves nothing behind"
