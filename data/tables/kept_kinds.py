"""The columns of a table read as what they were when the rows of a model were first split.

The side of a row follows from its values, so a value has to stay what it was. A table's kinds are found out from its
cells: one `?` makes a column of numbers text, codes that are all digits this month make a column of text numbers.
Here each cell of such a column becomes what the stored kind says, or the reading stops with the first that cannot.

    number     a number; true and false are 1 and 0; no whole number beyond 2^53, no `007`
    boolean    true, false, 1 or 0
    category   text as it stands; whole numbers of a format with types in their digits
    datetime   ISO 8601

It knows neither models nor sides. A column of no kind (all cells empty) is left as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.cell_values import instant
from data.cells import NO_OPTIONS, Reading, ReadOptions
from data.errors import OtherKind
from data.schema import LARGEST_EXACT, Kind
from data.sources import Source
from data.tables.arrow_kinds import INEXACT_PATTERN
from data.tables.table import Table, table_of

Kinds = Mapping[str, Kind | None]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_BOOLEANS = {"true": 1.0, "false": 0.0}


def load_kept(source: Source, kinds: Kinds, options: ReadOptions = NO_OPTIONS) -> Table:
    """Read all rows of a source, the columns of known kinds as those, the others as the options say.

    Raises
    ------
    SourceError
        The source is empty or broken.
    UnusableColumn
        A column's type has no kind here.
    OtherKind
        A cell cannot be of the column's kind.
    """
    return kept_of(source.where, source.read(), kinds, options, is_text=source.is_text)


def kept_of(where: str, arrow: pa.Table, kinds: Kinds, options: ReadOptions, *, is_text: bool) -> Table:
    """Find each column's kind, and keep the known ones: what was a category is looked at no further."""
    options = with_kept(options, arrow.column_names, kinds)
    return hold(table_of(where, arrow, is_text=is_text, options=options), arrow, kinds)


def with_kept(options: ReadOptions, columns: Sequence[str], kinds: Kinds) -> ReadOptions:
    """Return how texts are read where kinds are known: what was a category is looked at no further."""
    named = {column for column, _ in options.named(columns).read}
    categories = {name for name, kind in kinds.items() if kind == "category"} - named
    return replace(options, known=dict.fromkeys(categories, Reading("text")) | dict(options.known))


def hold(table: Table, arrow: pa.Table, kinds: Kinds) -> Table:
    """Return a table with the columns of other kinds brought to the known ones, from the cells that it was made of.

    Raises
    ------
    OtherKind
        The first cell that cannot be of its column's kind.
    UnusableColumn
        Its type has no kind here.
    """
    for name in kinds:
        if kinds[name] is not None and name in table.doubts and table.kinds[name] is None:
            raise table.doubts[name]  # no cell of it could be read: it is not empty
    held: dict[str, pd.Series] = {}
    for name, kind in kinds.items():
        if kind is not None and name in table.frame and table.kinds[name] not in (None, kind):
            values = _values(table.where, name, kind, arrow[name].to_pylist())
            held[name] = pd.Series(values, dtype=values.dtype)
    if not held:
        return table
    frame = pd.DataFrame({name: held.get(name, table.frame[name]) for name in table.names})
    return replace(
        table,
        frame=frame,
        kinds=dict(table.kinds) | {name: kinds[name] for name in held},
        readings={name: reading for name, reading in table.readings.items() if name not in held},
        doubts={name: doubt for name, doubt in table.doubts.items() if name not in held},
        noticed=(*table.noticed, *(_refused(name, table, kinds) for name in held if name in table.readings)),
    )


def _refused(name: str, table: Table, kinds: Kinds) -> str:
    return (
        f"column {name!r} stays a {kinds[name]} and is not read as {table.readings[name]}: the rows of earlier "
        "versions are told apart by it; read it so under another name of the model"
    )


def _values(where: str, name: str, kind: Kind, cells: list[Any]) -> NDArray[Any]:
    """Return cells as a table holds a kind; raises OtherKind."""
    convert = _CONVERTERS[kind]
    converted = {cell: convert(cell) for cell in set(cells) if not _is_missing(cell)}
    unfit = [index for index, cell in enumerate(cells) if cell in converted and converted[cell] is None]
    if unfit:
        raise OtherKind(
            where=where, column=name, kind=kind, row=unfit[0] + 1, cell=cells[unfit[0]], count=len(unfit)
        )
    is_float = kind in ("number", "boolean")
    values = [converted.get(cell, math.nan if is_float else None) for cell in cells]
    return np.array(values, dtype=np.float64 if is_float else object)


def _is_missing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _number(cell: Any) -> float | None:
    if isinstance(cell, str):
        return _number_of_text(cell.strip(" \t\r\n"))
    if isinstance(cell, int):
        return float(cell) if abs(cell) <= LARGEST_EXACT else None
    return float(cell) if isinstance(cell, float | Decimal) else None


def _number_of_text(text: str) -> float | None:
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if not _NUMBER.fullmatch(text) or re.match(INEXACT_PATTERN, text):
        return None
    return None if _WHOLE.fullmatch(text) and abs(int(text)) >= LARGEST_EXACT else float(text)


def _boolean(cell: Any) -> float | None:
    number = _number(cell)
    return number if number in (0.0, 1.0) else None


def _text(cell: Any) -> str | None:
    if isinstance(cell, str):
        return cell
    is_whole = type(cell) is int or (isinstance(cell, Decimal) and cell == cell.to_integral_value())
    return str(int(cell)) if is_whole else None


def _date(cell: Any) -> str | None:
    text = cell.strip(" \t\r\n") if isinstance(cell, str) else ""
    return None if instant(text) is None else text


_CONVERTERS: dict[Kind, Callable[[Any], float | str | None]] = {
    "number": _number,
    "boolean": _boolean,
    "category": _text,
    "datetime": _date,
}
