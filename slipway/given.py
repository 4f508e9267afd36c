"""Rows as a Python program has them -> an Arrow table, which everything behind reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from slipway.errors import NotATable

Rows: TypeAlias = pd.DataFrame | pa.Table | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
"""A frame, a table, columns by name, or a record for each row."""


def as_arrow(rows: Rows) -> pa.Table:
    """Return the rows as a table; a frame's index is no column. Raises NotATable."""
    if isinstance(rows, pa.Table):
        return rows
    try:
        if isinstance(rows, pd.DataFrame):
            return pa.Table.from_pandas(_named_by_text(rows), preserve_index=False)
        if isinstance(rows, Mapping):
            return pa.table(dict(rows))
        return pa.Table.from_pylist(_with_all_columns(rows))
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise NotATable(
            reason=reason, repair="pass a DataFrame whose columns hold one kind of value each"
        ) from error


def _named_by_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with texts for names, as a file would have them."""
    if frame.columns.nlevels > 1:
        raise ValueError("its columns have names of several levels")
    return frame.set_axis([str(name) for name in frame.columns], axis="columns")


def _with_all_columns(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records, each with the columns of all: Arrow takes the first one's for the rest."""
    names = dict.fromkeys(name for record in records for name in record)
    return [{name: record.get(name) for name in names} for record in records]
