"""The rows of a large table that a training of so many seconds goes on with, once all of them are split.

A sample of each side: those rows whose content has the smallest hash, so that the same are taken whatever their order,
and equal rows stay together. The rest is not used for anything: a row that was held out stays held out. How many there
are depends on the time asked for and the number of columns alone, so that `reproduce` finds the same ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.splits import SIDES, Split
from data.tables import Table, row_digests

CELLS_A_SECOND, LEAST_CELLS = 200_000, 10_000_000
"""Training rows times features at most, for each second of the time budget, and in any case.

So many does a boosting learn in its share of the time.
"""

JUDGED_A_SECOND, LEAST_JUDGED = 1_000, 30_000
"""Rows of calibration and of the holdout at most: 60,000 tell an RMSE to half a percent."""

MIXER, LARGEST = np.uint64(0x9E3779B97F4A7C15), np.uint64(2**64 - 1)


def kept(table: Table, split: Split, *, columns: int, seconds: float) -> NDArray[np.bool_] | None:
    """Return which rows a training of so many features and seconds goes on with; None where these are all.

    Parameters
    ----------
    table : Table of n_rows rows
    split : Split
        Their sides.
    """
    judged = int(max(JUDGED_A_SECOND * seconds, LEAST_JUDGED))
    cells = max(CELLS_A_SECOND * seconds, LEAST_CELLS)
    most = {"train": int(cells / columns), "calibration": judged, "holdout": judged}
    if all(split.counts[side] <= most[side] for side in SIDES):
        return None
    order = _spread(table, split)
    last = {side: _last(order[split.mask(side)], most[side]) for side in SIDES}
    if split.rule.method == "repeat":  # equal rows stand on different sides
        last = dict.fromkeys(SIDES, min(last.values()))
    result = np.zeros(len(table), dtype=np.bool_)
    for side in SIDES:
        result |= split.mask(side) & (order <= last[side])
    return result


def of_kept(split: Split, rows: NDArray[np.bool_]) -> Split:
    """Return the split of some of the rows."""
    moments = None if split.moments is None else split.moments[rows]
    return Split(split.rule, split.sides[rows], split.blocks[rows], moments)


def _spread(table: Table, split: Split) -> NDArray[np.uint64]:
    """Return a number for each row by its content; rows that a split by repeats deals one by one have the same."""
    names = split.rule.columns if split.rule.method == "repeat" else sorted(table.names)
    return row_digests(table, names) * MIXER


def _last(order: NDArray[np.uint64], most: int) -> np.uint64:
    """Return the largest number that is taken, so that so many are, and those that are like the last of them."""
    return LARGEST if len(order) <= most else np.partition(order, most - 1)[most - 1]
