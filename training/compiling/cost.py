"""What a graph costs where it is served: its size and the time of one row, and how much of each is allowed."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.scorer import Session
from training.compiling.errors import TooCostly

MOST_MICROSECONDS = 200.0
"""For one row; the server's own work on a request is about as much."""

MOST_BYTES = 50_000_000


def row_microseconds(
    predict: Callable[[NDArray[np.float64]], object], row: NDArray[np.float64], calls: int = 200
) -> float:
    """Return the median time of scoring one row, of shape (1, n_columns), in microseconds."""
    times = []
    for _ in range(calls):
        started = time.perf_counter_ns()
        predict(row)
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times)) / 1000.0


def require_cheap(graph: bytes, columns: int) -> None:
    """Raise TooCostly for a graph beyond the size and time that a scorer may take."""
    if len(graph) > MOST_BYTES:
        raise TooCostly(what="bytes", found=len(graph), limit=MOST_BYTES)
    microseconds = row_microseconds(Session(graph).predict, np.zeros((1, columns)), calls=50)
    if microseconds > MOST_MICROSECONDS:
        raise TooCostly(what="µs a row", found=microseconds, limit=MOST_MICROSECONDS)
