"""Weights against independent references: repeated rows, scikit-learn's metrics, simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit
from scipy.stats import binomtest
from sklearn import metrics

from data.splits import Split, SplitRule
from data.tables import Table
from training.measuring import comparison, conformal, coverage
from training.measuring.intervals.conformal import Residuals, quantile, table_of, worth
from training.measuring.scores import score
from training.search.candidates import blend_weights
from training.weights import effective, relative

RANDOM = np.random.default_rng(7)
ROWS = 400
ACTUAL = RANDOM.gamma(2.0, 10.0, ROWS)
PREDICTED = ACTUAL + RANDOM.normal(1.0, 3.0, ROWS) * (1.0 + ACTUAL / 40.0)
OTHER = ACTUAL + RANDOM.normal(0.0, 4.0, ROWS)
TIMES = RANDOM.integers(1, 6, ROWS)
WEIGHT = relative(TIMES.astype(float))
FIGURES = ("rmse", "mae", "r2", "bias")


def test_only_the_size_beside_the_others_counts() -> None:
    """Sums of the largest numbers do not overflow, and equal weights are none."""
    assert relative(np.full(3, 7.0)) is None
    assert relative(None) is None
    np.testing.assert_allclose(relative(np.array([1e308, 1e308, 5e307])), [1.2, 1.2, 0.6])
    np.testing.assert_allclose(relative(np.array([2e-320, 1e-320])), [4 / 3, 2 / 3], rtol=1e-3)


def test_errors_are_those_of_the_rows_repeated() -> None:
    """And scikit-learn's with sample_weight: two references that are not ours."""
    found = score(ACTUAL, PREDICTED, WEIGHT)
    repeated = score(np.repeat(ACTUAL, TIMES), np.repeat(PREDICTED, TIMES))
    for name in FIGURES:
        assert getattr(found, name) == pytest.approx(getattr(repeated, name), rel=1e-12)
    assert found.rmse == pytest.approx(
        metrics.root_mean_squared_error(ACTUAL, PREDICTED, sample_weight=TIMES), rel=1e-12
    )
    assert found.r2 == pytest.approx(metrics.r2_score(ACTUAL, PREDICTED, sample_weight=TIMES), rel=1e-12)


@pytest.mark.parametrize("figure", FIGURES)
def test_the_standard_errors_are_those_of_rows_drawn_with_their_weights(figure: str) -> None:
    """2,000 resamplings of rows whose weights go with their errors agree within a tenth."""
    heavy = relative(TIMES * (1.0 + np.abs(PREDICTED - ACTUAL)))
    assert heavy is not None
    clusters = RANDOM.integers(0, ROWS, (2000, ROWS))
    redrawn = [getattr(score(ACTUAL[rows], PREDICTED[rows], heavy[rows]), figure) for rows in clusters]
    found = comparison.estimate(ACTUAL, PREDICTED, None, heavy)[figure].standard_error
    assert found == pytest.approx(np.std(redrawn), rel=0.1)


def test_the_change_and_its_error_are_those_of_rows_repeated_and_drawn_together() -> None:
    """A row that stands for many is one draw, as equal rows are; only the width of the few is another."""
    weighted = comparison.compare(ACTUAL, PREDICTED, OTHER, None, WEIGHT)
    many = [np.repeat(values, TIMES) for values in (ACTUAL, PREDICTED, OTHER, np.arange(ROWS))]
    repeated = comparison.compare(*many)
    assert weighted.change == pytest.approx(repeated.change, rel=1e-12)
    widths = [stdtrit(change.clusters - 1, 0.975) for change in (weighted, repeated)]
    assert (weighted.high - weighted.low) / widths[0] == pytest.approx(
        (repeated.high - repeated.low) / widths[1], rel=1e-9
    )
    assert WEIGHT is not None
    assert (repeated.clusters, weighted.clusters) == (ROWS, int(effective(WEIGHT)))
    assert weighted.rows == ROWS


def test_estimates_are_those_of_rows_repeated() -> None:
    """Each figure of the card, with its interval."""
    weighted = comparison.estimate(ACTUAL, PREDICTED, None, WEIGHT)
    repeated = comparison.estimate(
        np.repeat(ACTUAL, TIMES), np.repeat(PREDICTED, TIMES), np.repeat(np.arange(ROWS), TIMES)
    )
    for name in FIGURES:
        assert weighted[name].value == pytest.approx(repeated[name].value, rel=1e-12)
        assert weighted[name].half == pytest.approx(repeated[name].half, rel=0.02)


def test_a_constant_times_all_weights_changes_nothing() -> None:
    """Not a metric, not an interval, not a decision."""
    times = relative(TIMES * 1e6)
    assert score(ACTUAL, PREDICTED, times).rmse == pytest.approx(
        score(ACTUAL, PREDICTED, WEIGHT).rmse, rel=1e-12
    )
    one, other = (comparison.compare(ACTUAL, PREDICTED, OTHER, None, w) for w in (WEIGHT, times))
    assert other.low == pytest.approx(one.low, rel=1e-9)
    assert one.clusters == other.clusters


def test_few_rows_with_all_the_weight_tell_nothing() -> None:
    """Three rows that outweigh 997 are three draws: no interval, rather than a narrow one."""
    weight = np.full(1000, 1e-9)
    weight[:3] = 1.0
    random = np.random.default_rng(0)
    actual, predicted = random.normal(size=(2, 1000))
    found = comparison.estimate(actual, predicted, None, relative(weight))
    assert found["rmse"].half == np.inf


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_challenger_that_is_no_better_is_seldom_found_better_by_weighted_rows(strength: float) -> None:
    """At most 5 % of 400 retrains with log-normal weights that go with the size of the errors."""
    random, found = np.random.default_rng(1), 0
    for seed in range(400):
        size = random.normal(size=600)
        shared, ours, theirs = random.standard_t(5, 600), *random.normal(0.0, 0.35, (2, 600))
        shared = shared * np.exp(0.3 * size)
        weight = relative(np.exp(strength * size))
        change = comparison.compare(
            np.zeros(600), shared + ours, shared + theirs, None, weight, seed=seed, resamples=300
        )
        found += change.high < 0
    assert found > 0
    assert binomtest(found, 400).proportion_ci(0.95, method="wilson").low <= 0.05, found


def test_who_is_better_is_decided_by_the_rows_that_count() -> None:
    """A challenger that wins on most rows and loses on those that stand for many."""
    random = np.random.default_rng(3)
    heavy = np.arange(2000) < 200
    champion, better = random.normal(size=(2, 2000))
    challenger = np.where(heavy, 1.5, 0.5) * better
    weight = relative(np.where(heavy, 50.0, 1.0))
    zeros = np.zeros(2000)
    assert comparison.compare(zeros, challenger, champion).high < 0
    assert comparison.compare(zeros, challenger, champion, None, weight).low > 0
    masks = {"all but ten": np.arange(2000) >= 10}
    (part,) = comparison.compare_slices(zeros, challenger, champion, masks, limit=0.05, weight=weight)
    assert part.surely_worse


def test_blend_weights_are_those_of_the_rows_repeated() -> None:
    """The squares that they lower are the weighted ones."""
    members = np.column_stack([PREDICTED, OTHER, ACTUAL + 3.0])
    repeated = blend_weights(np.repeat(members, TIMES, axis=0), np.repeat(ACTUAL, TIMES))
    np.testing.assert_array_equal(blend_weights(members, ACTUAL, WEIGHT), repeated)
    assert not np.array_equal(blend_weights(members, ACTUAL, np.where(ACTUAL > 30, 100.0, 0.01)), repeated)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_quantile_is_that_of_the_residuals_repeated(share: float) -> None:
    """With a row to come of weight 1, as each repeated one has: to the bit."""
    absolute = np.abs(PREDICTED - ACTUAL)
    repeated = quantile(np.repeat(absolute, TIMES), share)
    assert quantile(absolute, share, TIMES.astype(float), 1.0) == repeated
    assert quantile(absolute, share, TIMES * 3.7, 3.7) == repeated


def residuals(absolute: np.ndarray, weight: np.ndarray | None) -> Residuals:
    """Return residuals of rows that stand alone."""
    frame = pd.DataFrame({"x": np.zeros(len(absolute))})
    return Residuals(frame, absolute, np.arange(len(absolute), dtype=np.uint64), None, "calibration", weight)


def test_equal_weights_promise_what_no_weights_promise() -> None:
    """The formula of the unweighted table is the special case, rank by rank."""
    absolute = np.abs(PREDICTED - ACTUAL)[:50]
    plain, weighted = (
        table_of(residuals(absolute, w), np.ones(50), adaptive=False) for w in (None, np.ones(50))
    )
    assert plain == weighted


def test_a_coverage_is_promised_where_the_largest_weight_leaves_room_for_it() -> None:
    """Ninety-nine rows of weight 1 and one of 11 are worth ten equal rows: nothing beyond 10/11 is finite."""
    weight = np.ones(100)
    weight[0] = 11.0
    assert worth(np.zeros(100), weight) == 10.0
    table = table_of(residuals(np.arange(100.0), weight), np.ones(100), adaptive=False)
    assert table is not None
    assert (table.rows, table.coverage[-1]) == (10, 0.9)
    heavy = np.where(np.arange(100) == 0, 1e6, 1.0)
    alone = table_of(residuals(np.arange(100.0), heavy), np.ones(100), adaptive=False)
    assert alone is not None
    assert (alone.rows, alone.coverage) == (1, (0.5,))


def weighted_share_inside(rows: int, levels: int, *, use_weights: bool) -> float:
    """Return the mean coverage at 0.8 over many calibrations, of a population in which weights go with the spread.

    A row weighs 1 or 4; heavy rows err three times as far. A future row is drawn by weight, so its coverage is exact:
    |error| is exponential, and a heavy row is the future one 4 times as often.
    """
    random, inside = np.random.default_rng(5), []
    for _ in range(levels):
        heavy = random.random(rows) < 0.2
        absolute = random.exponential(np.where(heavy, 3.0, 1.0))
        weight = relative(np.where(heavy, 4.0, 1.0))
        half = quantile(absolute, 0.8, weight if use_weights else None)
        p_heavy = 0.2 * 4.0 / (0.2 * 4.0 + 0.8)
        inside.append(p_heavy * (1.0 - np.exp(-half / 3.0)) + (1.0 - p_heavy) * (1.0 - np.exp(-half)))
    return float(np.mean(inside))


@pytest.mark.parametrize("rows", [40, 300])
def test_the_weighted_share_inside_is_at_least_the_promised_one(rows: int) -> None:
    """Over 4,000 calibrations, heavy rows erring further; and not much more: the largest weight is 2.5 means."""
    found = weighted_share_inside(rows, 4_000, use_weights=True)
    assert 0.8 <= found <= 0.8 + 2 * 2.5 / rows


def test_unweighted_quantiles_would_break_the_promise() -> None:
    """What the weights are for: without them the share inside is ten points short."""
    assert weighted_share_inside(300, 500, use_weights=False) < 0.74


def share_within_chance(*, weighed: bool, trials: int = 400) -> float:
    """Return how often the weighted share inside lies in the range, over tables made from rows drawn anew.

    Weights are log-normal, and errors grow with them; 400 rows make the table, 500 are judged.
    """
    random, within = np.random.default_rng(2), 0
    everything = np.ones(500, dtype=bool)
    for _ in range(trials):
        size = random.normal(size=900)
        absolute = np.abs(random.normal(size=900)) * np.exp(0.3 * size)
        made_from, judged = (relative(np.exp(0.7 * part)) for part in (size[:400], size[400:]))
        table = table_of(residuals(absolute[:400], made_from), np.ones(400), adaptive=False)
        assert table is not None
        inside = absolute[400:] <= table.quantile_for(0.9)
        weights = coverage.Weighed(judged, made_from)
        split = Split(SplitRule("hash", ("x",)), np.full(500, "holdout"), np.arange(500, dtype=np.uint64))
        crowded = coverage.crowding(inside, np.arange(500), weights.judged)
        low, high = coverage.chance(0.9, made_from=400, newest=400, judged_on=500)
        if weighed:
            low, high = coverage._counts(table, split, weights).chance(0.9, everything, crowded)
        within += bool(low <= np.average(inside, weights=judged) <= high)
    return within / trials


def test_the_range_of_chance_is_that_of_the_effective_rows_on_both_sides() -> None:
    """About 99 times in 100, though heavy rows err further and the table leaves room for one more of them."""
    assert 0.97 <= share_within_chance(weighed=True) < 1.0


def test_the_range_of_as_many_unweighted_rows_would_be_too_narrow() -> None:
    """Why the range knows the weights."""
    assert share_within_chance(weighed=False, trials=100) < 0.96


def test_calibrated_intervals_cover_the_weighted_rows() -> None:
    """With a scale model fitted by weight: noise that grows with x, and heavy rows where it is wild."""
    from data.tables import describe

    random = np.random.default_rng(0)
    x = random.uniform(0.0, 1.0, 12_000)
    absolute = np.abs(random.normal(0.0, 0.2 + 2.0 * x**2))
    weight = np.exp(2.0 * x)
    frame = pd.DataFrame({"x": x})
    schema = describe(Table("t", frame.assign(y=0.0), {"x": "number", "y": "number"}), ["x"], target="y")
    fit, rest = slice(0, 4_000), slice(4_000, None)
    blocks = random.integers(0, 2**63, 4_000).astype(np.uint64)
    given = Residuals(frame[fit], absolute[fit], blocks, None, "calibration", relative(weight[fit]))
    found = conformal.calibrate(given, schema, seed=0)
    assert found is not None and found.scale is not None
    half = found.table.quantile_for(0.9) * found.scale.predict(frame[rest])
    inside = np.average(absolute[rest] <= half, weights=weight[rest])
    assert 0.885 <= inside <= 0.915
