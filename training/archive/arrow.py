"""A frame of predictions, or a record of labels, as an Arrow table: the columns that a Parquet file has.

Columns of ours begin with `slipway_`, so that a model's own column `hour` stays what it is; a model's column that
begins so too is stored under another name (`stored`). Codes become texts by the layout; the text of a category that
training never saw is the frame's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.captures import Frame, FrameLayout, Unseen
from data.schema import UNSEEN, Column, Kind

MOMENT = pa.timestamp("us", "UTC")
TYPES: Mapping[Kind, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": MOMENT,
}
OURS = pa.schema(
    [
        ("slipway_id", pa.string()),
        ("slipway_time", MOMENT),
        ("slipway_caller_id", pa.string()),
        ("slipway_row", pa.int32()),
        ("slipway_share", pa.float64()),
        ("slipway_prediction", pa.float64()),
        ("slipway_scale", pa.float64()),
    ]
)
OUTCOMES = pa.schema(
    [
        ("id", pa.string()),
        ("caller_id", pa.string()),
        ("row", pa.int32()),
        ("actual", pa.float64()),
        ("at", MOMENT),
        ("received", MOMENT),
    ]
)
PREFIX = "slipway_"
NO_TEXT = "(unseen)"
"""Of a category that training never saw, where nobody kept its text."""


def stored(name: str) -> str:
    """Return what a model's column is called in the files.

    >>> stored("hour"), stored("slipway_id")
    ('hour', 'slipway_column_slipway_id')
    """
    return f"{PREFIX}column_{name}" if name.startswith(PREFIX) else name


def schema_of(layout: FrameLayout) -> pa.Schema:
    """Return the columns of the rows of a layout."""
    own = [pa.field(stored(column.name), TYPES[column.kind]) for column in layout.columns]
    return pa.schema([*OURS, *own])


def rows_of(frame: Frame, layout: FrameLayout) -> pa.Table:
    """Return a frame's rows; raises ValueError where it does not fit its layout."""
    if frame.matrix.shape[1] != len(layout.columns) and len(frame.predictions):
        raise ValueError(f"has {frame.matrix.shape[1]} columns, its layout {len(layout.columns)}")
    own = [
        _column(frame.matrix[:, index], column, frame.unseen) for index, column in enumerate(layout.columns)
    ]
    return pa.Table.from_arrays([*_ours(frame), *own], schema=schema_of(layout))


def _ours(frame: Frame) -> Sequence[pa.Array]:
    rows = len(frame.predictions)
    starts = np.array([request.start for request in frame.requests], dtype=np.int64)
    of = np.searchsorted(starts, np.arange(rows), side="right") - 1
    if rows and (not len(starts) or starts[0] != 0 or (np.diff(starts) < 0).any()):
        raise ValueError("has rows of no request")
    offsets = np.array([request.offset for request in frame.requests], dtype=np.float64)
    callers = pa.array([request.caller_id or None for request in frame.requests], pa.string())
    moments = frame.milliseconds * 1_000 + np.round(offsets[of] * 1e6).astype(np.int64)
    return (
        pa.array([f"{frame.id}{row:06x}" for row in range(rows)], pa.string()),
        pa.array(moments, pa.int64()).cast(MOMENT),
        callers.take(pa.array(of)),
        pa.array((np.arange(rows) - starts[of]).astype(np.int32)),
        pa.array(np.full(rows, frame.share, dtype=np.float64)),
        pa.array(frame.predictions),
        pa.array(frame.scale, mask=np.isnan(frame.scale)),
    )


def _column(packed: NDArray[np.float64], column: Column, unseen: Sequence[Unseen]) -> pa.Array:
    missing = np.isnan(packed)
    if column.kind == "category":
        return _texts(packed, column, {each.row: each.text for each in unseen if each.column == column.name})
    if column.kind == "boolean":
        return pa.array(packed == 1.0, mask=missing)
    if column.kind == "datetime":
        microseconds = np.round(np.where(missing, 0.0, packed) * 1e6).astype(np.int64)
        return pa.array(microseconds, mask=missing).cast(MOMENT)
    return pa.array(packed, mask=missing)


def _texts(codes: NDArray[np.float64], column: Column, unseen: Mapping[int, str]) -> pa.Array:
    missing = np.isnan(codes)
    indexes = np.where(missing, 0.0, codes).astype(np.int64)
    if ((indexes < 0) & (codes != UNSEEN) | (indexes >= len(column.categories)) & ~missing).any():
        raise ValueError(f"has a code that {column.name!r} does not know")
    known = np.array([*column.categories, NO_TEXT], dtype=object)[indexes]  # -1 is the last
    for row in np.flatnonzero(codes == UNSEEN):
        known[row] = unseen.get(int(row), NO_TEXT)
    return pa.array(known, pa.string(), mask=missing)


def labels_of(head: Mapping[str, Any]) -> pa.Table:
    """Return the labels of a record; raises KeyError, TypeError or ValueError where one is none."""
    labels = [_label(*each) for each in head["labels"]]
    columns: Sequence[Sequence[Any]] = list(zip(*labels, strict=True)) or [()] * 5
    received = [_milliseconds(head["received"])] * len(labels)
    arrays = [
        pa.array(list(values), pa.int64()).cast(MOMENT)
        if field.type == MOMENT
        else pa.array(list(values), field.type)
        for field, values in zip(OUTCOMES, [*columns, received], strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=OUTCOMES)


def _label(
    identity: str | None, caller: str | None, row: int | None, actual: float | None, at: int | None
) -> tuple[str | None, str | None, int | None, float | None, int | None]:
    if identity is None and caller is None:
        raise ValueError("labels nothing")
    if actual is not None and (isinstance(actual, bool) or not math.isfinite(actual)):
        raise ValueError("is no number")
    number = None if actual is None else float(actual)
    return identity and identity.lower(), caller, row, number, None if at is None else _milliseconds(at)


def _milliseconds(moment: float) -> int:
    return round(moment * 1_000)  # in microseconds, as Arrow has them
