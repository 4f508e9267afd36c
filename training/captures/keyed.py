"""Outcomes of a table without ids: each goes to the prediction whose row has the same values in some key columns.

Values are compared as the model had them: a number as a number, a category by its text. A key that several predictions
have, or that stands in the table twice, names no row: it is counted, and nothing is guessed. Retries are such keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from data.captures import Places
from data.labels import Label, labels_record
from data.schema import Column, Kind, Schema
from data.tables import Table, seconds
from training.archive import OURS, PREFIX, of_model, stored
from training.archive.errors import UnusableKey
from training.captures.returning import check_captured, kept_file

ACTUAL = "actual"
"""The column of the outcomes."""

AT_ONCE = 500_000
"""Captured rows that are compared with the table."""

LABELS = 65_536
"""In one record."""

ID, ROW = "slipway_id", "slipway_row"
"""Of a captured row, and of the table's: a model's column that is called so has another name where it is compared."""


@dataclass(frozen=True)
class Returned:
    """What became of a table's rows; each is one of these."""

    labels: int
    unknown: int
    ambiguous: int
    repeated: int
    open: int

    def __str__(self) -> str:
        """Say what was not kept, and why."""
        parts = {
            "have the key of no prediction": self.unknown,
            "that of several": self.ambiguous,
            "a key that stands in the table twice": self.repeated,
            "no outcome, or a gap in the key": self.open,
        }
        return ", ".join(f"{count:,} rows {what}" for what, count in parts.items() if count)


@dataclass(frozen=True)
class Keyed:
    """The predictions of a model by key columns.

    Attributes
    ----------
    columns : tuple of Column
        The keys.
    files : tuple of str
        That hold them as they were sent.
    left_out : int
        Files that do not: their rows find no outcome.
    """

    places: Places
    model: str
    columns: tuple[Column, ...]
    files: tuple[str, ...]
    left_out: int

    @classmethod
    def of(cls, places: Places, model: str, key: Sequence[str]) -> Keyed:
        """Return the predictions of a model, of captures as Parquet.

        Raises
        ------
        NotCaptured
            There is none.
        UnusableKey
            The newest of them have no such column, or a hash of it.
        """
        check_captured(places, model)
        paths = sorted(of_model(places, model).rglob("*.parquet"), key=lambda path: (_hour(path), path))
        every = [(path, _kinds(path)) for path in paths]
        newest = every[-1][1] if every else {}
        for name in key:
            if name not in newest:
                raise UnusableKey(where=str(places.folder), name=model, column=name, columns=sorted(newest))
        columns = tuple(Column(name, newest[name]) for name in dict.fromkeys(key))
        files = [path for path, kinds in every if all(kinds.get(each.name) == each.kind for each in columns)]
        return cls(places, model, columns, tuple(map(str, files)), len(paths) - len(files))

    @property
    def schema(self) -> Schema:
        """How a table's keys are to be read."""
        return Schema(self.columns, target=ACTUAL)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The same for a table that says itself what its columns are; outcomes are numbers."""
        return {each.name: each.kind for each in self.columns} | {ACTUAL: "number"}

    def keep(self, table: Table) -> Returned:
        """Keep the outcomes of a table's rows that are those of one prediction each; raises OSError."""
        names = [stored(each.name) for each in self.columns]
        keys = pd.DataFrame({stored(each.name): _compared(table, each.name) for each in self.columns})
        keys[ROW] = np.arange(len(table))
        outcomes = table.numbers(ACTUAL)
        known = keys[np.isfinite(outcomes) & keys[names].notna().all(axis=1)]
        once = known[~known.duplicated(names, keep=False)]
        result = self._found(once, names)
        of_one = result[~result.duplicated(ROW, keep=False)]
        labels = [
            Label(identity, None, None, float(outcomes[row]), None)
            for identity, row in zip(of_one[ID], of_one[ROW], strict=True)
        ]
        if labels:
            with kept_file(self.places) as file:
                self._write(file, labels)
        matched = result[ROW].nunique()
        return Returned(
            labels=len(labels),
            unknown=len(once) - matched,
            ambiguous=matched - len(labels),
            repeated=len(known) - len(once),
            open=len(keys) - len(known),
        )

    def _write(self, file: BinaryIO, labels: Sequence[Label]) -> None:
        left = iter(labels)
        while part := list(islice(left, LABELS)):
            file.write(labels_record(self.model, part))

    def _found(self, keys: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        """Return the id of each prediction with one of the keys, beside the table's row."""
        result = [rows.merge(keys, on=list(names))[[ID, ROW]] for rows in self._captured()]
        return pd.concat(result) if result else pd.DataFrame({ID: [], ROW: []})

    def _captured(self) -> Iterator[pd.DataFrame]:
        """Yield the ids and keys of all predictions, many at once."""
        fields = [OURS.field(ID), *(pa.field(stored(each.name), _TYPES[each.kind]) for each in self.columns)]
        gathered: list[pa.RecordBatch] = []
        for batch in ds.dataset(list(self.files), format="parquet", schema=pa.schema(fields)).to_batches():
            gathered.append(batch)
            if sum(map(len, gathered)) >= AT_ONCE:
                yield self._frame(gathered)
                gathered = []
        if gathered:
            yield self._frame(gathered)

    def _frame(self, batches: Sequence[pa.RecordBatch]) -> pd.DataFrame:
        table = pa.Table.from_batches(batches)
        names = {stored(each.name): each.kind for each in self.columns}
        keys = {name: _captured_values(table[name], kind) for name, kind in names.items()}
        return pd.DataFrame({ID: table[ID].to_numpy(), **keys}).dropna()


_TYPES: Mapping[Kind, pa.DataType] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": pa.timestamp("us", "UTC"),
}


def _hour(path: Path) -> tuple[str, str]:
    return path.parent.parent.name, path.parent.name


def _kinds(path: Path) -> dict[str, Kind]:
    """Return the kinds of the model's columns that a file has as they were sent."""
    schema = pq.read_schema(path)
    about = json.loads((schema.metadata or {}).get(b"slipway", b"{}"))
    hashed = {stored(name) for name in about.get("hashed", ())}
    kinds = {kind: each for each, kind in _TYPES.items()}
    return {
        field.name.removeprefix(f"{PREFIX}column_"): kinds[field.type]
        for field in schema
        if field.name not in (*OURS.names, *hashed)
    }


def _compared(table: Table, name: str) -> pd.Series:
    """Return a table's keys as they are compared: moments in microseconds; a gap is missing."""
    if table.kinds[name] != "datetime":
        return table.frame[name]
    return pd.Series(np.round(seconds(table.frame[name]) * 1e6))


def _captured_values(column: pa.ChunkedArray, kind: Kind) -> pd.Series:
    """Return the same of captured rows."""
    if kind == "category":
        return pd.Series(column.to_numpy(), dtype=object)
    if kind == "datetime":
        column = column.cast(pa.int64())
    return pd.Series(column.cast(pa.float64()).to_numpy())
