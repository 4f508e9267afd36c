"""What a user promises about a table: each column's kind, limits and gaps.

It knows no table: whether one keeps it is for `data.contracts.holding`, how it is written for
`data.contracts.files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from data.cells import Reading
from data.schema import Kind
from data.tables import seconds


@dataclass(frozen=True)
class Promise:
    """What one column keeps.

    Attributes
    ----------
    minimum, maximum : float, or str such as 2013-01-31, or None
        The limits of a number or a datetime.
    missing : float
        The largest share of empty cells.
    values : tuple of str
        The only categories that are allowed; any where there are none.
    unique, optional : bool
        Whether no cell may stand there twice; whether the column may be absent.
    reading : Reading or None
        How its texts are read.
    """

    kind: Kind
    unit: str | None = None
    minimum: float | str | None = None
    maximum: float | str | None = None
    missing: float = 0.0
    values: tuple[str, ...] = ()
    unique: bool = False
    optional: bool = False
    reading: Reading | None = None

    def number(self, key: str) -> float | None:
        """Return a limit or the share as a number, a date as seconds since 1970; raises TypeError or ValueError."""
        value = getattr(self, key)
        if value is None:
            return None
        if self.kind == "datetime" and key != "missing":
            return float(seconds(pd.Series([str(value)]))[0])
        return float(value)


@dataclass(frozen=True)
class Contract:
    """What a table keeps.

    Attributes
    ----------
    where : str
        The file it was read from.
    columns : mapping of str to Promise
        The only columns there may be.
    target : str
        The column to predict, or nothing.
    rows : int
        The fewest.
    """

    where: str
    columns: Mapping[str, Promise]
    target: str = ""
    rows: int = 1

    @property
    def units(self) -> dict[str, str]:
        """The unit of each column that has one."""
        return {name: promise.unit for name, promise in self.columns.items() if promise.unit}

    @property
    def readings(self) -> dict[str, Reading]:
        """How the texts of each column are read that is promised not to be plain; categories stay text."""
        as_text = {name: Reading("text") for name, each in self.columns.items() if each.kind == "category"}
        return as_text | {name: each.reading for name, each in self.columns.items() if each.reading}
