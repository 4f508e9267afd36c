"""The rows of a large table that a training of so many seconds goes on with, once all of them are split.

A sample of each side: those rows whose content has the smallest hash, so that the same are taken whatever their order,
and equal rows stay together. The rest is not used for anything: a row that was held out stays held out. How many there
are depends on the time asked for, the number of columns and, for a table that memory does not hold, the memory asked
for, so that `reproduce` finds the same ones. They come in an order of their own, which the table's does not change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.splits import SIDES, Side, Split
from data.tables import Table, row_digests

CELLS_A_SECOND, LEAST_CELLS = 200_000, 10_000_000
"""Training rows times features at most, for each second of the time budget, and in any case.

So many does a boosting learn in its share of the time.
"""

JUDGED_A_SECOND, LEAST_JUDGED = 500, 30_000
"""Rows of calibration and of the holdout at most: 30,000 tell an RMSE to a percent."""

LEARNED_SHARE = 0.8
"""Of the cells that memory holds, for the training rows; calibration and holdout share the rest."""

MIXER, LARGEST = np.uint64(0x9E3779B97F4A7C15), np.uint64(2**64 - 1)


def most(columns: int, seconds: float, cells: float = np.inf) -> dict[Side, int]:
    """Return how many rows of each side a training of so many features and seconds goes on with at most.

    Parameters
    ----------
    cells : float
        That its memory holds, where the table itself is larger than that.
    """
    learned = max(CELLS_A_SECOND * seconds, LEAST_CELLS)
    judged = max(JUDGED_A_SECOND * seconds, LEAST_JUDGED)
    held = {"train": min(learned, LEARNED_SHARE * cells) / columns}
    judged = min(judged, (1.0 - LEARNED_SHARE) / 2.0 * cells / columns)
    return {side: int(held.get(side, judged)) for side in SIDES}


def kept(table: Table, split: Split, *, columns: int, seconds: float) -> NDArray[np.intp] | None:
    """Return which rows a training of so many features and seconds goes on with; None where these are all.

    Parameters
    ----------
    table : Table of n_rows rows
    split : Split
        Their sides.

    Returns
    -------
    Their places, in an order that their content decides: it does not follow the table's.
    """
    at_most = most(columns, seconds)
    if all(split.counts[side] <= at_most[side] for side in SIDES):
        return None
    names = split.rule.columns if split.rule.method == "repeat" else sorted(table.names)
    order = mixed(row_digests(table, names))  # a split by repeats deals equal rows one by one
    ends = {side: last(order[split.mask(side)], at_most[side]) for side in SIDES}
    if split.rule.method == "repeat":  # equal rows stand on different sides
        ends = dict.fromkeys(SIDES, min(ends.values()))
    taken = np.zeros(len(table), dtype=np.bool_)
    for side in SIDES:
        taken |= split.mask(side) & (order <= ends[side])
    indexes = np.flatnonzero(taken)
    return np.asarray(indexes[np.argsort(order[indexes], kind="stable")], dtype=np.intp)


def of_kept(split: Split, rows: NDArray[np.intp]) -> Split:
    """Return the split of some of the rows."""
    moments = None if split.moments is None else split.moments[rows]
    return Split(split.rule, split.sides[rows], split.blocks[rows], moments)


def mixed(digests: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers that rows are taken by, of the digests of their content: others than sides are told by."""
    return digests * MIXER


def last(order: NDArray[np.uint64], count: int) -> np.uint64:
    """Return the largest number that is taken, so that so many are, and those that are like the last of them."""
    return LARGEST if len(order) <= count else np.partition(order, count - 1)[count - 1]
