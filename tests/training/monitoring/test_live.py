"""Figures of several days together, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from training.measuring import comparison
from training.monitoring import live


def days(random: np.random.Generator, count: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Errors of rows and their days: each day has a size of its own, and errs more or less as a whole."""
    day = np.repeat(np.arange(count), random.integers(20, 90, count))
    return random.normal(size=len(day)) * random.uniform(0.7, 1.4, count)[day], day


def by_day(values: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the number of rows of each day."""
    rows = np.bincount(day).astype(float)
    return np.bincount(day, values) / rows, rows


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_days_is_that_of_their_rows_with_whole_days_redrawn(seed: int) -> None:
    """The value to the last digit; the interval as wide as the holdout's bootstrap would make it."""
    error, day = days(np.random.default_rng(seed))
    squares, rows = by_day(error**2, day)
    found = live.pooled_error(np.sqrt(squares), rows)
    known = comparison.estimate(np.arange(len(error)) + 0.0, np.arange(len(error)) + error, day)["rmse"]
    assert found.value == pytest.approx(np.sqrt((error**2).mean()))
    assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=0.02)


def test_the_interval_of_a_share_holds_the_true_one() -> None:
    """95 % of the time, where days differ; one that took rows for independent would hold it half as often."""
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        rows = random.integers(50, 150, 28).astype(float)
        found = live.pooled_share(random.binomial(rows.astype(int), random.beta(18, 2, 28)) / rows, rows)
        held += found.low <= 0.9 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_few_days_have_a_figure_and_no_interval() -> None:
    """One day says nothing of how days differ."""
    for figure in (live.pooled_error, live.pooled_share):
        found = figure(np.array([0.5]), np.array([10.0]))
        assert found.value == pytest.approx(0.5)
        assert not np.isfinite(found.half)


def test_a_model_that_never_errs_has_an_error_of_zero() -> None:
    """Its logarithm would be none."""
    assert live.pooled_error(np.zeros(9), np.ones(9)).value == 0.0
