"""What each column adds to predictions of rows that the model was not fitted on: by the version's own reasons.

A contribution is a share of one prediction, in the target's unit; its mean without sign says how much a column moves
predictions. Shuffling a column says how much worse they become without it: a column that moves them for nothing has
the one and not the other. Trees give a row in half a millisecond, a model that must be asked in up to a tenth of a
second: as many rows are explained as the time allows, spread evenly whatever their number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.scorer import Scorer

MOST_ROWS = 500
LEAST_ROWS = 20
"""Of fewer, where there are more, nothing is said of a column."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contributions:
    """What columns add on some rows.

    Attributes
    ----------
    columns : tuple of str
        In the order of the schema.
    matrix, shares : float64 arrays of shape (n_rows, n_columns)
        Packed rows, and what each column adds to their predictions.
    exact : bool
        Whether each share is exact; else it was sampled.
    """

    columns: tuple[str, ...]
    matrix: Floats
    shares: Floats
    exact: bool

    @property
    def means(self) -> Mapping[str, float]:
        """The mean absolute contribution of each column, in the target's unit."""
        return dict(zip(self.columns, np.abs(self.shares).mean(axis=0).tolist(), strict=True))

    def strongest(self, most: int) -> list[str]:
        """Return the columns that add most, those that add nothing left out."""
        means = self.means
        return [name for name in sorted(means, key=lambda name: -means[name])[:most] if means[name] > 0.0]


def contributions(
    scorer: Scorer, matrix: Floats, *, seconds: float, most_rows: int = MOST_ROWS
) -> Contributions | None:
    """Return what each column adds on up to so many of these rows; None where the time was too short for enough.

    Raises
    ------
    ModelError
        The version has no reasons, or gives some that do not add up.
    """
    began, explainer = time.perf_counter(), scorer.explainer()
    chosen = matrix[spread(len(matrix), most_rows)]
    result: list[Floats] = []
    exact, done, count = True, 0, 1
    while done < len(chosen) and count > 0:
        reasons = explainer.explain(np.ascontiguousarray(chosen[done : done + count]))
        result.append(reasons.shares)
        exact, done = reasons.errors is None, done + count
        spent = time.perf_counter() - began
        count = min(len(chosen) - done, int((seconds - spent) / (spent / done)))
    if done < min(LEAST_ROWS, len(chosen)) or not result:
        return None
    shares = np.concatenate(result)
    known = np.isfinite(shares).all(axis=1)
    if not known.any():
        return None
    return Contributions(tuple(scorer.schema.names), chosen[:done][known], shares[known], exact)


def spread(rows: int, most: int) -> NDArray[np.int64]:
    """Return places spread evenly, in an order of which any beginning is spread over them, too."""
    indexes = np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64)
    return np.random.default_rng(0).permutation(indexes)
