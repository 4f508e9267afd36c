"""Any model, asked itself: Shapley values over stored rows (interventional, Lundberg and Lee 2017, section 4).

A coalition S of columns is worth the mean of what the model predicts where the columns in S are the row's own and the
others are those of each stored row. With few columns all coalitions are asked: that is the definition, and exact.
With many, columns are added in sampled orders, each with its reverse, as often beside each stored row as beside every
other: the sum is still exact, each share has a standard error.

Stored rows are training rows. A mixture of two rows may be one that never occurs: that is what the definition asks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import TooSlow
from serving.scorer.intervals import Floats

MOST_ASKED_ALL = 10
"""Columns whose coalitions are all asked: 1,024 for each stored row."""

PAIRS = 8
"""Of an order and its reverse, beside each stored row."""

BLOCK_ROWS = 8192
MOST_EVALUATIONS = 4_000_000
"""Rows that the model is asked for one request: some seconds."""

Predict = Callable[[Floats], Floats]


class Coalitions:
    """Explains a model by asking it; `exact` where it asks all coalitions."""

    def __init__(self, background: Floats, predict: Predict) -> None:
        self._background, self._predict = background, predict
        self._values = predict(np.ascontiguousarray(background))
        self.base = float(np.mean(self._values))
        rows, columns = background.shape
        self.exact = columns <= MOST_ASKED_ALL
        self.method = "all-coalitions" if self.exact else "sampled-orders"
        each = rows * (2**columns if self.exact else 2 * PAIRS * (columns - 1))
        self.most_rows = max(1, MOST_EVALUATIONS // each)
        if self.exact:
            self._members = _members(columns)
            self._weights = _weights(columns, self._members)

    def explain(self, matrix: Floats, predictions: Floats, deadline: float) -> tuple[Floats, Floats | None]:
        """Return each column's share, (n_rows, n_columns), and the standard errors where it samples.

        Raises
        ------
        TooSlow
            The deadline passed between two rows.
        """
        shares, errors = np.empty(matrix.shape), None if self.exact else np.empty(matrix.shape)
        for index, (row, prediction) in enumerate(zip(matrix, predictions, strict=True)):
            if time.perf_counter() > deadline:
                raise TooSlow("explaining took too long and was stopped: send fewer rows at once")
            if not np.isfinite(prediction):
                shares[index] = np.nan
            elif errors is None:
                shares[index] = self._all(row, float(prediction))
            else:
                shares[index], errors[index] = self._sampled(row, float(prediction))
        return shares, errors

    def _all(self, row: Floats, prediction: float) -> Floats:
        """Ask all coalitions: ``phi_i = sum over S without i of |S|! (F-|S|-1)! / F! (v(S and i) - v(S))``."""
        stored, columns = self._background.shape
        mixed = np.where(self._members[:, None, :], row, self._background)
        worth = self._asked(mixed.reshape(-1, columns)).reshape(-1, stored).mean(axis=1)
        worth[0], worth[-1] = self.base, prediction
        shares: Floats = self._weights @ (worth - self.base)
        return shares

    def _sampled(self, row: Floats, prediction: float) -> tuple[Floats, Floats]:
        """Add columns one by one; the mean over orders beside each stored row, and its error from their spread."""
        stored, columns = self._background.shape
        result = np.empty((stored, PAIRS, columns))
        steps = self._steps(row, prediction)
        for index in range(stored):
            for pair in range(PAIRS):
                result[index, pair] = (next(steps) + next(steps)) / 2.0
        spread = result.var(axis=1, ddof=1) / PAIRS
        return result.mean(axis=(0, 1)), np.sqrt(spread.sum(axis=0)) / stored

    def _steps(self, row: Floats, prediction: float) -> Iterator[Floats]:
        """Yield what each column adds in one order after the other; several are asked of the model together."""
        stored, columns = self._background.shape
        orders = list(_orders(stored, columns))
        together = max(1, BLOCK_ROWS // (columns - 1))
        for start in range(0, len(orders), together):
            block = orders[start : start + together]
            asked = [_walk(row, self._background[index], order) for index, order in block]
            worth = self._asked(np.concatenate(asked)).reshape(len(block), columns - 1)
            for (index, order), between in zip(block, worth, strict=True):
                added = np.empty(columns)
                added[order] = np.diff(between, prepend=self._values[index], append=prediction)
                yield added

    def _asked(self, matrix: Floats) -> Floats:
        starts = range(0, len(matrix), BLOCK_ROWS)
        worth: Floats = np.concatenate(
            [self._predict(matrix[start : start + BLOCK_ROWS]) for start in starts]
        )
        return worth


def _members(columns: int) -> NDArray[np.bool_]:
    """Return which columns are in each coalition, bool of shape (2 ** columns, columns)."""
    members: NDArray[np.bool_] = (np.arange(2**columns)[:, None] >> np.arange(columns)) & 1 == 1
    return members


def _weights(columns: int, members: NDArray[Any]) -> Floats:
    """Return what each coalition's worth counts for each column, shape (columns, 2 ** columns)."""
    sizes = members.sum(axis=1)
    with_it = np.array([1.0 / (columns * math.comb(columns - 1, max(size - 1, 0))) for size in sizes])
    without = np.array([1.0 / (columns * math.comb(columns - 1, min(size, columns - 1))) for size in sizes])
    weights: Floats = np.where(members, with_it[:, None], -without[:, None]).T
    return weights


def _orders(stored: int, columns: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the orders and their reverses, beside each stored row; always the same ones."""
    random = np.random.default_rng(0)
    for index in range(stored):
        for _ in range(PAIRS):
            order = random.permutation(columns)
            yield index, order
            yield index, order[::-1]


def _walk(row: Floats, stored: Floats, order: NDArray[Any]) -> Floats:
    """Return the stored row with one, two, ... of the row's own columns, all but none and all of them."""
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return np.where(ranks < np.arange(1, len(order))[:, None], row, stored)
