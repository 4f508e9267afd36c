"""A table whose columns have kinds: what training works on, whatever the source was.

Each column holds numbers, booleans, dates or categories (`data.tables.arrow_kinds` tells which); how people write
them, with currencies, decimal commas, days first, is found out by `data.cells`. Whether a column is fit to learn from
is for `data.checks`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.cells import NO_OPTIONS, Reading, ReadOptions, settle_readings
from data.errors import MissingColumn, UnusableColumn
from data.schema import QUANTILES, Column, Kind, Schema
from data.sources import Source
from data.tables.arrow_kinds import is_string, nothing, plain, typed, typed_as
from data.tables.moments import seconds


@dataclass(frozen=True)
class Table:
    """Rows with kinds.

    Attributes
    ----------
    where : str
        The source as the user wrote it.
    frame : pandas.DataFrame of shape (n_rows, n_columns)
        float64 columns for number and boolean, `object` columns of str or None otherwise.
    kinds : dict of str to Kind
        The kind of each column; None where every value is missing.
    readings : dict of str to Reading
        How the texts of a column were read, where they are more than plain.
    doubts : dict of str to UnusableColumn
        What stands in the way of using a column.
    noticed : tuple of str
        What was done to cells because the user said so.
    digests : dict
        Of the rows, by what was asked of them: `data.tables.fingerprints` fills it. Some of the rows have theirs.
    """

    where: str
    frame: pd.DataFrame
    kinds: Mapping[str, Kind | None]
    readings: Mapping[str, Reading] = field(default_factory=dict)
    doubts: Mapping[str, UnusableColumn] = field(default_factory=dict)
    noticed: tuple[str, ...] = ()
    digests: dict[Hashable, NDArray[np.uint64]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        """The columns' names in the table's order."""
        return list(self.frame.columns)

    def take(self, rows: NDArray[Any]) -> Table:
        """Return the rows of a boolean mask or of positions."""
        if rows.dtype == bool and rows.all() and self.frame.index.equals(pd.RangeIndex(len(self))):
            return self
        chosen = self.frame[rows] if rows.dtype == bool else self.frame.iloc[rows]
        taken = replace(self, frame=chosen.reset_index(drop=True))
        taken.digests.update({asked: digests[rows] for asked, digests in self.digests.items()})
        for digests in taken.digests.values():
            digests.flags.writeable = False
        return taken

    def without(self, columns: Sequence[str]) -> Table:
        """Return the table without some of its columns."""
        return replace(self, frame=self.frame.drop(columns=list(columns)))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a number or boolean column, float64 of shape (n_rows,)."""
        return self.frame[column].to_numpy(dtype=np.float64)

    def moments(self, column: str) -> NDArray[np.float64]:
        """Return when each row was, in seconds since 1970, shape (n_rows,); raises MissingColumn or UnusableColumn."""
        if column not in self.frame:
            raise MissingColumn(where=self.where, role="time", column=column, columns=self.names)
        if self.kinds[column] != "datetime":
            repair = "name the column of the rows' dates"
            raise UnusableColumn(column=column, row=1, found="holds no dates", repair=repair)
        moments = seconds(self.frame[column])
        if np.isnan(moments).any():
            row = int(np.flatnonzero(np.isnan(moments))[0]) + 1
            raise UnusableColumn(column=column, row=row, found="is missing", repair="leave such rows out")
        return moments


def load_table(source: Source, options: ReadOptions = NO_OPTIONS) -> Table:
    """Read all rows of a source and find each column's kind.

    Raises
    ------
    SourceError
        The source is empty or broken.
    MissingColumn
        A column that was asked for is absent.

    Notes
    -----
    A column whose type has no kind here (a list, a struct, binary) is empty, and the table's doubts tell of it.
    """
    return table_of(source.where, source.read(), is_text=source.is_text, options=options)


def table_of(where: str, arrow: pa.Table, *, is_text: bool, options: ReadOptions = NO_OPTIONS) -> Table:
    """Find each column's kind, and how its texts are read; raises MissingColumn."""
    options = options.named(arrow.column_names)
    options.check(where, arrow.column_names)
    columns, unusable = {}, {}
    for name in arrow.column_names:
        try:
            columns[name] = typed(arrow[name], name, is_text=is_text)
        except UnusableColumn as error:
            columns[name], unusable[name] = (None, nothing(len(arrow), None)), error
    kinds = {name: kind for name, (kind, _) in columns.items()}
    settled = settle_readings(
        text_columns(arrow.drop(list(unusable)), options), kinds, options, is_text=is_text
    )
    for name, reading in settled.readings.items():
        if name in settled.plain:
            columns[name] = typed_as(settled.plain[name], reading)
        elif kinds[name] == "number" and reading.sentinels:
            values = columns[name][1]
            columns[name] = "number", np.where(np.isin(values, reading.sentinels), np.nan, values)
    # A Series of its own dtype: a frame made from arrays would turn text into pandas' str, and None into NaN.
    frame = pd.DataFrame(
        {name: pd.Series(values, dtype=values.dtype) for name, (_, values) in columns.items()}
    )
    kinds = {name: kind for name, (kind, _) in columns.items()}
    doubts = settled.doubts | unusable
    return Table(where, frame, kinds, settled.readings, doubts, tuple(settled.warnings))


def text_columns(arrow: pa.Table, options: ReadOptions) -> dict[str, pa.ChunkedArray]:
    """Return the columns of text, and those of whole numbers that the user wants as text."""
    as_text = {name for name, words in options.read if words == "text"}
    columns = {}
    for name in arrow.column_names:
        column = plain(arrow[name])
        if is_string(column.type):
            columns[name] = column
        elif name in as_text and pa.types.is_integer(column.type):
            columns[name] = column.cast(pa.string())
    return columns


def describe(
    table: Table, features: Sequence[str], *, target: str, units: Mapping[str, str] | None = None
) -> Schema:
    """Return the schema of these rows: ranges, quantiles and categories are those found here."""
    units = units or {}
    columns = tuple(_described(table, name, units.get(name)) for name in features)
    reading = table.readings.get(target)
    unit = units.get(target) or (reading.measured_in if reading else None)
    return Schema(columns, target=target, target_unit=unit, target_reading=reading)


def _described(table: Table, name: str, unit: str | None) -> Column:
    kind, values = table.kinds[name], table.frame[name]
    assert kind is not None
    missing = bool(values.isna().any())
    if kind == "category":
        present = values.dropna().unique()
    else:
        numbers = seconds(values) if kind == "datetime" else values.to_numpy(dtype=np.float64)
        present = numbers[~np.isnan(numbers)]
    return described(name, kind, present, missing=missing, unit=unit, reading=table.readings.get(name))


def described(
    name: str, kind: Kind, present: NDArray[Any], *, missing: bool, unit: str | None, reading: Reading | None
) -> Column:
    """Return a column by what stands in its cells.

    Parameters
    ----------
    present : array of shape (n_present,)
        The different texts of a category; the numbers of others, of dates their seconds since 1970.
    """
    unit = unit or (reading.measured_in if reading else None)
    column = Column(name, kind, missing=missing, unit=unit, reading=reading)
    if kind == "category":
        return replace(column, categories=tuple(sorted(present)))
    if kind == "boolean" or not len(present):
        return column
    return replace(
        column,
        minimum=float(present.min()),
        maximum=float(present.max()),
        quantiles=tuple(np.quantile(present, QUANTILES).tolist()),
    )
