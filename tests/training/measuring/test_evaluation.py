"""Errors and their standard errors against independent references."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics

from training.measuring.comparison import estimate, standard_errors
from training.measuring.scores import score

RANDOM = np.random.default_rng(7)
ACTUAL = RANDOM.gamma(2.0, 10.0, 600)
PREDICTED = ACTUAL + RANDOM.normal(1.0, 3.0, 600) * (1.0 + ACTUAL / 40.0)


def test_the_errors_are_scikit_learns() -> None:
    """An implementation that is not ours; bias is the mean of prediction - actual."""
    found = score(ACTUAL, PREDICTED)
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(ACTUAL, PREDICTED))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(ACTUAL, PREDICTED))
    assert found.r2 == pytest.approx(metrics.r2_score(ACTUAL, PREDICTED))
    assert found.bias == pytest.approx(np.mean(PREDICTED - ACTUAL))


@pytest.mark.parametrize("figure", ["rmse", "mae", "r2", "bias"])
def test_the_standard_errors_are_those_of_rows_drawn_again(figure: str) -> None:
    """2,000 resamplings of whole rows, scored one by one, agree within a tenth: their own noise is 2 %."""
    clusters = RANDOM.integers(0, 600, (2000, 600))
    resampled = [getattr(score(ACTUAL[rows], PREDICTED[rows]), figure) for rows in clusters]
    assert estimate(ACTUAL, PREDICTED)[figure].standard_error == pytest.approx(np.std(resampled), rel=0.1)


@pytest.mark.parametrize("rows", [1_000, 12_000])
def test_the_standard_error_is_right_where_rows_err_together(rows: int) -> None:
    """Groups of ten with an error of their own: as independent rows, the mean's would be a third of what it is."""
    groups = np.repeat(np.arange(rows // 10), 10)
    actual, own = RANDOM.normal(0.0, 9.0, rows), RANDOM.normal(0.0, 1.0, rows // 10)
    found = estimate(actual, actual + own[groups], groups)["bias"].standard_error
    assert found == pytest.approx(1.0 / np.sqrt(rows // 10), rel=0.3)


def test_a_doubt_that_rows_cannot_tell_is_no_metric() -> None:
    """Four groups say next to nothing: a small number would be read as certainty."""
    few = estimate(ACTUAL, PREDICTED, np.arange(600) % 4)
    assert standard_errors("holdout", few) == {}
    assert few["rmse"].value == pytest.approx(score(ACTUAL, PREDICTED).rmse)


def test_as_many_draws_as_rows_take_no_longer() -> None:
    """60,000 rows of a holdout, no two alike, took 20 s."""
    actual = RANDOM.normal(0.0, 1.0, 60_000)
    began = time.process_time()
    alone = estimate(actual, actual + 1.0, np.arange(60_000))
    apart = estimate(actual, actual + 1.0)
    assert alone["r2"].standard_error == pytest.approx(apart["r2"].standard_error, rel=0.15)
    assert time.process_time() - began < 10.0


def test_a_perfect_prediction_has_no_error_and_no_doubt() -> None:
    """No division by the zero RMSE."""
    found = score(ACTUAL, ACTUAL)
    doubts = standard_errors("holdout", estimate(ACTUAL, ACTUAL))
    assert (found.rmse, doubts["holdout_rmse_se"], found.r2) == (0.0, 0.0, 1.0)


def test_metrics_have_the_names_of_the_design() -> None:
    """Dashboards are built on them."""
    doubts = standard_errors("holdout", estimate(ACTUAL, PREDICTED))
    names = set(score(ACTUAL, PREDICTED).as_metrics("holdout") | doubts)
    assert names == {f"holdout_{name}{end}" for name in ("rmse", "mae", "r2", "bias") for end in ("", "_se")}
