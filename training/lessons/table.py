"""Captured rows as a table that a training can read.

The table is Parquet beside the captures. Columns by which rows were split and that no request has are filled: a moment
with that of the prediction, others of a hash with one value of their kind. Where that cannot be, the table is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.schema import Kind, Schema
from data.splits import SplitRule
from data.tables import Table, seconds
from training.errors import CannotRetrain
from training.lessons.rows import Labelled

TYPES: dict[Kind | None, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": pa.timestamp("us"),
    None: pa.string(),
}
CAPTURED = "captured"
"""What stands in a category that no request has."""


@dataclass(frozen=True)
class Shape:
    """What a table of a model's rows has to have.

    Attributes
    ----------
    name : str
        The model's.
    schema : Schema
        The columns of its champion.
    rule : SplitRule
        By which its rows are split.
    weight : str
        The column that says how much each row counts, or nothing.
    time_column : str
        The column that says when each row was, or nothing.
    """

    name: str
    schema: Schema
    rule: SplitRule
    weight: str = ""
    time_column: str = ""

    @property
    def others(self) -> list[str]:
        """The columns of the split, and of the time, that are neither features nor the target."""
        needed = dict.fromkeys([*self.rule.columns, *filter(None, [self.time_column])])
        return [name for name in needed if name not in (*self.schema.names, self.schema.target)]

    @property
    def kinds(self) -> dict[str, Kind | None]:
        """The kind of each column of the table."""
        kinds: dict[str, Kind | None] = {name: self.rule.kinds.get(name) for name in self.others}
        if self.time_column in self.others:
            kinds[self.time_column] = "datetime"
        kinds |= {column.name: column.kind for column in self.schema.columns}
        return kinds | {self.schema.target: "number"}


def table_of(rows: Labelled, shape: Shape, where: str) -> Table:
    """Return captured rows as a table.

    Raises
    ------
    CannotRetrain
        They lack what the model's rows are weighted or split by.
    """
    if shape.weight:
        raise CannotRetrain(name=shape.name, why=f"its rows are weighted by {shape.weight!r}")
    frame = rows.frame[list(shape.schema.names)].assign(**{shape.schema.target: rows.actual})
    for name in shape.others:
        frame[name] = _filled(rows, shape, name)
    return Table(where, frame[list(shape.kinds)], shape.kinds)


def _filled(rows: Labelled, shape: Shape, name: str) -> pd.Series:
    if name == shape.time_column:
        return pd.Series(np.datetime_as_string(rows.times, unit="us").astype(object))
    if shape.rule.is_of_rows:
        return _filling(rows, shape.kinds[name])
    if shape.rule.method == "hash" and shape.rule.columns == (name,) and shape.kinds[name] == "category":
        return pd.Series(rows.ids)
    raise CannotRetrain(name=shape.name, why=f"its rows are split by {name!r}")


def _filling(rows: Labelled, kind: Kind | None) -> pd.Series:
    """Return what stands in for a column that no request has, of its kind: an empty one would be refused."""
    if kind == "datetime":
        return pd.Series(np.datetime_as_string(rows.times, unit="us").astype(object))
    filling = {"number": 0.0, "boolean": 0.0, "category": CAPTURED, None: None}[kind]
    return pd.Series([filling] * len(rows), dtype=np.float64 if filling == 0.0 else object)


def joined(first: Table, captured: Table) -> Table:
    """Return the rows of a first table and captured ones below each other; columns that only the first has go."""
    frame = pd.concat([first.frame.reindex(columns=captured.names), captured.frame], ignore_index=True)
    return Table(captured.where, frame.astype(captured.frame.dtypes.to_dict()), captured.kinds)


def _array(values: pd.Series, kind: Kind | None) -> pa.Array:
    missing = values.isna().to_numpy()
    if kind == "datetime":
        microseconds = np.where(missing, 0.0, np.round(seconds(values) * 1e6)).astype(np.int64)
        return pa.array(microseconds, mask=missing).cast(TYPES[kind])
    if kind == "boolean":
        return pa.array(values.to_numpy(dtype=np.float64) == 1.0, mask=missing)
    if kind == "number":
        return pa.array(values.to_numpy(dtype=np.float64), mask=missing)
    return pa.array(values.where(~missing, None).tolist(), TYPES[kind])


def write(path: Path, table: Table) -> None:
    """Write a table, whole or not at all; raises OSError."""
    arrays = [_array(table.frame[name], table.kinds[name]) for name in table.names]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pq.write_table(pa.Table.from_arrays(arrays, names=table.names), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
