"""How far predictions are from the truth, and how sure that figure is.

Sees targets and predictions only. Rows are taken as independent: rows of one group, or of one
stretch of time, that err together make the standard errors below too small.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.weights import Weight, mean, spread


@dataclass(frozen=True)
class Scores:
    """Errors on one set of rows, `prediction - actual` in the target's unit; `_se` are standard errors.

    Attributes
    ----------
    rmse, mae, r2, bias : float
        Root mean squared error, mean absolute error, share of variance explained, mean error.
    rows : int
        How many rows.
    """

    rmse: float
    rmse_se: float
    mae: float
    mae_se: float
    r2: float
    r2_se: float
    bias: float
    bias_se: float
    rows: int

    def as_metrics(self, split: str, *, standard_errors: bool = False) -> dict[str, float]:
        """Return the figures under their MLflow names, `<split>_<metric>`."""
        figures = {key: value for key, value in asdict(self).items() if key != "rows"}
        return {
            f"{split}_{key}": value
            for key, value in figures.items()
            if standard_errors or not key.endswith("_se")
        }


@dataclass(frozen=True)
class Evaluation:
    """A model's errors on the rows it learned from and on the holdout, beside those of the mean alone.

    Attributes
    ----------
    actual, predicted : float64 arrays of shape (n_holdout,)
        In the target's unit.
    """

    actual: NDArray[np.float64] = field(repr=False)
    predicted: NDArray[np.float64] = field(repr=False)
    train: Scores
    holdout: Scores
    dummy: Scores

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        return (
            self.train.as_metrics("train")
            | self.holdout.as_metrics("holdout", standard_errors=True)
            | {"dummy_holdout_rmse": self.dummy.rmse, "dummy_holdout_mae": self.dummy.mae}
        )


def score(actual: NDArray[np.float64], predicted: NDArray[np.float64], weight: Weight = None) -> Scores:
    """Return the errors of predictions with their standard errors.

    Parameters
    ----------
    actual, predicted : float64 arrays of shape (n_rows,)
        In the target's unit; at least two rows, `actual` not constant for a finite `r2`.
    weight : float64 array of shape (n_rows,), optional
        How much each row counts, in all means below.

    Notes
    -----
    Standard errors of rmse and r2 by the delta method: with ``m`` the mean squared error and ``v``
    the variance of the target, a row moves rmse by ``(e² - m) / (2 rmse)`` and r2 by
    ``-(e² - m) / v + m ((y - mean)² - v) / v²``; the standard error is the standard deviation of
    that over ``sqrt(n)`` (van der Vaart 1998, Asymptotic Statistics, theorem 3.1). A weight multiplies what its
    row moves (`training.weights.spread`).

    >>> round(score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).mae, 4)
    0.3333
    """
    error = predicted - actual
    squared = error**2
    mse = mean(squared, weight)
    rmse = float(np.sqrt(mse))
    deviation = (actual - mean(actual, weight)) ** 2
    variance = mean(deviation, weight)
    r2 = 1.0 - mse / variance if variance else float("nan")
    r2_moves = (
        -(squared - mse) / variance + mse * (deviation - variance) / variance**2
        if variance
        else error * np.nan
    )
    return Scores(
        rmse=rmse,
        rmse_se=_standard_error(squared, weight) / (2.0 * rmse) if rmse else 0.0,
        mae=mean(np.abs(error), weight),
        mae_se=_standard_error(np.abs(error), weight),
        r2=float(r2),
        r2_se=_standard_error(r2_moves, weight),
        bias=mean(error, weight),
        bias_se=_standard_error(error, weight),
        rows=len(actual),
    )


def _standard_error(values: NDArray[np.float64], weight: Weight) -> float:
    return spread(values, weight) / float(np.sqrt(len(values))) if len(values) > 1 else float("nan")
