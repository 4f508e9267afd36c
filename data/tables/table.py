"""A table whose columns have kinds: what training works on, whatever the source was.

Finds out for each column whether it holds numbers, booleans, dates or categories, and
brings it to one form: float64 for numbers and booleans (NaN where missing), `object` with
str or None for dates and categories. It decides what a column *is*; whether it is fit to
learn from is for `data.checks`.

How people write numbers and dates (currencies, decimal commas, days first) is found out by
`data.cells.column_readings`. A value keeps its meaning or its column becomes text: whole numbers beyond 2^53 and
digits with leading zeros (postal codes) are categories, since a float64 would not give them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.cells import column_readings
from data.cells.column_readings import NOTHING_ASKED, Asked
from data.cells.readings import Reading
from data.errors import UnusableColumn
from data.schema import DATE_PATTERN, LARGEST_EXACT, QUANTILES, Column, Kind, Schema
from data.sources.opening import Source

INEXACT_PATTERN = r"^[+-]?0\d+$"


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
    """

    where: str
    frame: pd.DataFrame
    kinds: Mapping[str, Kind | None]
    readings: Mapping[str, Reading] = field(default_factory=dict)
    doubts: Mapping[str, UnusableColumn] = field(default_factory=dict)
    noticed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        """The columns' names in the table's order."""
        return list(self.frame.columns)

    def take(self, rows: NDArray[Any]) -> Table:
        """Return the rows of a boolean mask or of positions."""
        chosen = self.frame[rows] if rows.dtype == bool else self.frame.iloc[rows]
        return replace(self, frame=chosen.reset_index(drop=True))

    def without(self, columns: Sequence[str]) -> Table:
        """Return the table without some of its columns."""
        return replace(self, frame=self.frame.drop(columns=list(columns)))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a number or boolean column, float64 of shape (n_rows,)."""
        return self.frame[column].to_numpy(dtype=np.float64)


def load_table(source: Source, asked: Asked = NOTHING_ASKED) -> Table:
    """Read all rows of a source and find each column's kind.

    Raises
    ------
    SourceError
        The source is empty or broken.
    MissingColumn, UnusableColumn
        A column that was asked for is absent; a column's type has no kind here (a list, a struct, binary).
    """
    return table_of(source.where, source.read(), is_text=source.is_text, asked=asked)


def table_of(where: str, arrow: pa.Table, *, is_text: bool, asked: Asked = NOTHING_ASKED) -> Table:
    """Find each column's kind, and how its texts are read; raises MissingColumn or UnusableColumn."""
    asked.check(where, arrow.column_names)
    columns = {name: _typed(arrow[name], name, is_text=is_text) for name in arrow.column_names}
    kinds = {name: kind for name, (kind, _) in columns.items()}
    settled = column_readings.settle(_text_columns(arrow, asked), kinds, asked, is_text=is_text)
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
    found = {name: kind for name, (kind, _) in columns.items()}
    return Table(where, frame, found, settled.readings, settled.doubts, tuple(settled.warnings))


def _text_columns(arrow: pa.Table, asked: Asked) -> dict[str, pa.ChunkedArray]:
    """Return the columns of text, and those of whole numbers that the user wants as text."""
    plain = {name: _plain(arrow[name]) for name in arrow.column_names}
    wanted = {name for name, words in asked.read if words == "text"}
    found = {}
    for name, column in plain.items():
        if _is_string(column.type):
            found[name] = column
        elif name in wanted and pa.types.is_integer(column.type):
            found[name] = column.cast(pa.string())
    return found


def typed_as(plain: pa.Array, reading: Reading) -> tuple[Kind | None, NDArray[Any]]:
    """Return the kind and the values of a column in plain text."""
    plain = pa.chunked_array([plain])
    if plain.null_count == len(plain):
        return None, np.full(len(plain), None, dtype=object)
    if reading.kind == "boolean":
        is_true = pc.is_in(plain, pa.array(["true", "1"]))
        return "boolean", _floats(pc.if_else(pc.is_null(plain), None, is_true))
    numbers = _parsed_numbers(plain) if reading.kind == "number" else None
    if numbers is not None:
        return "number", numbers
    return ("datetime" if reading.kind == "datetime" else "category"), _texts(plain)


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
    kind = table.kinds[name]
    assert kind is not None
    values = table.frame[name]
    reading = table.readings.get(name)
    unit = unit or (reading.measured_in if reading else None)
    column = Column(name, kind, missing=bool(values.isna().any()), unit=unit, reading=reading)
    if kind == "category":
        return replace(column, categories=tuple(sorted(values.dropna().unique())))
    if kind == "boolean":
        return column
    numbers = seconds(values) if kind == "datetime" else values.to_numpy(dtype=np.float64)
    found = numbers[~np.isnan(numbers)]
    if not found.size:
        return column
    return replace(
        column,
        minimum=float(found.min()),
        maximum=float(found.max()),
        quantiles=tuple(np.quantile(found, QUANTILES).tolist()),
    )


def seconds(texts: pd.Series) -> NDArray[np.float64]:
    """Return seconds since 1970-01-01T00:00:00 of ISO 8601 texts, NaN where missing."""
    texts = texts.astype(object)
    try:
        instants = pd.to_datetime(texts, format="ISO8601", utc=True)
    except pd.errors.OutOfBoundsDatetime:  # one with nanoseconds, and one that those do not reach
        cut = texts.str.replace(r"(\.\d{6})\d+", r"\1", regex=True)
        instants = pd.to_datetime(cut, format="ISO8601", utc=True)
    microseconds = instants.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype("int64") / 1e6)


def _typed(column: pa.ChunkedArray, name: str, *, is_text: bool) -> tuple[Kind | None, NDArray[Any]]:
    try:
        return _typed_plainly(_plain(column), name, is_text=is_text)
    except pa.ArrowException as error:
        found = f"holds {column.type} that cannot be read: {str(error).splitlines()[0]}"
        raise UnusableColumn(
            column=name, found=found, repair="exclude it, or make it a plain column"
        ) from error


def texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return a column of text, whatever its type, as str or None."""
    return _texts(_plain(column))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column without codes and views: few functions take those."""
    if pa.types.is_dictionary(column.type):
        parts = [_widened(part.dictionary).take(part.indices) for part in column.chunks]
        return pa.chunked_array(parts, None if parts else column.type.value_type)
    return _widened(column)


def _widened(values: Any) -> Any:
    kind = values.type
    if pa.types.is_string_view(kind):
        return values.cast(pa.large_string())
    narrow = pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind)
    return values.cast(pa.decimal128(kind.precision, kind.scale)) if narrow else values


def _refuse_other_bytes(column: pa.ChunkedArray, name: str) -> None:
    """Raise UnusableColumn at the first text that is no UTF-8: only text files are known to hold none."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        for row, cell in enumerate(column.cast(pa.large_string()).cast(pa.large_binary()).to_pylist(), 1):
            try:
                (cell or b"").decode()
            except UnicodeDecodeError:
                found, repair = (
                    "holds bytes that are not UTF-8",
                    "write the table again with its text as UTF-8",
                )
                raise UnusableColumn(column=name, row=row, found=found, repair=repair) from error
        raise


def _typed_plainly(column: pa.ChunkedArray, name: str, *, is_text: bool) -> tuple[Kind | None, NDArray[Any]]:
    if column.null_count == len(column):
        return None, np.full(len(column), None, dtype=object)
    for applies, typed in _TYPED:
        if applies(column.type):
            return typed(column)
    if _is_string(column.type):
        _refuse_other_bytes(column, name)
        return _typed_text(column, is_text=is_text)
    raise UnusableColumn(
        column=name, found=f"holds {column.type}", repair="exclude it, or make it plain columns"
    )


def _typed_whole(column: pa.ChunkedArray) -> tuple[Kind | None, NDArray[Any]]:
    return (
        ("number", _floats(column)) if _is_exact(column) else ("category", _texts(column.cast(pa.string())))
    )


def _is_exact(column: pa.ChunkedArray) -> bool:
    extremes = pc.min_max(column).as_py()
    return bool(extremes["min"] >= -LARGEST_EXACT and extremes["max"] <= LARGEST_EXACT)


def _typed_floats(column: pa.ChunkedArray) -> tuple[Kind | None, NDArray[Any]]:
    values = _floats(column)
    if np.isnan(values).all():
        return None, np.full(len(values), None, dtype=object)
    return "number", values


def _typed_text(column: pa.ChunkedArray, *, is_text: bool) -> tuple[Kind | None, NDArray[Any]]:
    """Find the kind of text; only a text file's text may be a number or a boolean."""
    trimmed = pc.utf8_trim(column, " \t\r\n")  # as the server does: a number among other blanks is text
    if _all(pc.match_substring_regex(trimmed, DATE_PATTERN)) and _are_dates(trimmed):
        return "datetime", _texts(trimmed)
    if not is_text:
        return "category", _texts(column)
    if _all(pc.match_substring_regex(trimmed, r"^(true|false)$", ignore_case=True)):
        return "boolean", _floats(pc.equal(pc.utf8_lower(trimmed), "true"))
    numbers = _parsed_numbers(trimmed)
    return ("category", _texts(column)) if numbers is None else ("number", numbers)


def _parsed_numbers(trimmed: pa.ChunkedArray) -> NDArray[np.float64] | None:
    try:
        numbers = _floats(trimmed.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None
    beyond = pc.and_kleene(
        pa.array(np.abs(numbers) >= LARGEST_EXACT),
        pc.match_substring_regex(trimmed, r"^[+-]?\d+$").combine_chunks(),
    )
    leading_zero = pc.match_substring_regex(trimmed, INEXACT_PATTERN)
    return None if pc.any(beyond).as_py() or pc.any(leading_zero).as_py() else numbers


def _are_dates(trimmed: pa.ChunkedArray) -> bool:
    try:
        seconds(pd.Series(_texts(trimmed)))
    except ValueError:
        return False
    return True


def _iso_texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Write timestamps as ISO 8601 in UTC with microseconds, dates as dates."""
    if pa.types.is_date(column.type):
        return _texts(pc.strftime(column.cast(pa.timestamp("s")), format="%Y-%m-%d"))
    naive = column.cast(pa.timestamp("us", tz="UTC" if column.type.tz else None), safe=False)
    return _texts(pc.strftime(naive, format="%Y-%m-%dT%H:%M:%S" + ("Z" if column.type.tz else "")))


def _all(matches: pa.ChunkedArray) -> bool:
    return bool(pc.all(matches).as_py())


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)


_Typed = Callable[[pa.ChunkedArray], tuple[Kind | None, NDArray[Any]]]
_TYPED: tuple[tuple[Callable[[pa.DataType], bool], _Typed], ...] = (
    (pa.types.is_boolean, lambda column: ("boolean", _floats(column))),
    (pa.types.is_integer, _typed_whole),
    (pa.types.is_floating, _typed_floats),
    (lambda kind: pa.types.is_decimal(kind) and kind.scale <= 0, _typed_whole),
    (pa.types.is_decimal, _typed_floats),
    (pa.types.is_timestamp, lambda column: ("datetime", _iso_texts(column))),
    (pa.types.is_date, lambda column: ("datetime", _iso_texts(column))),
    (pa.types.is_time, lambda column: ("category", _texts(column.cast(pa.string())))),
)
