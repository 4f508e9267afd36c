"""The kind of a column of Arrow, and its values as a table holds them.

float64 for numbers and booleans, NaN where missing; `object` with str or None for dates and categories. A value keeps
its meaning or its column becomes text: whole numbers beyond 2^53 and digits with leading zeros (postal codes) are
categories, since a float64 would not give them back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.cells import Reading
from data.errors import UnusableColumn
from data.schema import DATE_PATTERN, LARGEST_EXACT, Kind
from data.tables.moments import seconds

INEXACT_PATTERN = r"^[+-]?0\d+$"
"""Digits that are no number: they begin with a zero that a number would lose."""

Typed = tuple[Kind | None, NDArray[Any]]
"""A column's kind, None where every value is missing, and its values."""


def typed(column: pa.ChunkedArray, name: str, *, is_text: bool) -> Typed:
    """Return the kind and the values of a column; raises UnusableColumn where its type has no kind."""
    try:
        return _typed_plainly(plain(column), name, is_text=is_text)
    except pa.ArrowException as error:
        found = f"holds {column.type} that cannot be read: {str(error).splitlines()[0]}"
        raise UnusableColumn(
            column=name, found=found, repair="exclude it, or make it a plain column"
        ) from error


def joined(first: Kind | None, second: Kind | None) -> Kind | None:
    """Return the kind of a column whose parts have these: each kind holds for every cell, or the column is text.

    >>> joined("number", None), joined("number", "category"), joined("boolean", "number")
    ('number', 'category', 'category')
    """
    if first is None or second is None:
        return first or second
    return first if first == second else "category"


def values_as(column: pa.ChunkedArray, name: str, kind: Kind | None, *, is_text: bool) -> NDArray[Any]:
    """Return the values of a part of a column whose parts have joined to a kind; raises UnusableColumn."""
    found, values = typed(column, name, is_text=is_text)
    if found == kind:
        return values
    if found is None:
        return nothing(len(values), kind)
    part = plain(column)
    return _texts(part if is_string(part.type) else part.cast(pa.string()))


def nothing(rows: int, kind: Kind | None) -> NDArray[Any]:
    """Return the values of so many missing cells."""
    is_float = kind in ("number", "boolean")
    return np.full(rows, np.nan if is_float else None, dtype=np.float64 if is_float else object)


def typed_as(plain: pa.Array, reading: Reading) -> Typed:
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


def texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return a column of text, whatever its type, as str or None."""
    return _texts(plain(column))


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
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


def _typed_plainly(column: pa.ChunkedArray, name: str, *, is_text: bool) -> Typed:
    if column.null_count == len(column):
        return None, np.full(len(column), None, dtype=object)
    for applies, convert in _TYPED:
        if applies(column.type):
            return convert(column)
    if is_string(column.type):
        _refuse_other_bytes(column, name)
        return _typed_text(column, is_text=is_text)
    raise UnusableColumn(
        column=name, found=f"holds {column.type}", repair="exclude it, or make it plain columns"
    )


def _typed_whole(column: pa.ChunkedArray) -> Typed:
    return (
        ("number", _floats(column)) if _is_exact(column) else ("category", _texts(column.cast(pa.string())))
    )


def _is_exact(column: pa.ChunkedArray) -> bool:
    extremes = pc.min_max(column).as_py()
    return bool(extremes["min"] >= -LARGEST_EXACT and extremes["max"] <= LARGEST_EXACT)


def _typed_floats(column: pa.ChunkedArray) -> Typed:
    values = _floats(column)
    if np.isnan(values).all():
        return None, np.full(len(values), None, dtype=object)
    return "number", values


def _typed_text(column: pa.ChunkedArray, *, is_text: bool) -> Typed:
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


def is_string(kind: pa.DataType) -> bool:
    """Return whether a type of Arrow is text, of whatever width."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(column: pa.ChunkedArray) -> NDArray[np.object_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)


_TYPED: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray], Typed]], ...] = (
    (pa.types.is_boolean, lambda column: ("boolean", _floats(column))),
    (pa.types.is_integer, _typed_whole),
    (pa.types.is_floating, _typed_floats),
    (lambda kind: pa.types.is_decimal(kind) and kind.scale <= 0, _typed_whole),
    (
        pa.types.is_decimal,
        lambda column: _typed_floats(column.cast(pa.string())),
    ),  # Arrow's own cast rounds 1.1 off
    (pa.types.is_timestamp, lambda column: ("datetime", _iso_texts(column))),
    (pa.types.is_date, lambda column: ("datetime", _iso_texts(column))),
    (pa.types.is_time, lambda column: ("category", _texts(column.cast(pa.string())))),
)
