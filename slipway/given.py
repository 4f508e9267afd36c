"""Rows as a Python program has them -> an Arrow table, which everything behind reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from data.column_names import named
from slipway.errors import NotATable

Rows: TypeAlias = (
    pd.DataFrame
    | pa.Table
    | pa.RecordBatch
    | pa.RecordBatchReader
    | Mapping[str, Sequence[Any]]
    | Iterable[Mapping[str, Any]]
)
"""A frame, whatever gives itself to Arrow (a Polars frame does), columns by name, or a record for each row."""

STREAM, BATCH = "__arrow_c_stream__", "__arrow_c_array__"
"""What objects have that give themselves to Arrow."""


def as_arrow(rows: Rows) -> pa.Table:
    """Return the rows as a table whose columns all have names; a frame's index is no column. Raises NotATable."""
    try:
        result = _as_table(rows)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise NotATable(
            reason=reason, repair="pass a DataFrame whose columns hold one kind of value each"
        ) from error
    _refuse_doubled(result.column_names)
    return result.rename_columns(named(result.column_names))


def _as_table(rows: Rows) -> pa.Table:
    if isinstance(rows, pd.DataFrame):
        frame = _named_by_text(rows)
        _refuse_doubled(list(frame.columns))
        return pa.Table.from_pandas(frame, preserve_index=False)
    if isinstance(rows, Mapping):
        return pa.table(dict(rows))
    if hasattr(rows, STREAM) or hasattr(rows, BATCH):
        return pa.table(rows)
    return pa.Table.from_pylist(_with_all_columns(list(rows)))


def _refuse_doubled(names: Sequence[str]) -> None:
    """Raise NotATable for columns of one name: which of them is meant is anybody's guess."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        called = ", ".join(map(repr, twice[:5]))
        raise NotATable(reason=f"more than one column is called {called}", repair="rename one")


def _named_by_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with texts for names, as a file would have them."""
    if frame.columns.nlevels > 1:
        raise ValueError("its columns have names of several levels")
    return frame.set_axis([str(name) for name in frame.columns], axis="columns")


def _with_all_columns(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records, each with the columns of all: Arrow takes the first one's for the rest."""
    names = dict.fromkeys(name for record in records for name in record)
    return [{name: record.get(name) for name in names} for record in records]
