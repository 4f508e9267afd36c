"""All held-out rows of a table that memory does not hold, as a scorer takes them.

Where all training rows are read for a model to learn them, the held-out ones among them are written to a file, so that
the table is not read for them alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.own_files import own_folder
from data.tables import Table
from training.models import AllRows
from training.rows.again.noted import LEARNED, Learned, RowsAgain, packed
from training.weights import Weight

Floats = NDArray[np.float64]

MOST_AT_ONCE, FEWEST_AT_ONCE, CELLS_AT_ONCE = 65_536, 1_024, 2_000_000
"""Rows that are given together: so many cells, but no more rows than the one and no fewer than the other."""


class HeldOutRows(NamedTuple):
    """Some held-out rows.

    Attributes
    ----------
    matrix : float64 array of shape (n_rows, n_columns)
        Packed.
    target : float64 array of shape (n_rows,)
    weight : float64 array of shape (n_rows,), or None
        As the table has it.
    drawn : uint16 array of shape (n_rows,)
        Rows with the same number are drawn together.
    """

    matrix: Floats
    target: Floats
    weight: Weight
    drawn: NDArray[np.uint16]


class AllHeldOut:
    """All held-out rows of a table, to be read once.

    Attributes
    ----------
    again : RowsAgain
        The table.
    first_seconds : float
        That the first reading of the table took, which did more with its rows.
    """

    def __init__(self, again: RowsAgain, drawn: NDArray[np.uint16], weight: str) -> None:
        self.again, self._drawn, self._weight = again, drawn, weight
        self.first_seconds = again.reading_seconds
        self._width = len(again.schema.names) + 1 + bool(weight)
        self._written: Path | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._drawn)

    @property
    def reading_seconds(self) -> float:
        """How long at most the table has to be read for them; nothing where they are on the disk."""
        return 0.0 if self._written else self.first_seconds

    def beside(self, everything: AllRows) -> AllRows:
        """Return the table's training rows: whoever reads them all writes the held-out ones to a file."""
        return replace(everything, parts=self._parts)

    def _parts(self) -> Iterator[Learned]:
        if self._written:
            yield from self.again.learned()
            return
        with self.writing() as write:
            for table, sides in self.again.tables():
                write(partial(self._packed, table, sides))
                yield self.again.of(LEARNED, table, sides)

    @contextmanager
    def writing(self) -> Iterator[Callable[[Callable[[], Floats]], None]]:
        """Yield what writes held-out rows behind those above, which are all when it ends without an error.

        Whatever is in the way of that is in no learner's way: they are read by themselves then.
        """
        if self._written:
            yield lambda _: None
            return
        did, is_whole = True, False
        with tempfile.NamedTemporaryFile(dir=own_folder(), buffering=0, delete=False) as file:

            def write(rows: Callable[[], Floats]) -> None:
                nonlocal did
                try:
                    if did:
                        rows().tofile(file)
                except Exception:
                    did = False

            try:
                yield write
                is_whole = did
            finally:
                if not is_whole:
                    Path(file.name).unlink(missing_ok=True)
        self._written = Path(file.name) if is_whole else None

    def _packed(self, table: Table, sides: NDArray[np.uint8]) -> Floats:
        return packed(self.again.schema, self._weight, table, sides)

    def blocks(self) -> Iterator[HeldOutRows]:
        """Yield them in the table's order; raises DataError, or OSError where the file cannot be read."""
        at_once = min(MOST_AT_ONCE, max(FEWEST_AT_ONCE, CELLS_AT_ONCE // self._width))
        columns, place = len(self.again.schema.names), 0
        for block in self._from_file(at_once) if self._written else self._from_table():
            for start in range(0, len(block), at_once):
                rows = block[start : start + at_once]
                drawn = self._drawn[place : place + len(rows)]
                place += len(rows)
                weight = rows[:, columns + 1].copy() if self._weight else None
                yield HeldOutRows(rows[:, :columns].copy(), rows[:, columns].copy(), weight, drawn)

    def _from_file(self, at_once: int) -> Iterator[Floats]:
        assert self._written is not None
        with self._written.open("rb") as file:
            self._written.unlink()  # what is open stays
            self._written = None
            while len(values := np.fromfile(file, np.float64, at_once * self._width)):
                yield values.reshape(-1, self._width)

    def _from_table(self) -> Iterator[Floats]:
        for table, sides in self.again.tables():
            yield self._packed(table, sides)
