"""Intervals and the learning curve against what is known of the rows they were made from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeRegressor

from data.splits import Split, SplitRule, split_table
from data.tables import Table
from training.measuring import Assessment, HoldoutErrors, comparison, learning_curve
from training.measuring.comparison import Interval, clusters_of, estimate
from training.measuring.learning_curve import Curve, measure
from training.measuring.scores import score
from training.pages.report import interval

RANDOM = np.random.default_rng(11)


def test_the_figures_are_those_of_the_evaluation() -> None:
    """Two roads to one figure, and its interval on either side of it."""
    actual = RANDOM.gamma(2.0, 10.0, 800)
    predicted = actual + RANDOM.normal(0.5, 3.0, 800)
    expected = score(actual, predicted)
    for name, found in estimate(actual, predicted).items():
        assert found.value == pytest.approx(getattr(expected, name))
        assert (found.high - found.low) / 3.926 == pytest.approx(found.standard_error, rel=0.05)


@pytest.mark.parametrize("rows", [8, 40])
def test_an_error_below_zero_is_never_within_its_interval(rows: int) -> None:
    """An RMSE cannot be negative; one wild row took a symmetric interval there in one of ten small holdouts."""
    held = 0
    for _ in range(200):
        error = RANDOM.lognormal(0.0, 1.0, rows)
        found = estimate(np.arange(rows), np.arange(rows) + error, resamples=200)
        assert 0.0 < found["rmse"].low < found["rmse"].value < found["rmse"].high
        assert found["mae"].low > 0.0
        held += found["mae"].low <= np.exp(0.5) <= found["mae"].high
    assert held >= {8: 155, 40: 165}[rows]  # symmetric ones with 8 rows: 146


def test_one_target_of_a_million_millions_leaves_a_readable_interval() -> None:
    """The error of one row is the error of all: its interval is wide, and above zero."""
    actual = np.append(RANDOM.normal(200.0, 20.0, 299), 1e12)
    found = estimate(actual, np.full(300, 200.0))["rmse"]
    assert 0.0 < found.low < 5.77e10 < found.high
    assert "e" not in interval(found)
    assert len(interval(found)) < 60


def test_rows_that_err_together_widen_the_interval() -> None:
    """Twenty groups of fifty with an error of their own: by rows alone the bias would seem seven times too sure."""
    groups = np.repeat(np.arange(20), 50)
    error = RANDOM.normal(0.0, 1.0, 20)[groups]
    actual = RANDOM.normal(0.0, 1.0, 1000)
    alone, together = estimate(actual, actual + error), estimate(actual, actual + error, groups)
    assert together["bias"].half == pytest.approx(2.093 * error[::50].std() / np.sqrt(20), rel=0.1)
    assert together["bias"].half > 5 * alone["bias"].half


def test_a_group_or_a_day_is_one_draw() -> None:
    """The split's own blocks; in time, stretches."""
    frame = pd.DataFrame({"day": np.repeat(np.arange(400.0), 2), "x": RANDOM.normal(size=800)})
    table = Table("t", frame, {"day": "number", "x": "number"})
    grouped = split_table(table, SplitRule("group", ("day",)))
    held_out = grouped.mask("holdout")
    clusters = clusters_of(grouped, held_out)
    assert len(set(clusters.tolist())) == frame["day"][held_out].nunique()
    forward = split_table(table, SplitRule("time", ("day",)))
    clusters = clusters_of(forward, forward.mask("holdout"))
    assert len(set(clusters.tolist())) == 40
    assert (np.diff(clusters) >= 0).all()


def test_too_few_draws_give_no_interval_but_the_figure() -> None:
    """Three groups say nothing of the fourth, and the text must not pretend otherwise."""
    found = estimate(np.arange(9.0), np.arange(9.0) + 1.0, np.repeat([0, 1, 2], 3))["rmse"]
    assert found.value == 1.0
    assert np.isinf(found.half)
    assert interval(found, "m") == "1 m (too few rows for an interval)"
    assert interval(Interval(3.0, 3.0, 3.0)) == "3.000 [3.000, 3.000]"


def curve(
    pipeline: Pipeline, rows: int, noise: float, *, clusters=None, budget: float = 60.0
) -> Curve | None:
    """Measure on a sine of one column among three."""
    random = np.random.default_rng(2)
    frame = pd.DataFrame(random.uniform(0, 1, (rows, 3)), columns=list("abc"))
    target: NDArray[np.float64] = np.sin(12 * frame["a"].to_numpy()) + random.normal(0, noise, rows)
    assigned = np.arange(rows) % 5 if clusters is None else clusters % 5
    folds = [(np.flatnonzero(assigned != k), np.flatnonzero(assigned == k)) for k in range(5)]
    blocks = np.arange(rows) if clusters is None else clusters
    return measure(pipeline, frame, target, folds, clusters=blocks, budget=budget, seconds_a_row=1e-4)


TREE = make_pipeline(DecisionTreeRegressor(min_samples_leaf=3, random_state=0))


def test_a_model_that_still_learns_is_told_apart_from_one_at_its_end() -> None:
    """A tree on a nearly noiseless sine gains with each doubling; a straight line has nothing left to learn from it."""
    learning, done = curve(TREE, 1500, 0.02), curve(make_pipeline(LinearRegression()), 3000, 0.3)
    assert learning is not None
    assert done is not None
    assert learning.sizes == (150, 300, 600, 1200)
    assert list(learning.rmse) == sorted(learning.rmse, reverse=True)
    assert "would lower RMSE by about" in str(learning)
    assert "would change little" in str(done)


def test_what_the_rows_cannot_tell_is_not_told() -> None:
    """Noise over a slight slope, 250 rows: the interval holds both a gain and a loss beyond what counts as little."""
    found = curve(TREE, 250, 5.0)
    assert found is not None
    assert found.last.low < -0.01 < 0.0 < found.last.high
    assert str(found).startswith("These rows cannot tell")


def test_the_budget_bounds_the_rows_and_says_so() -> None:
    """At 0.1 ms a row, 0.15 s carry three folds of 250 rows; too few rows give no curve at all."""
    found = curve(make_pipeline(LinearRegression()), 3000, 0.3, budget=0.1501)
    assert found is not None
    assert (found.folds, found.sizes[-1], found.rows) == (3, 250, 2400)
    assert "measured on up to 250 of 2,400 rows" in str(found)
    assert curve(make_pipeline(LinearRegression()), 150, 0.3) is None


def test_a_curve_that_would_take_several_times_its_time_is_given_up(monkeypatch) -> None:
    """Fits of few rows take longer than their rows let expect: three folds took 20 s of 7."""
    monkeypatch.setattr(learning_curve, "LEAST_BEYOND", 0.0)
    assert curve(make_pipeline(LinearRegression()), 3000, 0.3, budget=0.001) is None


def test_rows_have_no_twins_where_features_decide_their_side() -> None:
    """Then the digests of all rows need not be compared; with another split they are."""
    frame = pd.DataFrame({"a": [1.0, 1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0, 0.0]})
    table = Table("t", frame, {"a": "number", "b": "number"})
    sides = np.array(["train", "holdout", "train", "holdout"])
    for columns, features, found in ((("a", "b"), ["a", "b"], False), (("a", "b"), ["a"], True)):
        split = Split(SplitRule("hash", columns), sides, np.arange(4, dtype=np.uint64))
        twins = comparison.twins(table, split, features, split.mask("holdout"), split.mask("train"))
        assert twins.tolist() == [found, False]


def test_twins_enter_a_part_together() -> None:
    """Each row four times: were twins torn apart, an eighth of the rows would hold more than its share of values."""
    seen: list[int] = []

    class Counting(LinearRegression):
        def fit(self, X, y):
            seen.append(len(np.unique(X["a"])))
            return super().fit(X, y)

    clusters = np.repeat(np.arange(400), 4)
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.uniform(size=400)[clusters]})
    folds = [(np.flatnonzero(clusters % 5 != k), np.flatnonzero(clusters % 5 == k)) for k in range(5)]
    found = measure(
        make_pipeline(Counting()),
        frame,
        frame["a"].to_numpy(),
        folds,
        clusters=clusters,
        budget=60,
        seconds_a_row=1e-6,
    )
    assert found is not None
    assert seen[:4] == [40, 80, 160, 320]


@pytest.mark.parametrize(("rows", "told"), [(3_000, "would lower RMSE by about 2"), (30_000, "time to look")])
def test_a_few_rows_do_not_say_what_comes_after_many(rows: int, told: str) -> None:
    """The doubling of 949 rows promised 1.3 % for each beyond 18,319, where that of 3,664 had said next to nothing."""
    change = comparison.Change(1.0, 1.02, -0.02, -0.03, -0.01, 0.01, 500, 500)
    found = Curve((1_000, 2_000), (1.02, 1.0), change, rows, 3)
    assert told in str(found)
    figures = estimate(np.arange(9.0), np.arange(9.0) + 0.5)
    assessed = Assessment(HoldoutErrors("all", 9, figures), None, (), change, found)
    assert ("rmse_change_of_last_doubling_low" in assessed.as_metrics()) == (rows == 3_000)
