"""Columns of a table -> the cells of labels, whatever the table was: texts of CSV, or values of Parquet and SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from data.labels.reading_labels import ABSENT, NAMES, Cells
from data.schema import MISSING_WORDS, Column, Schema

if TYPE_CHECKING:
    import pyarrow as pa

_WORDS = tuple(sorted(word for word in MISSING_WORDS if word))
LABEL_COLUMNS = Schema(tuple(Column(name, "category", categories=_WORDS) for name in NAMES), "")
"""For readers of tables: all is text, and an empty cell alone is missing. NaN is no way to withdraw a label."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def of_values(batch: pa.RecordBatch) -> Iterator[Cells]:
    """Yield the labels of rows that have types."""
    return _rows(batch, _values)


def of_texts(batch: pa.RecordBatch) -> Iterator[Cells]:
    """Yield the labels of rows that are text, as CSV has them; an empty cell is null."""
    return _rows(batch, lambda column: column.to_pylist(), _FROM_TEXT)


def _rows(
    batch: pa.RecordBatch,
    listed: Callable[[pa.Array], list[Any]],
    read: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Iterator[Cells]:
    columns = []
    for name in NAMES:
        if name not in batch.schema.names:
            columns.append([ABSENT] * batch.num_rows)
            continue
        cells = listed(batch.column(name))
        columns.append([*map(read[name], cells)] if read and name in read else cells)
    return zip(*columns, strict=True)


def _values(column: pa.Array) -> list[Any]:
    """Return Python's values of a column; a moment's nanoseconds go, for Python has none."""
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that a worker for JSON never needs

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):  # a moment of a year that Python does not know
        return [_value(each) for each in column]


def _value(scalar: Any) -> Any:
    with suppress(ValueError, OverflowError):
        return scalar.as_py()
    return object()


def _number(text: Any) -> Any:
    """Return the number that a cell is, else the cell as it is, which is refused then."""
    if type(text) is not str:
        return text
    bare = text.strip(" \t")
    if not bare:
        return None
    if _WHOLE.fullmatch(bare):
        return int(bare)
    return float(bare) if _NUMBER.fullmatch(bare) else text


def _text(text: Any) -> Any:
    return None if text == "" else text


_FROM_TEXT: Mapping[str, Callable[[Any], Any]] = {
    "id": _text,
    "client_id": _text,
    "row": _number,
    "actual": _number,
    "at": _text,
}
