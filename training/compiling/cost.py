"""What a graph costs where it is served: the time of one row."""

from __future__ import annotations

import time

import numpy as np

from serving.scorer import Scorer


def row_microseconds(scorer: Scorer, calls: int = 200) -> float:
    """Return the median time of scoring one row, in microseconds."""
    row = scorer.golden.matrix[:1]
    times = []
    for _ in range(calls):
        started = time.perf_counter_ns()
        scorer.predict(row)
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times)) / 1000.0
