"""Values as they were sent -> the packed float64 matrix of `data.schema`, or the cells that cannot be used.

Python values out of JSON, Arrow columns and the text columns of a CSV file are accepted and
refused alike: a value is used exactly as it was sent, or it is a fault. It reads no bytes and
decides nothing about unseen categories or gaps; it counts them, and keeps the texts of the former where somebody
asked for them (`keep_texts`).

    number     a finite number; a whole one within ±2^53; never true/false, never text (but in CSV)
    boolean    true or false, or the numbers 1 and 0, which stock MLflow's signature asks for
    category   text; a number is refused, since stock MLflow scores it as an unknown category
    datetime   ISO 8601 text, offset applied, UTC where there is none; Arrow's timestamps and dates

Where training read the texts of a column in a way of their own (`data.cells.readings`: `$1,234`, `31.12.2024`), text
is read so here, in every format, and what means a missing value there does here.
Values finer than a microsecond are cut to it, as training does. pyarrow is imported by
`pack_arrow` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.cell_values import converter, gaps, instant
from data.schema import LARGEST_EXACT, UNSEEN, Column, Kind, Schema
from serving.errors import Fault
from serving.rows.cells import near_misses
from serving.rows.cells.cell_forms import Bools
from serving.scorer import Floats

NO_COLUMN = "no such column"
MOST_FAULTS = 20
"""Faults that are described; the others are counted."""

EXPECTED: dict[Kind, str] = {
    "number": "a finite number, whole ones within ±2^53",
    "boolean": "true or false",
    "category": "text",
    "datetime": "an ISO 8601 date or time",
}
_FOUND = {
    str: "text",
    bool: "true/false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class UnseenText(NamedTuple):
    """A category that training did not see: the matrix loses its text."""

    row: int
    column: str
    text: str


Texts = Sequence[UnseenText]
_most_texts = 0


def keep_texts(most: int) -> None:
    """Have this process keep the texts of so many unseen categories in a request, and one more."""
    global _most_texts  # noqa: PLW0603 - a worker is told once, before it serves
    _most_texts = most


class Packed(NamedTuple):
    """A packed matrix of shape (n_rows, n_columns), and what there is to say about it.

    Attributes
    ----------
    faults : tuple of Fault
        The first `MOST_FAULTS`, in the order of rows; the matrix means nothing where there are any.
    n_faults : int
        How many there are in all.
    unseen, missing : mapping of column to count
        Unseen categories; gaps in columns where training saw none.
    faulty : bool array of shape (n_rows,), or None where there are no faults
        Which rows hold one.
    texts : sequence of (row, column, text)
        Of unseen categories, as they were sent; nothing unless they are kept.
    """

    matrix: Floats
    faults: tuple[Fault, ...] = ()
    n_faults: int = 0
    unseen: Mapping[str, int] = MappingProxyType({})
    missing: Mapping[str, int] = MappingProxyType({})
    faulty: Bools | None = None
    texts: Texts = ()


class Repeated(Sequence[str]):
    """Texts as raw columns have them, few of them different: the different ones, and which stands where."""

    def __init__(self, distinct: list[str], indices: NDArray[np.intp]) -> None:
        self.distinct, self.indices = distinct, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[str]:
        return map(self.distinct.__getitem__, self.indices.tolist())

    def __getitem__(self, key: Any) -> Any:
        return self.distinct[self.indices[key]]


def pack_columns(columns: Mapping[str, Sequence[Any]], schema: Schema, sent: Iterable[str] = ()) -> Packed:
    """Pack columns of JSON values or arrays, all of one length; a column that is absent is one fault.

    `sent` are all names that came, where `columns` are only those that the schema knows.
    """
    quick = _pack_floats([columns.get(column.name) for column in schema.columns], schema)
    if quick is not None:
        return Packed(quick)
    collected = _Collected(schema, len(next(iter(columns.values()), ())))
    for column in schema.columns:
        values = columns.get(column.name)
        if values is None:
            collected.lack(column)
        else:
            collected.add(column, *_pack_values(values, column))
            if column.name in collected.unseen and _most_texts:
                collected.keep(column, partial(_texts_at, values))
    return collected.packed(sent or columns)


def _texts_at(values: Sequence[Any], rows: Sequence[int]) -> list[str]:
    return [str(values[row]) for row in rows]


def _pack_floats(arrays: Sequence[Any], schema: Schema) -> Floats | None:
    """Return arrays of finite floats side by side, or None where each column must be looked at."""
    for values, column in zip(arrays, schema.columns, strict=True):
        if column.kind != "number" or not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            return None
    matrix = np.stack(arrays, axis=1, dtype=np.float64)
    return matrix if np.isfinite(matrix).all() and not schema.has_readings else None


def pack_arrow(batch: Any, schema: Schema, *, is_text: bool = False, sent: Iterable[str] = ()) -> Packed:
    """Pack a record batch or a table; `is_text` where it was read from a CSV file, all strings.

    Parameters
    ----------
    batch : pyarrow.RecordBatch or pyarrow.Table
        Columns in any order; those that the schema does not name are ignored.
    schema : Schema
        The columns to pack.
    sent : iterable of str
        All names that came, where the batch holds only those that the schema knows.
    """
    from serving.rows.cells import arrow_columns  # noqa: PLC0415 - pyarrow takes 60 MB that most workers never need

    collected = _Collected(schema, batch.num_rows)
    present = set(batch.schema.names)
    for column in schema.columns:
        if column.name in present:
            values = batch.column(column.name)
            values = schema.without_missing_words(values, column.name) if is_text else values
            collected.add(column, *arrow_columns.pack(values, column, is_text=is_text))
            if column.name in collected.unseen and _most_texts:
                collected.keep(column, partial(arrow_columns.texts_at, values))
        else:
            collected.lack(column)
    return collected.packed(sent or present)


def pack_row(values: Mapping[str, Any], schema: Schema) -> Packed:
    """Pack one row of JSON values: `pack_columns` without the cost of arrays for each column."""
    get = values.get
    try:
        cells = [convert(get(name)) for name, convert in _quick_converters(schema)]
    except TypeError:  # a list where a category is due
        return _pack_odd_row(values, schema)
    if None in cells or math.isnan(sum(filter(None, cells))):  # absent, missing, unseen or faulty
        return _pack_odd_row(values, schema)
    return Packed(np.array([cells], dtype=np.float64))


def _pack_odd_row(values: Mapping[str, Any], schema: Schema) -> Packed:
    return pack_columns({name: (value,) for name, value in values.items()}, schema)


class _Collected:
    """The matrix under construction."""

    def __init__(self, schema: Schema, rows: int) -> None:
        self.matrix = np.empty((rows, len(schema.columns)))
        self.place = {name: index for index, name in enumerate(schema.names)}
        self.faults: list[Fault] = []
        self.n_faults = 0
        self.unseen: dict[str, int] = {}
        self.missing: dict[str, int] = {}
        self.faulty = np.zeros(rows, dtype=np.bool_)
        self.texts: list[UnseenText] = []

    def lack(self, column: Column) -> None:
        self.matrix[:, self.place[column.name]] = np.nan
        self.faulty[:] = True
        self.n_faults += 1
        self.faults.append(Fault(None, column.name, expected(column), NO_COLUMN))

    def add(self, column: Column, values: Floats, bad: Bools | None, describe: Callable[[int], str]) -> None:
        if column.reading is not None and column.reading.sentinels:
            values = np.where(np.isin(values, column.reading.sentinels), math.nan, values)
        self.matrix[:, self.place[column.name]] = values
        if bad is not None and bad.any():
            self.n_faults += int(np.count_nonzero(bad))
            self.faulty |= bad
            first = np.flatnonzero(bad)[:MOST_FAULTS].tolist()
            self.faults += [Fault(row, column.name, expected(column), describe(row)) for row in first]
            return
        if not column.missing and (gaps := int(np.count_nonzero(np.isnan(values)))):
            self.missing[column.name] = gaps
        if column.kind == "category" and (unseen := int(np.count_nonzero(values == UNSEEN))):
            self.unseen[column.name] = unseen

    def keep(self, column: Column, texts_at: Callable[[Sequence[int]], list[str]]) -> None:
        """Keep the texts of a column's unseen categories, as many as there is room for, and one more."""
        result = np.flatnonzero(self.matrix[:, self.place[column.name]] == UNSEEN)
        rows = result[: _most_texts + 1 - len(self.texts)].tolist()
        self.texts += [
            UnseenText(row, column.name, text) for row, text in zip(rows, texts_at(rows), strict=True)
        ]

    def packed(self, sent: Iterable[str]) -> Packed:
        faults = sorted(self.faults, key=lambda fault: -1 if fault.row is None else fault.row)[:MOST_FAULTS]
        if faults and faults[0].row is None:
            faults = _with_hints(faults, sent)
        faulty = self.faulty if self.n_faults else None
        return Packed(
            self.matrix, tuple(faults), self.n_faults, self.unseen, self.missing, faulty, self.texts
        )


def _with_hints(faults: Sequence[Fault], sent: Iterable[str]) -> list[Fault]:
    """Add to each column that is absent how a name that was sent differs from its own."""
    known = near_misses.folded(sent)
    return [
        replace(fault, found=fault.found + near_misses.of_name(fault.column, known))
        if fault.row is None
        else fault
        for fault in faults
    ]


def _pack_values(values: Sequence[Any], column: Column) -> tuple[Floats, Bools | None, Callable[[int], str]]:
    """Return the column's floats, which cells are faults (None for none), and what such a cell holds."""
    if isinstance(values, np.ndarray):
        return _pack_array(values, column)
    if isinstance(values, Repeated):
        return _pack_repeated(values, column)
    quick = _quick(values, column)
    if quick is not None:
        return quick, None, str
    convert = converter(column)
    cells = [convert(value) for value in values]
    bad = np.array([cell is None for cell in cells], dtype=np.bool_)
    floats = np.array([math.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return floats, bad, lambda row: _found(values[row], column)


def _pack_repeated(values: Repeated, column: Column) -> tuple[Floats, Bools | None, Callable[[int], str]]:
    floats, bad, describe = _pack_values(values.distinct, column)
    indices = values.indices
    return floats[indices], None if bad is None else bad[indices], lambda row: describe(int(indices[row]))


def _pack_array(values: NDArray[Any], column: Column) -> tuple[Floats, Bools | None, Callable[[int], str]]:
    """Do the same for an array of one type, as raw tensors bring them."""
    kind = values.dtype.kind
    if column.kind == "boolean" and kind == "b":
        return values.astype(np.float64), None, str
    if column.kind != "number" or kind == "b":
        return _pack_values(values.tolist(), column)
    floats = values.astype(np.float64, copy=False)
    bad = np.isinf(floats) if kind == "f" else (values > LARGEST_EXACT) | (values < -LARGEST_EXACT)
    return floats, bad if np.count_nonzero(bad) else None, lambda row: _found(values[row].item(), column)


def _quick(values: Sequence[Any], column: Column) -> Floats | None:
    """Return whole columns of the kinds that most requests hold, or None where cells must be looked at."""
    if column.kind == "category":
        codes = column.codes | {None: math.nan} | gaps(column)
        try:
            return np.fromiter(map(codes.__getitem__, values), dtype=np.float64, count=len(values))
        except (KeyError, TypeError):  # unseen, or no text
            only_text = set(map(type, values)) <= {str, type(None)}
        return np.array([codes.get(value, UNSEEN) for value in values]) if only_text else None
    if column.kind == "number" and set(map(type, values)) <= {float, int, type(None)}:
        try:
            floats = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        return None if (np.abs(floats) >= LARGEST_EXACT).any() else floats
    if column.kind == "datetime" and set(map(type, values)) <= {str, type(None)}:
        instants = {value: instant(value) for value in set(values)}  # rows of one request share dates
        if None not in instants.values():
            return np.fromiter(map(instants.__getitem__, values), dtype=np.float64, count=len(values))
    return None


Quick = tuple[tuple[str, Callable[[Any], float | None]], ...]
_quick_by_identity: dict[int, tuple[Schema, Quick]] = {}


def _quick_converters(schema: Schema) -> Quick:
    """Return each column's cell function; hashing a schema for every request would cost more than its use."""
    known = _quick_by_identity.get(id(schema))
    if known is None or known[0] is not schema:
        if len(_quick_by_identity) > 64:
            _quick_by_identity.clear()
        made = tuple((column.name, _quick_converter(column)) for column in schema.columns)
        known = _quick_by_identity[id(schema)] = (schema, made)
    return known[1]


def _quick_converter(column: Column) -> Callable[[Any], float | None]:
    """Return a cell function that may say None of any cell that is not an ordinary one."""
    return column.codes.get if column.kind == "category" else converter(column)


def expected(column: Column) -> str:
    """Say what a column takes."""
    more = f", or text read as {column.reading}" if column.reading and column.kind != "category" else ""
    return EXPECTED[column.kind] + more


def _found(value: Any, column: Column) -> str:
    if type(value) is str and column.kind == "datetime":
        return near_misses.of_date(value)
    if type(value) is int and abs(value) > LARGEST_EXACT:
        return "a whole number beyond ±2^53"
    if type(value) is float and math.isinf(value):
        return "an infinite number"
    return _FOUND.get(type(value), "another kind of value")
