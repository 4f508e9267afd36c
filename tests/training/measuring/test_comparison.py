"""The promise of an interval, held to it by simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from training.measuring import comparison

pytestmark = pytest.mark.once  # simulations from fixed seeds

RETRAINS = 400


def simulated(random: np.random.Generator, kind: str, gain: float = 0.0):
    """Return a target of zeros, two models' predictions and the draws; the first has an RMSE lower by `gain`.

    Both models share most of each row's error, as retrains do. Errors have heavy tails, and are the same within a
    group, or drift slowly in time.
    """
    rows = 1200
    groups = random.integers(0, 60, rows)
    shared = random.standard_t(5, rows)
    ours, theirs = random.normal(0, 0.35, (2, rows))
    clusters = None
    if kind == "groups":
        ours, theirs = (own + random.normal(0, 0.4, 60)[groups] for own in (ours, theirs))
        shared, clusters = shared + random.normal(0, 1.0, 60)[groups], groups
    if kind == "time":
        slow = random.normal(0, 0.5, (2, 120)).repeat(10, axis=1)
        ours, theirs = ours + slow[0], theirs + slow[1]
        clusters = comparison.in_stretches(np.arange(rows, dtype=float))
    return np.zeros(rows), (shared + ours) * (1.0 - gain), shared + theirs, clusters


def share_found_better(kind: str, gain: float = 0.0) -> tuple[int, list[float]]:
    """Return how many of `RETRAINS` simulated challengers are found better, and what each holdout could have seen."""
    random = np.random.default_rng(7)
    changes = [
        comparison.compare(*simulated(random, kind, gain), seed=seed, resamples=300)
        for seed in range(RETRAINS)
    ]
    return sum(change.high < 0 for change in changes), [change.detectable for change in changes]


@pytest.mark.parametrize("kind", ["rows", "groups", "time"])
def test_a_challenger_that_is_no_better_is_seldom_found_better(kind: str) -> None:
    """At most 5 % of retrains: the binomial interval of what was found does not lie above it."""
    found, _ = share_found_better(kind)
    interval = binomtest(found, RETRAINS).proportion_ci(0.95, method="wilson")
    assert interval.low <= 0.05, (found, interval)
    assert found > 0  # it is a test with a size, not one that never finds anything


@pytest.mark.parametrize("kind", ["rows", "groups", "time"])
def test_the_stated_power_is_reached(kind: str) -> None:
    """A gain of the size said to be seen 80 % of the time is seen about so often."""
    _, detectable = share_found_better(kind)
    found, _ = share_found_better(kind, gain=float(np.median(detectable)))
    interval = binomtest(found, RETRAINS).proportion_ci(0.999, method="wilson")
    assert interval.low <= comparison.POWER <= interval.high, (found, interval)


def test_rows_that_err_together_taken_apart_would_be_believed_too_easily() -> None:
    """Why groups are drawn whole: as single rows they find a better challenger far too often."""
    random = np.random.default_rng(7)
    apart = 0
    for seed in range(RETRAINS):
        actual, ours, theirs, _ = simulated(random, "groups")
        apart += comparison.compare(actual, ours, theirs, seed=seed, resamples=200).high < 0
    assert binomtest(apart, RETRAINS).proportion_ci(0.95).low > 0.05


def test_the_interval_is_that_of_the_delta_method() -> None:
    """An independent reference for single rows: the linearised difference of two root mean squares."""
    random = np.random.default_rng(0)
    actual, ours, theirs, _ = simulated(random, "rows", gain=0.05)
    change = comparison.compare(actual, ours, theirs)
    a, b = ours**2, theirs**2
    moved = (a - a.mean()) / (2 * np.sqrt(a.mean())) - (b - b.mean()) / (2 * np.sqrt(b.mean()))
    error = moved.std(ddof=1) / np.sqrt(len(a)) / np.sqrt(b.mean())
    assert change.change == pytest.approx(np.sqrt(a.mean() / b.mean()) - 1)
    assert (change.high - change.low) / 2 == pytest.approx(1.962 * error, rel=0.06)


def test_equal_predictions_are_no_change() -> None:
    """A retrain on the same rows: an interval of no width at zero, which is not below zero."""
    change = comparison.compare(np.arange(50.0), np.ones(50), np.ones(50))
    assert (change.change, change.low, change.high) == (0.0, 0.0, 0.0)


def test_a_perfect_champion_cannot_be_beaten() -> None:
    """No division by its error of zero; two perfect models are equal."""
    actual = np.arange(20.0)
    assert not comparison.compare(actual, actual + 1, actual).high < 0
    assert comparison.compare(actual, actual, actual).change == 0.0


def test_more_rows_see_smaller_changes() -> None:
    """Four times the rows, half the change."""
    change = comparison.Change(1.0, 1.0, 0.0, -0.01, 0.01, 0.008, rows=4950, clusters=4950)
    assert change.rows_to_see(0.004) == 4950 * 4


def test_large_holdouts_are_drawn_in_bundles_with_the_same_error() -> None:
    """Speed only: the interval is that of single rows."""
    random = np.random.default_rng(0)
    shared, ours, theirs = random.normal(size=(3, 20_000))
    bundled = comparison.compare(np.zeros(20_000), shared + ours, shared + theirs)
    single = comparison.compare(
        np.zeros(20_000), shared + ours, shared + theirs, np.arange(20_000), resamples=500
    )
    assert bundled.clusters == comparison.MOST_CLUSTERS
    assert bundled.high - bundled.low == pytest.approx(single.high - single.low, rel=0.1)


def test_a_slice_that_got_worse_is_named_among_many_that_did_not() -> None:
    """With the correction for many slices; rows of too small slices are left out."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "town": random.choice([f"t{n}" for n in range(20)], 8000),
            "size": random.normal(size=8000),
            "flag": 1.0,
        }
    )
    frame.loc[:30, "town"] = "hamlet"
    champion = random.normal(size=8000)
    challenger = champion + random.normal(0, 0.1, 8000) + 1.5 * (frame["town"] == "t3").to_numpy()
    masks = dict(comparison.slices(frame, None))
    assert "town = hamlet" not in masks
    assert sum(name.startswith("size in") for name in masks) == comparison.BINS
    found = comparison.compare_slices(np.zeros(8000), challenger, champion, masks, limit=0.05)
    assert [part.name for part in found if part.surely_worse] == ["town = t3"]
