"""What a job counts while it scores: rows, those without a prediction, unseen categories, faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.batch.beside import ADDED
from serving.errors import Fault, FaultyRows
from serving.rows import coercion

SHOWN_FAULTS = 20


@dataclass
class Report:
    """What a job did.

    Attributes
    ----------
    rows, unscored : int
        Rows written, and those among them without a prediction.
    seconds : float
        From opening the input to closing the output.
    unseen : dict of column to count
        Categories that training did not see, scored as unknown.
    names : tuple of str
        Of the columns of the prediction and its interval; see `names_beside`.
    table : int, optional
        The version of the Delta table that these rows are.
    """

    rows: int = 0
    unscored: int = 0
    seconds: float = 0.0
    unseen: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ADDED
    table: int | None = None

    def count(self, packed: coercion.Packed) -> None:
        """Add a block of rows."""
        unscored = int(packed.faulty.sum()) if packed.faulty is not None else 0
        self.add(len(packed.matrix), unscored, packed.unseen)

    def add(self, rows: int, unscored: int, unseen: Mapping[str, int]) -> None:
        """Add what was counted elsewhere."""
        self.rows += rows
        self.unscored += unscored
        for column, count in unseen.items():
            self.unseen[column] = self.unseen.get(column, 0) + count


class FirstFaults:
    """The faults so far; once one is fatal the rest of the input is only checked."""

    def __init__(self) -> None:
        self.first: list[Fault] = []
        self.count = 0
        self.fatal = False

    def add(self, packed: coercion.Packed, *, first_row: int, fatal: bool) -> None:
        """Add those of a block of rows; raises FaultyRows where a whole column is absent: no need to read on."""
        self.count += packed.n_faults
        self.fatal |= fatal and packed.n_faults > 0
        for fault in packed.faults[: SHOWN_FAULTS - len(self.first)]:
            row = None if fault.row is None else fault.row + first_row
            self.first.append(Fault(row, fault.column, fault.expected, fault.found))
            if row is None:
                self.raise_if_fatal()

    def raise_if_fatal(self) -> None:
        """Raise FaultyRows if one of them is."""
        if self.fatal:
            raise FaultyRows(faults=self.first, count=self.count)
