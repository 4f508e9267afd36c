"""How far predictions are from the truth.

Sees targets and predictions only. How sure the figures are is for `training.measuring.comparison`, which knows
which rows err together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.weights import Weight, mean

FIGURES = ("rmse", "mae", "r2", "bias")


@dataclass(frozen=True)
class Scores:
    """Errors on one set of rows, `prediction - actual` in the target's unit.

    Attributes
    ----------
    rmse, mae, r2, bias : float
        Root mean squared error, mean absolute error, share of variance explained, mean error.
    rows : int
        How many rows.
    """

    rmse: float
    mae: float
    r2: float
    bias: float
    rows: int

    def as_metrics(self, split: str) -> dict[str, float]:
        """Return the figures under their MLflow names, `<split>_<metric>`."""
        return {f"{split}_{name}": getattr(self, name) for name in FIGURES}


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
    baseline: Scores

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        return (
            self.train.as_metrics("train")
            | self.holdout.as_metrics("holdout")
            | {"dummy_holdout_rmse": self.baseline.rmse, "dummy_holdout_mae": self.baseline.mae}
        )


def score(actual: NDArray[np.float64], predicted: NDArray[np.float64], weight: Weight = None) -> Scores:
    """Return the errors of predictions.

    Parameters
    ----------
    actual, predicted : float64 arrays of shape (n_rows,)
        In the target's unit; `actual` not constant for a finite `r2`.
    weight : float64 array of shape (n_rows,), optional
        How much each row counts, in all means below.

    >>> round(score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).mae, 4)
    0.3333
    """
    error = predicted - actual
    mse = mean(error**2, weight)
    variance = mean((actual - mean(actual, weight)) ** 2, weight)
    return Scores(
        rmse=float(np.sqrt(mse)),
        mae=mean(np.abs(error), weight),
        r2=1.0 - mse / variance if variance else float("nan"),
        bias=mean(error, weight),
        rows=len(actual),
    )
