"""What explains a version's predictions, written beside its scorer when it is compiled.

A model that is asked itself needs rows to stand in for what a coalition leaves open: a few training rows, spread
evenly over the table. They are training data, and go where the version goes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serving.scorer import Session
from serving.scorer.reasons import ASKED, BACKGROUND, METHOD, Arrays, packed

FEW_COLUMNS = 8
BACKGROUND_ROWS = {True: 100, False: 32}
"""Stored rows, where the model has few columns and where it has more."""


def explained(graph: bytes, matrix: NDArray[np.float64]) -> bytes:
    """Return the file that explains a graph's predictions.

    Parameters
    ----------
    graph : bytes
        As `compile_pipeline` gave it.
    matrix : float64 array of shape (n_train, n_columns)
        Training rows, packed.
    """
    arrays = {BACKGROUND: _stored(matrix, Session(graph).predict(matrix))}
    return packed(Arrays(arrays, {METHOD: ASKED}))


def _stored(matrix: NDArray[np.float64], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows spread evenly over those that have a finite prediction."""
    finite = np.flatnonzero(np.isfinite(predictions))
    most = BACKGROUND_ROWS[matrix.shape[1] <= FEW_COLUMNS]
    chosen = np.linspace(0, len(finite) - 1, min(most, len(finite))).round().astype(int)
    stored: NDArray[np.float64] = matrix[finite[chosen]]
    return stored
