"""Models that add up what each column gives by itself, exactly: lines, with categories, splines and dates too.

Where f(x) = c + sum of g_i(x_i), Shapley values over the training rows are g_i(x_i) minus the mean of g_i there:
coefficient times (value - mean), whatever stands before the coefficients. g_i is asked of the model: one stored row,
with each column in turn from the row that is explained. Training made sure that the model is such a sum.
"""

from __future__ import annotations

import time

import numpy as np

from serving.errors import TooSlow
from serving.scorer.intervals import Floats
from serving.scorer.reasons.coalitions import BLOCK_ROWS, Predict


class SingleColumns:
    """Explains such a model."""

    method = "single-columns"
    most_rows = 2**31

    def __init__(self, reference: Floats, means: Floats, base: float, predict: Predict) -> None:
        self._reference, self._means, self._predict = reference, means, predict
        self.base = base
        self._own = predict(reference[None, :])[0]
        if not np.isfinite(self._own):
            raise ValueError("the model gives no number for its row")

    def explain(self, matrix: Floats, predictions: Floats, deadline: float) -> tuple[Floats, None]:
        """Return each column's share, (n_rows, n_columns); raises TooSlow."""
        shares = np.empty(matrix.shape)
        together = max(1, BLOCK_ROWS // matrix.shape[1])
        for start in range(0, len(matrix), together):
            if time.perf_counter() > deadline:
                raise TooSlow("explaining took too long and was stopped: send fewer rows at once")
            some = slice(start, start + together)
            shares[some] = self.by_column(matrix[some]) - self._means
        shares[~np.isfinite(predictions)] = np.nan
        return shares, None

    def by_column(self, rows: Floats) -> Floats:
        """Return how the reference's prediction changes where one column alone is each row's own."""
        columns = rows.shape[1]
        asked = np.where(np.eye(columns, dtype=np.bool_), rows[:, None, :], self._reference)
        changes: Floats = self._predict(asked.reshape(-1, columns)).reshape(rows.shape) - self._own
        return changes
