"""Training rows of numbers, and a search on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import Schema
from data.tables import Table, describe
from training.search.choosing import Choice, choose
from training.search.cross_validation import TrainingRows
from training.time_budget import Budget

Floats = NDArray[np.float64]


def rows_of(x: Floats, y: Floats, *, folds: int = 4) -> TrainingRows:
    """Make training rows of numbers."""
    names = [f"x{place}" for place in range(x.shape[1])]
    frame = pd.DataFrame(x, columns=names).assign(y=y)
    table = Table("t", frame, dict.fromkeys([*names, "y"], "number"))
    schema: Schema = describe(table, names, target="y")
    order = np.random.default_rng(1).permutation(len(y))
    parts = [np.sort(order[place::folds]) for place in range(folds)]
    pairs = [(np.setdiff1d(order, part), part) for part in parts]
    return TrainingRows(frame[names], y, pairs, schema, 0)


def chosen(rows: TrainingRows, *, seconds: float = 60.0, trials: int = 2, **words) -> Choice:
    """Search on such rows."""
    return choose(rows, budget=Budget(seconds, trials), **words)
