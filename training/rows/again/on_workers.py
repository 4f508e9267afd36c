"""All rows of a table that memory does not hold, read once more by the workers of a cluster.

A task is a run of parts of the table. It deals their rows to the sides by the rule, as the first reading did. Of its
training rows it returns what a fitted model learns from: the exact sums of what a line sees, or the columns that trees
see. Its held-out rows it returns packed, so that the table is not read for them alone. A task that is begun twice
counts once, and the rows of all tasks have to be those of the first reading, in their order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.own_files import own_folder
from data.schema import Schema
from data.sources import Part
from data.splits import SplitRule, splitting
from data.tables import Table
from data.tables.streams import Form
from data.workers import Address, Cluster, EngineError, at_work, check_installed, in_order, reached
from training.console import Say
from training.models import AllRows, all_rows
from training.models.all_rows import Sums
from training.rows.again.held_out import AllHeldOut
from training.rows.again.noted import LEARNED, Mark, of_side, packed, sides_of

Floats = NDArray[np.float64]

OURS = ("data", "serving", "training")
"""Packages that go along to workers."""
BITS = ("numpy", "pyarrow", "pandas", "scipy", "scikit-learn")
"""Packages that have a say in the bits."""

CELLS = 16_000_000
"""Of a task's rows at most, where a part has not more: what comes of them may be held whole."""


@dataclass(frozen=True)
class PartedAgain:
    """The rows of a table in parts, as everyone who reads some is told.

    Attributes
    ----------
    form : Form
        What the columns of the whole table are.
    rule : SplitRule
        On which side a row stands; each row by itself.
    """

    form: Form
    rule: SplitRule
    schema: Schema
    parts: tuple[Part, ...]

    def of(self, place: int) -> Iterator[tuple[Table, NDArray[np.uint8]]]:
        """Yield the rows of a part, and where they stand."""
        for table in replace(self.form, source=self.parts[place].source).tables():
            has_target = ~np.isnan(table.numbers(self.schema.target))
            labelled = table.take(has_target)
            split = splitting.sides_of(labelled, self.rule) if len(labelled) else None
            yield table, sides_of(has_target, split)


class Found(NamedTuple):
    """What a run of parts comes to; `learned` is None where a number is too large for sums."""

    mark: Mark
    held_out: Floats
    learned: Any


@dataclass(frozen=True)
class AgainByWorkers:
    """Who reads all rows once more: a cluster's workers, or this machine where they cannot after all."""

    address: Address
    rows: PartedAgain
    held_out: AllHeldOut
    here: AllRows
    say: Say

    def sums(self, fitted: Any, sample: Floats) -> Sums | None:
        """Return the sums of what a fitted line sees; None where a number is too large for them."""
        result: Sums | None = None
        try:
            with closing(self._learned(fitted, sample)) as learned:
                for sums in learned:
                    if sums is None:
                        return None
                    result = sums if result is None else result.with_more(sums)
        except EngineError as error:
            self._tell(error)
            return all_rows.sums_of(fitted, self.here.parts(), sample)
        return result

    def seen(self, fitted: Any) -> Iterator[tuple[Floats, Floats]]:
        """Yield the columns that fitted trees see, and their target; this machine goes on where a cluster is lost."""
        given = 0
        try:
            for columns, target in chain.from_iterable(self._learned(fitted, None)):
                given += len(target)
                yield columns, target
        except EngineError as error:
            self._tell(error)
        else:
            return
        for columns, target in all_rows.seen_by(fitted, self.here.parts()):
            yield columns[given:], target[given:]
            given = max(given - len(target), 0)

    def _tell(self, error: EngineError) -> None:
        self.say("warning", f"{error}; all rows are read here instead")

    def _learned(self, fitted: Any, sample: Floats | None) -> Generator[Any, None, None]:
        """Yield what is learned of runs of parts; raises EngineError, and UnreadableSource for other rows."""
        mark, count = Mark(), len(self.rows.parts)
        with (
            tempfile.TemporaryDirectory(dir=own_folder()) as folder,
            self.held_out.writing() as write,
            reached(self.address, packages=OURS, needs=BITS) as cluster,
        ):
            tasks = tasks_for(self.rows.form, count, cluster)
            shared = (self.rows, fitted, sample)
            done = cluster.each(_read, shared, tasks, what="reading a part again")
            for found in in_order(done, Path(folder)):
                mark.add_all(found.mark)
                write(lambda: found.held_out)  # noqa: B023 - it is called at once
                yield found.learned
            self.held_out.again.refuse_others(mark)


def parts_of(form: Form) -> tuple[Part, ...]:
    """Return the parts that workers share; none where the source has only one, or they could not read it."""
    parts = tuple(form.source.parts())
    return parts if len(parts) > 1 and all(part.identity for part in parts) else ()


def tasks_for(form: Form, parts: int, cluster: Cluster) -> list[list[int]]:
    """Return the parts of each task."""
    most = max(CELLS * parts // (form.rows * len(form.head.names)), 1)
    return cluster.together(range(parts), most)


def look(address: Address) -> None:
    """Find out whether a cluster's workers have what they need, before a search; raises EngineError."""
    check_installed(address)
    if address.is_here:
        return
    with reached(address, packages=OURS, needs=BITS) as cluster:
        list(cluster.each(_read, None, [[]], what="trying a worker"))


def _read(shared: tuple[PartedAgain, Any, Floats | None] | None, places: Sequence[int]) -> Found | None:
    """Return what some parts come to: in a process beside a worker."""
    if shared is None:
        return None
    rows, fitted, sample = shared
    mark, held_out = Mark(), []

    def learned() -> Iterator[tuple[pd.DataFrame, Floats]]:
        for place in places:
            for table, sides in rows.of(place):
                at_work()
                mark.add(table.numbers(rows.schema.target))
                held_out.append(packed(rows.schema, "", table, sides))
                frame, target = of_side(LEARNED, rows.schema, table, sides)
                if len(target):
                    yield frame, target

    by = (
        list(all_rows.seen_by(fitted, learned()))
        if sample is None
        else all_rows.sums_of(fitted, learned(), sample)
    )
    return Found(mark, np.concatenate(held_out), by)
