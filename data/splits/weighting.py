"""Whether a column can say how much each row counts.

Weights are finite numbers of 0 or more. A row of weight 0 does not count: it is neither learned from nor judged by.
Only rows with a target are looked at. Weights never decide where a row stands, so that a changed one moves no row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import TableError, UnusableWeight
from data.figures import number
from data.splits.sides import SIDES, Split
from data.tables import Table

HEAVY = 0.1
"""A row with more than this share of all weight is named: a slip of the pen looks like that."""

MEND = "write a number of 0 or more; a row of weight 0 does not count"


def faults_of_weight(table: Table, column: str, target: str) -> Iterator[TableError]:
    """Yield the first thing that keeps a column from weighing the rows that have a target."""
    if column == target:
        yield UnusableWeight(column=column, found="is the target", repair="name another column")
        return
    with_target = table.frame[target].notna().to_numpy()
    if table.kinds[column] != "number":
        yield _no_number(table, column)
        return
    values = table.numbers(column)
    for of_all, word in (
        (np.isnan(values), "missing"),
        (np.isinf(values), "infinite"),
        (values < 0, "negative"),
    ):
        wrong = of_all & with_target
        if wrong.any():
            first, more = int(wrong.argmax()), int(wrong.sum()) - 1
            found = "is missing" if word == "missing" else f"is {number(values[first])}"
            found += f", and {more:,} more are {word}" if more else ""
            yield UnusableWeight(column=column, row=first + 1, found=found, repair=MEND)
            return
    rows = int(np.count_nonzero(with_target))
    if rows and not (with_target & (values != 0.0)).any():
        found = f"is 0 in all {rows:,} rows with a target"
        yield UnusableWeight(column=column, found=found, repair="give those that count a weight above 0")


def counted(table: Table, column: str) -> NDArray[np.bool_]:
    """Return which rows count, bool of shape (n_rows,): those of a weight above 0, all of them without a column."""
    return table.numbers(column) > 0 if column else np.ones(len(table), dtype=np.bool_)


def check_sides(split: Split, counts: NDArray[np.bool_], column: str) -> None:
    """Raise UnusableWeight where a side has rows and next to none of them counts."""
    counting: dict[str, int] = {side: int((split.mask(side) & counts).sum()) for side in SIDES}
    refuse_few(split.counts, counting, column)


def refuse_few(standing: Mapping[str, int], counting: Mapping[str, int], column: str) -> None:
    """Raise UnusableWeight where rows stand on a side and next to none of them counts."""
    for side in SIDES:
        rows, kept = standing[side], counting[side]
        fewest = 1 if side == "calibration" else 2
        if rows >= fewest > kept:
            found = f"is above 0 in {kept} of the {rows:,} {side} rows"
            repair = f"at least {fewest} must count there; give them a weight above 0"
            raise UnusableWeight(column=column, found=found, repair=repair)


def heavy_in_words(table: Table, column: str, target: str) -> str:
    """Say which row has an outstanding share of all weight; nothing where none has."""
    values = np.where(table.frame[target].notna(), table.numbers(column), 0.0)
    row = int(values.argmax())
    heaviest = float(values[row])
    values /= heaviest
    share = 1.0 / float(values.sum())
    if share <= HEAVY:
        return ""
    return f"row {row + 1} has {share:.0%} of all weight ({column} is {number(heaviest)}): is it right?"


def _no_number(table: Table, column: str) -> UnusableWeight:
    """Return the fault of a column of another kind, with the first cell that makes it so where most are numbers."""
    kind, cells, other = table.kinds[column], table.frame[column], "name a column of numbers"
    if kind is None:
        return UnusableWeight(column=column, found="is missing in every row", repair=other)
    if kind == "boolean":
        return UnusableWeight(column=column, found="is not numeric: it holds boolean values", repair=other)
    cells = cells.astype(object)
    strays = np.flatnonzero(cells.notna() & pd.to_numeric(cells, errors="coerce").isna())
    if not len(strays):
        return UnusableWeight(column=column, found=f"is not numeric: it holds {kind} values", repair=other)
    found, few = f"is not numeric: {cells.iloc[strays[0]][:40]!r}", 2 * len(strays) < len(cells)
    return UnusableWeight(column=column, row=int(strays[0]) + 1, found=found, repair=MEND if few else other)
