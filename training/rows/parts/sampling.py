"""Some rows of a table that memory does not hold, read a batch at a time.

Those whose content has the smallest hash, as in `training.rows.thinned`: neither order nor files change which. What is
wrong with a target or a weight is looked for in all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.checks import check_table
from data.tables import Table, row_digests
from data.tables.streams import Form, Smallest
from training.rows import thinned

BYTES_A_CELL = 100
"""That a command takes for each cell of its sample, at its peak, in all of its processes."""

LEAST_CELLS = 3_000_000
"""Of a sample, however little memory is asked for: they take less than the processes' own libraries."""

FRESH = "rows"
"""The side of rows that stand on none."""

Sides = Callable[[Table], NDArray[np.str_]]
"""Says on which side each row stands."""


@dataclass(frozen=True)
class Sampled:
    """Some rows of a table, and how many of each side these and all are: those that have a target."""

    table: Table
    taken: Mapping[str, int]
    counts: Mapping[str, int]

    @property
    def in_words(self) -> str:
        """Say how many rows of which side are gone on with."""
        kept = ", ".join(f"{self.taken[side]:,} of {count:,} {side}" for side, count in self.counts.items())
        return f"{kept}: the table is read in parts, and these are chosen by their content"


def cells_in(memory: float) -> float:
    """Return how many cells a sample may have in so many bytes."""
    return max(memory / BYTES_A_CELL, LEAST_CELLS)


def rows_in(form: Form) -> int:
    """Return how many rows of a table a sample may have."""
    return int(cells_in(form.most_bytes) / len(form.head.names))


def sampled_alike(
    form: Form, target: str, weight: str, *, most: int, by: Sequence[str] | None = None
) -> Sampled:
    """Return at most so many rows that have a target, and no more than there is room for; raises DataError.

    Parameters
    ----------
    by : sequence of str, or None
        The columns whose content says which, all of them for None: rows that are equal there stay together.
    """
    count = min(most, rows_in(form))
    sides: Sides = lambda rows: np.full(len(rows), FRESH)  # noqa: E731
    return sampled(form, target, weight, most={FRESH: count}, sides_of=sides, by=by)


def sampled(
    form: Form,
    target: str,
    weight: str,
    *,
    most: Mapping[str, int],
    sides_of: Sides,
    by: Sequence[str] | None = None,
) -> Sampled:
    """Return at most so many rows of each side that have a target; raises DataError."""
    numbers = [name for name in (target, weight) if name]
    if not {*numbers} <= {*form.head.names}:
        check_table(form.head, target=target, weight=weight)  # says which columns there are
    if any(form.head.kinds[name] != "number" for name in numbers):
        check_table(form.whole(numbers), target=target, weight=weight)
    samples, counts = {side: Smallest(count) for side, count in most.items()}, dict.fromkeys(most, 0)
    for table in form.tables():
        if _is_odd(table, target, weight):
            check_table(form.whole(numbers), target=target, weight=weight)  # says it with the row's number
        labelled = table.take(~np.isnan(table.numbers(target)))
        if not len(labelled):
            continue
        order = thinned.mixed(row_digests(labelled, sorted(labelled.names if by is None else by)))
        sides = sides_of(labelled)
        for side, sample in samples.items():
            mask = sides == side
            counts[side] += int(mask.sum())
            values = {name: labelled.frame[name].to_numpy()[mask] for name in labelled.names}
            sample.add(order[mask], values)
    parts = {side: sample.take(most[side]) for side, sample in samples.items()}
    return Sampled(
        _joined(form.head, [part for part in parts.values() if part[1]]),
        {side: len(order) for side, (order, _) in parts.items()},
        counts,
    )


def _joined(head: Table, parts: list[tuple[NDArray[np.uint64], Mapping[str, NDArray[Any]]]]) -> Table:
    """Return the rows in an order that content decides."""
    if not parts:
        return head.take(np.zeros(0, dtype=np.intp))
    by = np.argsort(np.concatenate([order for order, _ in parts]), kind="stable")
    columns = {name: np.concatenate([values[name] for _, values in parts])[by] for name in head.names}
    return replace(
        head, frame=pd.DataFrame({name: pd.Series(part, dtype=part.dtype) for name, part in columns.items()})
    )


def _is_odd(table: Table, target: str, weight: str) -> bool:
    """Return whether a target is infinite or a weight is none."""
    weights = table.numbers(weight)[~np.isnan(table.numbers(target))] if weight else np.zeros(1)
    return bool(np.isinf(table.numbers(target)).any()) or not (np.isfinite(weights) & (weights >= 0.0)).all()
