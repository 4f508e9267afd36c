"""Files as a worker writes them, made of `data.captures`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from data.captures import Frame, FrameLayout, KeptRequest, Places, PredictionId, Unseen, frame_id, record
from data.schema import Column

COLUMNS = (
    Column("dep_delay", "number"),
    Column("hour", "number"),
    Column("carrier", "category", categories=("AA", "EV")),
    Column("weekend", "boolean"),
    Column("planned", "datetime"),
)
LAYOUT = FrameLayout("flights", "3", "ab" * 32, COLUMNS)
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return round(moment.timestamp() * 1_000)


def frame_at(
    moment: datetime, rows: int = 3, *, number: int = 1, layout: FrameLayout = LAYOUT, share: float = 1.0
) -> Frame:
    """A frame whose first row has gaps, and a category that nobody saw; each row has its own numbers."""
    random = np.random.default_rng(number)
    matrix = np.column_stack(
        [
            random.normal(size=rows),
            np.full(rows, 7.0),
            random.integers(0, 2, rows).astype(float),
            random.integers(0, 2, rows).astype(float),
            np.full(rows, 1_764_288_000.123456),
        ]
    )
    if rows:
        matrix[0] = np.nan, np.nan, -1.0, np.nan, np.nan
    return Frame(
        id=frame_id(milliseconds(moment), number),
        model=layout.model,
        version=layout.version,
        digest=layout.digest,
        milliseconds=milliseconds(moment),
        share=share,
        matrix=matrix,
        predictions=random.normal(size=rows),
        scale=np.where(np.arange(rows) % 2, 2.0, np.nan),
        requests=(KeptRequest(0, 0.0, f"mine-{number}"), KeptRequest(1, 0.125))
        if rows > 1
        else (KeptRequest(0, 0.0),),
        unseen=(Unseen(0, "carrier", "ÜX"),) if rows else (),
    )


def written(path: Path, frames: Iterable[Frame], layouts: Sequence[FrameLayout] = (LAYOUT,)) -> Path:
    """Write layouts, then frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [record(each.head()) for each in layouts] + [
        record(each.head(), each.parts()) for each in frames
    ]
    path.write_bytes(b"".join(records))
    return path


def labelled(path: Path, received: datetime, labels: Sequence[Sequence[Any]], model: str = "flights") -> Path:
    """Write one record of labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"kind": "labels", "received": milliseconds(received), "model": model, "labels": labels}
    path.write_bytes(record(head))
    return path


def ids(frame: Frame) -> list[str]:
    """Of the rows of a frame."""
    return [str(PredictionId(frame.id, row)) for row in range(len(frame.predictions))]


def predictions(places: Places) -> pd.DataFrame:
    """All that is in Parquet, in the order of the ids."""
    if not list(places.predictions.rglob("*.parquet")):
        return pd.DataFrame({"slipway_id": []})
    table = ds.dataset(places.predictions, format="parquet", partitioning="hive").to_table()
    return table.to_pandas().sort_values("slipway_id", ignore_index=True)
