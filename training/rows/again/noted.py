"""Which row of a table is which, by its place: noted at a first reading, held to at a later one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import UnreadableSource
from data.schema import Schema
from data.splits import Split
from data.tables import Table
from data.tables.streams import Form
from training.compiling import pack_frame
from training.rows import thinned

LEARNED, HELD_OUT = 1, 2
"""Where a row stands; 0 anywhere else."""

DRAWS = 4096
"""Parts of the held-out rows, by their content, that a bootstrap draws whole: equal rows and groups are in one."""

Learned = tuple[pd.DataFrame, NDArray[np.float64]]


def sides_of(labelled: NDArray[np.bool_], split: Split | None) -> NDArray[np.uint8]:
    """Return where rows stand, by the split of those that have a target; None where no row has one."""
    sides = np.zeros(len(labelled), dtype=np.uint8)
    if split is not None:
        sides[labelled] = LEARNED * split.mask("train") + HELD_OUT * split.mask("holdout")
    return sides


def of_side(side: int, schema: Schema, table: Table, sides: NDArray[np.uint8]) -> Learned:
    """Return the features of those of some rows that stand on a side, and their target."""
    rows = sides == side
    return table.frame.loc[rows, list(schema.names)], table.numbers(schema.target)[rows]


def packed(schema: Schema, weight: str, table: Table, sides: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return those of some rows that were held out: packed features, the target, and the weight where rows have one."""
    frame, target = of_side(HELD_OUT, schema, table, sides)
    weights = [table.numbers(weight)[sides == HELD_OUT]] if weight else []
    return np.column_stack([pack_frame(frame, schema), target, *weights])


@dataclass
class Mark:
    """A sum over targets and their places: two readings of the same rows in the same order have the same.

    Attributes
    ----------
    plain : int
        The sum over targets alone, by which that of later places is told.
    """

    count: int = 0
    total: int = 0
    plain: int = 0

    def add(self, target: NDArray[np.float64]) -> None:
        """Add the next rows."""
        places = np.arange(self.count, self.count + len(target), dtype=np.uint64)
        bits = np.ascontiguousarray(target).view(np.uint64)
        self.total = (self.total + int((bits * (2 * places + 1)).sum())) % 2**64
        self.plain = (self.plain + int(bits.sum())) % 2**64
        self.count += len(target)

    def add_all(self, part: Mark) -> None:
        """Add the next rows, by the mark of these alone."""
        self.total = (self.total + part.total + 2 * self.count * part.plain) % 2**64
        self.plain = (self.plain + part.plain) % 2**64
        self.count += part.count


@dataclass
class Noted:
    """What is noted of a table's rows in their order: a byte of each, and two more of one that is held out."""

    mark: Mark = field(default_factory=Mark)
    _sides: list[NDArray[np.uint8]] = field(default_factory=list)
    _drawn: list[NDArray[np.uint16]] = field(default_factory=list)

    def add(self, target: NDArray[np.float64], labelled: NDArray[np.bool_], split: Split | None) -> None:
        """Note the next rows, and where those of them stand that have a target; None where no row has one."""
        if split is not None:
            mixed = thinned.mixed(split.blocks[split.mask("holdout")])
            self._drawn.append((mixed >> np.uint64(64 - DRAWS.bit_length() + 1)).astype(np.uint16))
        self._sides.append(sides_of(labelled, split))
        self.mark.add(target)

    def add_all(self, part: Noted) -> None:
        """Join what was noted of the next rows."""
        self._sides += part._sides
        self._drawn += part._drawn
        self.mark.add_all(part.mark)

    @property
    def sides(self) -> NDArray[np.uint8]:
        """Where each row stands."""
        return np.concatenate(self._sides)

    @property
    def drawn(self) -> NDArray[np.uint16]:
        """The part of `DRAWS` that each held-out row is in."""
        return np.concatenate([*self._drawn, np.zeros(0, dtype=np.uint16)])


@dataclass(frozen=True)
class RowsAgain:
    """A table whose rows were noted.

    Attributes
    ----------
    sides : uint8 array of shape (n_rows,)
    reading_seconds : float
        That the first reading took.
    """

    form: Form
    schema: Schema
    sides: NDArray[np.uint8]
    mark: Mark
    reading_seconds: float

    def tables(self) -> Iterator[tuple[Table, NDArray[np.uint8]]]:
        """Yield the rows and where they stand; raises DataError, at the end where they are others than then."""
        mark = Mark()
        for table in self.form.tables():
            sides = self.sides[mark.count :][: len(table)]
            mark.add(table.numbers(self.schema.target))
            if mark.count <= len(self.sides):
                yield table, sides
        self.refuse_others(mark)

    def refuse_others(self, mark: Mark) -> None:
        """Raise UnreadableSource where the rows of another reading were not these."""
        if mark != self.mark:
            raise UnreadableSource(
                where=self.form.head.where,
                reason="has other rows, or another order of them, than at the first reading",
                repair="train again when nobody writes to it",
            )

    def of(self, side: int, table: Table, sides: NDArray[np.uint8]) -> Learned:
        """Return the features of those of some rows that stand on a side, and their target."""
        return of_side(side, self.schema, table, sides)

    def learned(self) -> Iterator[Learned]:
        """Yield the training rows."""
        for table, sides in self.tables():
            yield self.of(LEARNED, table, sides)
