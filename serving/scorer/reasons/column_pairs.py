"""Models without more than products of two columns, over stored rows: lines with such products, exactly.

Where no three columns act together, a coalition's worth v is a sum over columns and pairs of them, and what a pair adds
is split evenly between its two. Half of it is missing where a column comes first, half is too much where it comes last:

    phi_i = (v(i) - v(nothing) + v(all) - v(all but i)) / 2

These are the shares of all coalitions over the same stored rows, for two questions a column. Training made sure that
the model is such a sum; of any other one they do not add up to the prediction.
"""

from __future__ import annotations

import time

import numpy as np

from serving.errors import TooSlow
from serving.scorer.intervals import Floats
from serving.scorer.reasons.coalitions import BLOCK_ROWS, MOST_EVALUATIONS, Predict


class ColumnPairs:
    """Explains such a model."""

    method = "column-pairs"

    def __init__(self, background: Floats, predict: Predict) -> None:
        self._background, self._predict = background, predict
        self.base = float(np.mean(predict(np.ascontiguousarray(background))))
        self.most_rows = max(1, MOST_EVALUATIONS // (2 * background.size))

    def explain(self, matrix: Floats, predictions: Floats, deadline: float) -> tuple[Floats, None]:
        """Return each column's share, (n_rows, n_columns); raises TooSlow."""
        shares = np.full(matrix.shape, np.nan)
        own = self._predict(matrix)
        for place in np.flatnonzero(np.isfinite(predictions)).tolist():
            if time.perf_counter() > deadline:
                raise TooSlow("explaining took too long and was stopped: send fewer rows at once")
            first, but_last = self._worth(matrix[place])
            shares[place] = (first - self.base + own[place] - but_last) / 2.0
        return shares, None

    def _worth(self, row: Floats) -> Floats:
        """Return what each column is worth alone, and all others without it, shape (2, n_columns)."""
        stored, columns = self._background.shape
        worth, together = np.empty((2, columns)), max(1, BLOCK_ROWS // (2 * stored))
        for start in range(0, columns, together):
            some = np.arange(start, min(start + together, columns))
            is_own = (some[:, None] == np.arange(columns))[:, None, :]
            alone = np.where(is_own, row, self._background)
            others = np.where(is_own, self._background, row)
            asked = np.concatenate([alone, others]).reshape(-1, columns)
            worth[:, some] = self._predict(asked).reshape(2, len(some), stored).mean(axis=2)
        return worth
