"""Rows of any format become the packed float64 matrix: the one place that says which values are accepted.

JSON values, texts of a CSV file and Arrow arrays all end in `Kind.cell`: whole columns take a fast path
that settles only the cells it is sure of, and every other cell is settled by `cell`. So a value is
accepted or refused alike in every format, alone or among 100,000 others, and what is accepted is exact:

    number     a finite number; whole numbers within ±2^53
    boolean    true or false, or the numbers 1 and 0
    category   text, or a whole number, which stands for its digits; -1.0 and counted where unseen
    datetime   ISO 8601 text from YYYY-MM-DD on, or a timestamp or date: UTC, to the microsecond
    any        null (None, NaN, an empty CSV field) is NaN; counted where training saw none missing

It knows neither HTTP nor MLflow, and imports pyarrow only through the arrays that it is handed. Rows
are numbered from 1. Texts of a CSV file are read as the column's kind says: '1.5' is a number there
and text in JSON, where the two can be told apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.schema import UNSEEN, Column, Schema

Floats = NDArray[np.float64]

LARGEST_EXACT = 2**53
"""Beyond this, float64 skips whole numbers."""

SHOWN_FAULTS = 20
FEW_ROWS = 16
"""Up to here, cell by cell is faster than a fast path's fixed cost (measured: equal near 20 rows)."""

CSV_MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
"""What pandas.read_csv takes for missing; a category that training knows by such a text stays a category."""

_DAY = r"(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
_OFFSET = r"Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_DATE = re.compile(rf"^[ \t]*(?:({_DAY}[T ]{_TIME})({_OFFSET})?|({_DAY}))[ \t]*$", re.MULTILINE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Fault(NamedTuple):
    """One value that cannot be used; `row` is None where the whole column cannot."""

    row: int | None
    column: str
    expected: str
    found: str


@dataclass
class Packed:
    """What became of some rows.

    Attributes
    ----------
    matrix : float64 array of shape (n_rows, n_columns)
        Not to be scored where there are faults.
    faults : list of Fault
        The first 20 by row.
    n_faults : int
        How many there are in all.
    unseen, missing : dict of str to int
        Cells by column: categories that training did not see; nulls where training saw none.
    extra : int
        Columns that the schema does not have.
    """

    matrix: Floats
    faults: list[Fault] = field(default_factory=list)
    n_faults: int = 0
    unseen: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    extra: int = 0


class Kind:
    """How the values of one column are packed; one subclass for each kind of `data.schema`."""

    expected = ""

    def __init__(self, column: Column) -> None:
        self.column = column

    def cell(self, value: Any) -> float | None:
        """Return the packed value, NaN where missing, None where it cannot be used."""
        raise NotImplementedError

    def text(self, text: str) -> float | None:
        """Return the packed value of a CSV field, as `cell` does."""
        return math.nan if text in CSV_MISSING else self.cell(text)

    def cells(self, values: list[Any]) -> tuple[Floats, Sequence[int]]:
        """Return the packed values of a whole column, and the places that `cell` must settle."""
        return np.full(len(values), np.nan), range(len(values))

    def texts(self, texts: list[str]) -> tuple[Floats, Sequence[int]]:
        """Return the packed values of a CSV column, and the places that `text` must settle."""
        return _by_distinct(texts, self.text)

    def arrow(self, array: Any) -> tuple[Floats, Sequence[int]] | None:
        """Return the same for an Arrow array; None where no value of its type can be used."""
        raise NotImplementedError


class Number(Kind):
    """A float64."""

    expected = "a finite number; a whole number within ±2^53"

    def cell(self, value: Any) -> float | None:
        """Refuse text, booleans, infinity, and whole numbers that a float64 would change."""
        if type(value) is float:
            return None if math.isinf(value) else value
        if type(value) is int:
            return float(value) if -LARGEST_EXACT <= value <= LARGEST_EXACT else None
        return math.nan if value is None else None

    def text(self, text: str) -> float | None:
        """Read decimal digits as float() does, apart from '1_000' and digits of other scripts."""
        if text in CSV_MISSING:
            return math.nan
        try:
            value = float(text) if text.isascii() and "_" not in text else math.inf
        except ValueError:
            return math.nan if text.strip() in CSV_MISSING else None
        whole = text.strip().lstrip("+-").isdigit()
        return self.cell(int(text) if whole and math.isfinite(value) else value)

    def cells(self, values: list[Any]) -> tuple[Floats, Sequence[int]]:
        """Settle floats, small whole numbers and None."""
        if not set(map(type, values)) <= {float, int, type(None)}:
            return super().cells(values)
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            return super().cells(values)
        return numbers, _far(numbers)

    def texts(self, texts: list[str]) -> tuple[Floats, Sequence[int]]:
        """Settle what is plain digits."""
        joined = "".join(texts)
        if not joined.isascii() or "_" in joined:
            return np.full(len(texts), np.nan), range(len(texts))
        try:
            numbers = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
        except ValueError:
            filled = [text if text.strip() not in CSV_MISSING else "nan" for text in texts]
            try:
                numbers = np.fromiter(map(float, filled), dtype=np.float64, count=len(texts))
            except ValueError:
                return np.full(len(texts), np.nan), range(len(texts))
        return numbers, _far(numbers)

    def arrow(self, array: Any) -> tuple[Floats, Sequence[int]] | None:
        """Take integers, floats and decimals of any width."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

        if pa.types.is_decimal(array.type):
            digits = array.cast(pa.string()).cast(pa.float64())  # the direct cast is not correctly rounded
            return _floats(digits), _far(_floats(digits)) if array.type.scale <= 0 else ()
        if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
            numbers = _floats(array.cast(pa.float64(), safe=False))
            return numbers, _far(numbers)
        return None


class Boolean(Kind):
    """1.0 or 0.0."""

    expected = "true or false, or the numbers 1 and 0"

    def cell(self, value: Any) -> float | None:
        """Refuse text and other numbers."""
        if type(value) in (bool, int, float) and value in (0, 1):
            return float(value)
        return math.nan if value is None or value != value else None  # noqa: PLR0124 - NaN is missing

    def text(self, text: str) -> float | None:
        """Read true and false in any case, and numbers."""
        known = {"true": 1.0, "false": 0.0}.get(text.strip().lower())
        if known is not None:
            return known
        number = Number(self.column).text(text)
        return None if number is None else self.cell(number)

    def cells(self, values: list[Any]) -> tuple[Floats, Sequence[int]]:
        """Settle true, false, 1, 0 and None."""
        if not set(map(type, values)) <= {bool, float, int, type(None)}:
            return super().cells(values)
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            return super().cells(values)
        return numbers, _neither(numbers)

    def arrow(self, array: Any) -> tuple[Floats, Sequence[int]] | None:
        """Take booleans and numbers."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

        if pa.types.is_boolean(array.type):
            return _floats(array.cast(pa.int8()).cast(pa.float64())), ()
        if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
            numbers = _floats(array.cast(pa.float64(), safe=False))
            return numbers, _neither(numbers)
        return None


class Category(Kind):
    """The position among the categories that training saw, or -1.0."""

    expected = "text, or a whole number"

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.codes = column.codes
        self._known: dict[Any, float] = {**self.codes, None: math.nan}

    def cell(self, value: Any) -> float | None:
        """Take text, or the digits of a whole number as text."""
        if type(value) is str:
            return self.codes.get(value, UNSEEN)
        if type(value) is int:
            return self.codes.get(_digits(value), UNSEEN)
        return math.nan if value is None or value != value else None  # noqa: PLR0124 - NaN is missing

    def text(self, text: str) -> float | None:
        """Take a known category before a word for missing."""
        return math.nan if text in CSV_MISSING and not (text and text in self.codes) else self.cell(text)

    def cells(self, values: list[Any]) -> tuple[Floats, Sequence[int]]:
        """Settle known categories and None."""
        try:
            found = map(self._known.get, values, repeat(UNSEEN))
            codes = np.fromiter(found, dtype=np.float64, count=len(values))
        except TypeError:  # a list or an object cannot be looked up
            return super().cells(values)
        unseen = np.flatnonzero(codes == UNSEEN)
        return codes, () if {type(values[place]) for place in unseen} <= {str} else unseen.tolist()

    def arrow(self, array: Any) -> tuple[Floats, Sequence[int]] | None:
        """Look up each distinct text once; times of day are the texts that training made of them."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

        if not (_is_text(array.type) or pa.types.is_integer(array.type) or pa.types.is_time(array.type)):
            return None
        return self.coded(array.cast(pa.string()), self.cell), ()

    def coded(self, texts: Any, code: Callable[[Any], float | None]) -> Floats:
        """Return the code of each text of an Arrow array."""
        distinct = texts.dictionary_encode()
        codes = np.array([*map(code, distinct.dictionary.to_pylist()), math.nan], dtype=np.float64)
        places = distinct.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(codes[places])


class Datetime(Kind):
    """Seconds since 1970-01-01T00:00:00 in UTC."""

    expected = "an ISO 8601 date or time such as 2013-01-31T17:05:00Z"

    def cell(self, value: Any) -> float | None:
        """Refuse numbers: their unit would be a guess."""
        if type(value) is str:
            return _instant(value)
        if isinstance(value, date):
            return _instant(value.isoformat())
        return math.nan if value is None or value != value else None  # noqa: PLR0124 - NaN is missing

    def cells(self, values: list[Any]) -> tuple[Floats, Sequence[int]]:
        """Settle columns of dates without faults."""
        present = [value for value in values if value is not None]
        if set(map(type, present)) != {str}:
            return super().cells(values)
        instants = _instants(present)
        if instants is None:
            return _by_distinct(values, self.cell)
        packed = np.full(len(values), np.nan)
        packed[[value is not None for value in values]] = instants
        return packed, ()

    def texts(self, texts: list[str]) -> tuple[Floats, Sequence[int]]:
        """Read as JSON's, apart from the words for missing."""
        return self.cells([None if text in CSV_MISSING else text for text in texts])

    def arrow(self, array: Any) -> tuple[Floats, Sequence[int]] | None:
        """Take timestamps of any unit, dates, and text."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

        if _is_text(array.type):
            return self.cells(array.to_pylist())
        if pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("ms"))
        if not pa.types.is_timestamp(array.type):
            return None
        microseconds = array.to_numpy(zero_copy_only=False).astype("datetime64[us]")
        seconds = microseconds.astype(np.int64) / 1e6
        return np.where(np.isnat(microseconds), np.nan, seconds), ()


KINDS: dict[str, type[Kind]] = {
    "number": Number,
    "boolean": Boolean,
    "category": Category,
    "datetime": Datetime,
}


class Packer:
    """Packs rows of one schema, from any format."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.kinds = [KINDS[column.kind](column) for column in schema.columns]
        self._cells = [(kind.column.name, kind.cell) for kind in self.kinds]
        self._watched = [(i, kind.column) for i, kind in enumerate(self.kinds) if isinstance(kind, Category)]
        self._complete = [(i, kind.column) for i, kind in enumerate(self.kinds) if not kind.column.missing]

    def rows(self, rows: Sequence[Any]) -> Packed:
        """Pack a list of objects; a row without one of the columns is a fault."""
        if len(rows) > FEW_ROWS:
            return self._many_rows(rows)
        try:
            packed = [cell(row[name]) for row in rows for name, cell in self._cells]
        except (KeyError, TypeError):
            return self._many_rows(rows)
        if None in packed:
            return self._many_rows(rows)
        return self._counted(self._of(packed, len(rows)), self._extra(rows))

    def lists(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Packed:
        """Pack a list of lists whose places `names` tells; raises ValueError where their lengths differ."""
        if set(map(len, rows)) - {len(names)}:
            raise ValueError(f"every row must have {len(names)} values")
        places = {name: place for place, name in enumerate(names)}
        if len(rows) <= FEW_ROWS and places.keys() >= set(self.schema.names):
            packed = [cell(row[places[name]]) for row in rows for name, cell in self._cells]
            if None not in packed:
                return self._counted(self._of(packed, len(rows)), len(names) - len(self.kinds))
        columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in names)
        return self.columns(dict(zip(names, columns, strict=True)), rows=len(rows))

    def columns(self, columns: Mapping[str, list[Any]], *, rows: int) -> Packed:
        """Pack lists of values by column."""
        return self._by_column(columns, rows, lambda kind, it: _settle(kind, *kind.cells(it), it, kind.cell))

    def texts(self, columns: Mapping[str, list[str]], *, rows: int) -> Packed:
        """Pack the fields of a CSV file by column."""
        return self._by_column(columns, rows, lambda kind, it: _settle(kind, *kind.texts(it), it, kind.text))

    def arrow(self, batch: Any, *, as_text: bool = False) -> Packed:
        """Pack a record batch or table; with `as_text` its texts are read as a CSV file's."""
        columns = {name: batch.column(place) for place, name in enumerate(batch.schema.names)}
        return self._by_column(columns, batch.num_rows, _settle_arrow_text if as_text else _settle_arrow)

    def _of(self, cells: list[float | None], rows: int) -> Packed:
        return Packed(np.array(cells, dtype=np.float64).reshape(rows, len(self.kinds)))

    def _many_rows(self, rows: Sequence[Any]) -> Packed:
        names = self.schema.names
        objects = [row for row in rows if type(row) is dict]
        lacking = [name for name in names if not any(name in row for row in objects)]
        columns = {name: [_value(row, name) for row in rows] for name in names if name not in lacking}
        return self._counted(self.columns(columns, rows=len(rows)), self._extra(rows))

    def _extra(self, rows: Sequence[Any]) -> int:
        if len(rows) <= FEW_ROWS and all(type(row) is dict and len(row) == len(self.kinds) for row in rows):
            return 0
        keys = set(chain.from_iterable(row for row in rows if type(row) is dict))
        return len(keys.difference(self.schema.names))

    def _by_column(
        self, columns: Mapping[str, Any], rows: int, settle: Callable[[Kind, Any], _Settled]
    ) -> Packed:
        packed = Packed(np.full((rows, len(self.kinds)), np.nan, order="F"))
        for place, kind in enumerate(self.kinds):
            name = kind.column.name
            if name not in columns:
                packed.faults.append(Fault(None, name, f"a column of {kind.expected}", "no such column"))
                packed.n_faults += 1
                continue
            values, faults, count = settle(kind, columns[name])
            packed.matrix[:, place] = values
            packed.faults += faults
            packed.n_faults += count
        packed.faults = sorted(packed.faults, key=lambda fault: fault.row or 0)[:SHOWN_FAULTS]
        packed.matrix = np.ascontiguousarray(packed.matrix)
        return self._counted(packed, len(columns.keys() - set(self.schema.names)))

    def _counted(self, packed: Packed, extra: int) -> Packed:
        packed.extra = extra
        for place, column in self._watched:
            unseen = packed.matrix[:, place] == UNSEEN
            if unseen.any():
                packed.unseen[column.name] = int(unseen.sum())
        if np.isnan(packed.matrix).any():
            counts = np.isnan(packed.matrix).sum(axis=0)
            packed.missing = {c.name: int(counts[place]) for place, c in self._complete if counts[place]}
        return packed


_Settled = tuple[Floats, list[Fault], int]


class _Absent:
    """Stands where a row lacks a column, or is no object."""

    def __init__(self, found: str) -> None:
        self.found = found


_NO_COLUMN = _Absent("no such column in this row")
_NO_OBJECT = _Absent("a row that is no object")


def _value(row: Any, name: str) -> Any:
    return row.get(name, _NO_COLUMN) if type(row) is dict else _NO_OBJECT


def _settle(
    kind: Kind, packed: Floats, doubtful: Sequence[int], values: Any, cell: Callable[[Any], float | None]
) -> _Settled:
    """Ask `cell` about each doubtful place; keep the first faults and count the rest."""
    faults: list[Fault] = []
    count = 0
    for place in doubtful:
        value = values[place]
        settled = cell(value)
        if settled is None:
            count += 1
            if count <= SHOWN_FAULTS:
                faults.append(Fault(place + 1, kind.column.name, kind.expected, describe(value)))
        packed[place] = math.nan if settled is None else settled
    return packed, faults, count


def _settle_arrow(kind: Kind, array: Any) -> _Settled:
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count == len(array):
        return np.full(len(array), np.nan), [], 0
    fast = kind.arrow(array)
    if fast is None:
        found = f"a column of {array.type}"
        return np.full(len(array), np.nan), [Fault(None, kind.column.name, kind.expected, found[:60])], 1
    packed, doubtful = fast
    return _settle(kind, np.array(packed), doubtful, _AsPython(array), kind.cell)


def _settle_arrow_text(kind: Kind, array: Any) -> _Settled:
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not _is_text(array.type):
        return _settle_arrow(kind, array)
    if isinstance(kind, Category):
        return kind.coded(array, kind.text), [], 0
    numbers = None if isinstance(kind, Datetime) else _cast(array)
    if numbers is None:
        texts = array.fill_null("").to_pylist()
        return _settle(kind, *kind.texts(texts), texts, kind.text)
    doubtful = _neither(numbers) if isinstance(kind, Boolean) else _far(numbers)
    return _settle(kind, np.array(numbers), doubtful, _AsPython(array), kind.text)


def _cast(texts: Any) -> Floats | None:
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

    try:
        return _floats(texts.cast(pa.float64()))
    except pa.ArrowInvalid:  # a word for missing, a space, or no number at all
        return None


class _AsPython:
    """An Arrow array whose places give Python values."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, place: int) -> Any:
        value = self.array[place].as_py()
        return "" if value is None else value


def describe(value: Any) -> str:
    """Say what was found, in at most about 50 characters of ASCII."""
    if isinstance(value, _Absent):
        return value.found
    if isinstance(value, str):
        return "text " + (ascii(value) if len(value) <= 40 else ascii(value[:37]) + "...")
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int):
        return _digits(value) if abs(value) < 10**40 else "a whole number of more than 40 digits"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return str(value)[:40]


def _digits(number: int) -> str:
    """Write a whole number; beyond 4,300 digits Python refuses, and no category has so many."""
    return str(number) if abs(number) < 10**100 else "?"


def _far(numbers: Floats) -> list[int]:
    """Return the places whose value may have lost digits or is infinite."""
    far: list[int] = np.flatnonzero(np.abs(numbers) >= LARGEST_EXACT).tolist()
    return far


def _neither(numbers: Floats) -> list[int]:
    """Return the places of neither 1, 0 nor NaN."""
    neither: list[int] = np.flatnonzero((numbers != 0) & (numbers != 1) & ~np.isnan(numbers)).tolist()
    return neither


def _floats(array: Any) -> Floats:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that only Arrow data needs

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _by_distinct(values: list[Any], cell: Callable[[Any], float | None]) -> tuple[Floats, Sequence[int]]:
    """Settle each distinct value once; faults are left for their places to be told."""
    known = {value: cell(value) for value in set(values)}
    settled = {value: math.nan if code is None else code for value, code in known.items()}
    packed = np.fromiter(map(settled.__getitem__, values), np.float64, len(values))
    return packed, [place for place, value in enumerate(values) if known[value] is None]


def _instant(text: str) -> float | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match[3] or match[1] + (match[2] or ""))
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return ((aware - _EPOCH) // _MICROSECOND) / 1e6


def _instants(texts: list[str]) -> Floats | None:
    """Return the seconds of a column of dates; None where one of them needs a closer look."""
    joined = "\n".join(texts)
    found = _DATE.findall(joined)
    if len(found) != len(texts) or joined.count("\n") != len(texts) - 1:
        return None
    timed, offsets, days = zip(*found, strict=True)
    naive = [time or day for time, day in zip(timed, days, strict=True)]
    try:
        microseconds = np.array(naive, dtype="datetime64[us]").astype(np.int64)
    except ValueError:
        return None
    shift = {offset: _offset_seconds(offset) * 1_000_000 for offset in set(offsets)}
    return (microseconds - np.fromiter(map(shift.__getitem__, offsets), np.int64, len(texts))) / 1e6


def _offset_seconds(offset: str) -> int:
    if offset in ("", "Z"):
        return 0
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    return (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)
