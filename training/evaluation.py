"""How far predictions are from the truth, and how sure that figure is.

Sees targets and predictions only. Rows are taken as independent: rows of one group, or of one
stretch of time, that err together make the standard errors below too small.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray


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


def score(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> Scores:
    """Return the errors of predictions with their standard errors.

    Parameters
    ----------
    actual, predicted : float64 arrays of shape (n_rows,)
        In the target's unit; at least two rows, `actual` not constant for a finite `r2`.

    Notes
    -----
    Standard errors of rmse and r2 by the delta method: with ``m`` the mean squared error and ``v``
    the variance of the target, a row moves rmse by ``(e² - m) / (2 rmse)`` and r2 by
    ``-(e² - m) / v + m ((y - mean)² - v) / v²``; the standard error is the standard deviation of
    that over ``sqrt(n)`` (van der Vaart 1998, Asymptotic Statistics, theorem 3.1).

    >>> round(score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).mae, 4)
    0.3333
    """
    error = predicted - actual
    squared = error**2
    mse, rmse = squared.mean(), np.sqrt(squared.mean())
    deviation = (actual - actual.mean()) ** 2
    variance = deviation.mean()
    r2 = 1.0 - mse / variance if variance else float("nan")
    r2_moves = (
        -(squared - mse) / variance + mse * (deviation - variance) / variance**2
        if variance
        else error * np.nan
    )
    return Scores(
        rmse=float(rmse),
        rmse_se=_standard_error(squared) / (2.0 * float(rmse)) if rmse else 0.0,
        mae=float(np.abs(error).mean()),
        mae_se=_standard_error(np.abs(error)),
        r2=float(r2),
        r2_se=_standard_error(r2_moves),
        bias=float(error.mean()),
        bias_se=_standard_error(error),
        rows=len(actual),
    )


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
