"""Errors and their standard errors against independent references."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

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
def test_the_standard_errors_are_those_of_the_bootstrap(figure: str) -> None:
    """The delta method and 2,000 resamplings agree within a tenth: the bootstrap's own noise is 2 %."""
    draws = RANDOM.integers(0, 600, (2000, 600))
    resampled = [getattr(score(ACTUAL[rows], PREDICTED[rows]), figure) for rows in draws]
    assert getattr(score(ACTUAL, PREDICTED), f"{figure}_se") == pytest.approx(np.std(resampled), rel=0.1)


def test_a_perfect_prediction_has_no_error_and_no_doubt() -> None:
    """No division by the zero RMSE."""
    found = score(ACTUAL, ACTUAL)
    assert (found.rmse, found.rmse_se, found.r2) == (0.0, 0.0, 1.0)


def test_metrics_have_the_names_of_the_design() -> None:
    """Dashboards are built on them."""
    names = set(score(ACTUAL, PREDICTED).as_metrics("holdout", standard_errors=True))
    assert names == {f"holdout_{name}{end}" for name in ("rmse", "mae", "r2", "bias") for end in ("", "_se")}
