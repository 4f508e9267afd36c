"""Which columns a model leans on: the rise in RMSE when a column is shuffled among rows that it was not fitted on.

The compiled graph answers, which is the pipeline to the last digits and many times faster on few rows. The
time is bounded: repeats are given up first, then columns, which the run then says. Columns that tell the
same share their importance, so that each may look small (Breiman 2001, Machine Learning 45(1)).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import Schema
from serving.scorer import Session
from training.compiling import pack_frame
from training.weights import Weight, mean, of

MOST_ROWS = 2_000
REPEATS = 3

Drops = Mapping[str, tuple[float, float]]
"""For each column, mean and standard deviation of the rise in RMSE when it is shuffled."""


@dataclass(frozen=True)
class Importance:
    """The drops, and how many columns the time was too short for."""

    drops: Drops
    left_out: int = 0

    def as_table(self) -> pd.DataFrame:
        """Return the importances as a table, largest first."""
        rows = [
            {"column": name, "rmse_rise": mean, "rmse_rise_sd": spread}
            for name, (mean, spread) in self.drops.items()
        ]
        return pd.DataFrame(rows).sort_values("rmse_rise", ascending=False)


def importance(
    graph: bytes,
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    schema: Schema,
    *,
    seed: int,
    seconds: float,
    weight: Weight = None,
) -> Importance:
    """Return the rise in RMSE for each column, in the target's unit.

    Parameters
    ----------
    graph : bytes
        The compiled model.
    frame, target
        Rows that it was not fitted on, of shape (n_rows, n_features) and (n_rows,); 2,000 of them are used.
    seconds : float
        Repeats, then columns beyond that time are left out; each of the first ten is measured.
    weight : float64 array of shape (n_rows,), optional
        How much each row's squared error counts.
    """
    rows = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), MOST_ROWS)).astype(int))
    matrix, actual, session = pack_frame(frame.iloc[rows], schema), target[rows], Session(graph)
    weight = of(weight, rows)
    base, random, began = (
        _rmse(session, matrix, actual, weight),
        np.random.default_rng(seed),
        time.perf_counter(),
    )
    rises: list[list[float]] = [[] for _ in schema.names]
    for repeat in range(REPEATS):
        for column, rise in enumerate(rises):
            if (repeat or column >= 10) and time.perf_counter() - began > seconds:
                break
            shuffled = matrix.copy()
            shuffled[:, column] = random.permutation(shuffled[:, column])
            rise.append(_rmse(session, shuffled, actual, weight) - base)
    known = {name: rise for name, rise in zip(schema.names, rises, strict=True) if rise}
    drops = {name: (float(np.mean(rise)), float(np.std(rise))) for name, rise in known.items()}
    return Importance(drops, len(rises) - len(drops))


def _rmse(
    session: Session, matrix: NDArray[np.float64], actual: NDArray[np.float64], weight: Weight
) -> float:
    return float(np.sqrt(mean((session.predict(matrix) - actual) ** 2, weight)))
