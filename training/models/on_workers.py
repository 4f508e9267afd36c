"""All training rows of a table that memory does not hold, summed by the workers of a cluster.

A task is a run of parts of the table. It deals their rows to the sides by the rule, as the first reading did, and takes
the exact sums of what a fitted line sees of its training rows. Neither parts nor order change a bit of the whole, and a
task that is begun twice counts once. The rows of all tasks have to be as many as the first reading found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import UnreadableSource
from data.schema import Schema
from data.sources import Part
from data.splits import SplitRule, splitting
from data.tables.streams import Form
from data.workers import Address, at_work, check_installed, reached
from training.models.all_rows import Sums, sums_of

Floats = NDArray[np.float64]

OURS = ("data", "serving", "training")
"""Packages that go along to workers."""
BITS = ("numpy", "pyarrow", "pandas", "scipy", "scikit-learn")
"""Packages that have a say in the sums' bits."""


@dataclass(frozen=True)
class LearnedRows:
    """The training rows of a table in parts, as everyone who sums some is told.

    Attributes
    ----------
    form : Form
        What the columns of the whole table are.
    rule : SplitRule
        Which rows are training rows; each row by itself.
    """

    form: Form
    rule: SplitRule
    schema: Schema
    parts: tuple[Part, ...]

    def of(self, place: int) -> Iterator[tuple[pd.DataFrame, Floats]]:
        """Yield the training rows of a part: features, and the target."""
        target = self.schema.target
        for table in replace(self.form, source=self.parts[place].source).tables():
            labelled = table.take(~np.isnan(table.numbers(target)))
            if len(labelled):
                rows = splitting.sides_of(labelled, self.rule).mask("train")
                yield labelled.frame.loc[rows, list(self.schema.names)], labelled.numbers(target)[rows]


def parts_of(form: Form) -> tuple[Part, ...]:
    """Return the parts that workers share; none where the source has only one, or they could not read it."""
    parts = tuple(form.source.parts())
    return parts if len(parts) > 1 and all(part.identity for part in parts) else ()


def by_workers(address: Address, rows: LearnedRows, count: int) -> Callable[[Any, Floats], Sums | None]:
    """Return what takes the sums of all training rows, which were so many, on a cluster.

    It raises EngineError, and UnreadableSource where the table has other rows now.
    """

    def summed(fitted: Any, sample: Floats) -> Sums | None:
        result, found = None, 0
        with reached(address, packages=OURS, needs=BITS) as cluster:
            tasks = cluster.together(range(len(rows.parts)))
            shared = (rows, fitted, sample)
            for _, (more, sums) in cluster.each(_summed, shared, tasks, what="summing a part"):
                if sums is None:
                    return None
                result, found = sums if result is None else result.with_more(sums), found + more
        if found != count:
            raise UnreadableSource(
                where=rows.form.head.where,
                reason=f"had {count:,} training rows at the first reading, and has {found:,} now",
                repair="train again when nobody writes to it",
            )
        return result

    return summed


def look(address: Address) -> None:
    """Find out whether a cluster's workers have what they need, before a search; raises EngineError."""
    check_installed(address)
    if address.is_here:
        return
    with reached(address, packages=OURS, needs=BITS) as cluster:
        list(cluster.each(_summed, None, [[]], what="trying a worker"))


def _summed(shared: tuple[LearnedRows, Any, Floats], places: Sequence[int]) -> tuple[int, Sums | None]:
    """Return how many training rows some parts have, and their sums: in a process beside a worker."""
    if not places:
        return 0, None
    rows, fitted, sample = shared
    counts = []

    def parts() -> Iterator[tuple[pd.DataFrame, Floats]]:
        for place in places:
            for frame, target in rows.of(place):
                at_work()
                counts.append(len(target))
                if len(target):
                    yield frame, target

    sums = sums_of(fitted, parts(), sample)
    return sum(counts), sums
