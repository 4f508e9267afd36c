"""Rows for a version that exists, of a table that memory does not hold: a sample of them, read a batch at a time.

Those whose content has the smallest hash, as in `training.rows.thinned`: neither order nor files change which. What is
wrong with a target or a weight is looked for in all rows. It knows neither models nor the registry.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.cells import ReadOptions
from data.checks import check_table
from data.errors import LargerThanMemory
from data.own_files import own_folder
from data.schema import Schema
from data.sources import Source
from data.splits import SIDES, SplitRule, splitting
from data.tables import Kinds, Table, row_digests
from data.tables.streams import Digests, Form, Smallest, bytes_in_memory, form_of, free_memory
from training.rows import streamed, thinned

COPIES = 3
"""How many times a command that learns nothing holds a table at its peak."""

FREE_SHARE = 0.5
"""Of the memory that is free, for the sample of a table that it does not hold."""

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


def room_for(source: Source, memory: float | None) -> float | None:
    """Return the bytes that the sample of a table may take which memory does not hold; None for one that it does."""
    most = free_memory() if memory is None else memory
    if COPIES * bytes_in_memory(source) <= most:
        return None
    return FREE_SHARE * most if memory is None else memory


def form_for(source: Source, schema: Schema, kinds: Kinds, asked: ReadOptions, room: float) -> Form:
    """Return how each batch of a source becomes rows as a version's schema has them; raises DataError.

    Text is held to the kinds of all of its columns, as `known_rows` does it; other formats say what a cell is.
    """
    asked = replace(asked, known=schema.readings)
    if source.is_text:
        kinds = {column.name: column.kind for column in schema.columns} | dict(kinds)
    return form_of(source.knowing(schema), kinds, asked, most_bytes=room)


def fingerprint_of(form: Form) -> str:
    """Return the fingerprint of all rows, as `data.tables.fingerprint` has it of a table that memory holds."""
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        digests = Digests(Path(folder), "rows")
        for table in form.tables():
            digests.add(row_digests(table, sorted(table.names)))
        return digests.fingerprint(form.head.names)


def judged(form: Form, rule: SplitRule, target: str, weight: str, *, otherwise: str) -> Sampled:
    """Return as many rows of each side as a training of such a table is judged with, at least.

    Raises
    ------
    DataError
        The table cannot be used, or the rule has to see all rows at once: then it says what to do otherwise.
    """
    if rule.method in ("time", "repeat"):
        needed = COPIES * bytes_in_memory(form.source)
        raise LargerThanMemory(
            where=form.head.where, needed=needed, free=min(form.most_bytes, needed), otherwise=otherwise
        )
    splitting.refuse_columns(form.head, rule)
    rule = replace(rule, cuts=rule.cuts or rule.usual_cuts)
    cells = max(form.most_bytes / streamed.BYTES_A_CELL, streamed.LEAST_CELLS)
    most = thinned.most(len(form.head.names), 0.0, cells)
    sides: Sides = lambda rows: splitting.sides_of(rows, rule).sides  # noqa: E731
    return sampled(form, target, weight, most={side: most[side] for side in SIDES}, sides_of=sides)


def sampled_alike(form: Form, target: str, weight: str, *, most: int) -> Sampled:
    """Return at most so many rows that have a target, and no more than there is room for; raises DataError."""
    cells = max(form.most_bytes / streamed.BYTES_A_CELL, streamed.LEAST_CELLS)
    count = min(most, int(cells / len(form.head.names)))
    sides: Sides = lambda rows: np.full(len(rows), FRESH)  # noqa: E731
    return sampled(form, target, weight, most={FRESH: count}, sides_of=sides)


def sampled(form: Form, target: str, weight: str, *, most: Mapping[str, int], sides_of: Sides) -> Sampled:
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
        order, sides = thinned.mixed(row_digests(labelled, sorted(labelled.names))), sides_of(labelled)
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
