"""One version's rows by day of prediction, with what is known of their outcomes by now.

A day is read batch by batch. Where it has more rows than asked for, or was kept at different shares, those are taken
whose id has a small hash: the same ones at each call, whatever they hold. Labels find their row by its id, or by the
caller's id and the row in the request; the last received wins, and an empty one withdraws. A caller who asks twice
under one id gets two predictions, maybe of two days or versions: the label is the last one's that was answered before
it was received.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.captures import Places, PredictionId
from training.archive import OURS, OUTCOMES, PREFIX, labels_since, of_model, of_version, stored, value_of

Floats = NDArray[np.float64]

MOST_ROWS = 200_000
"""Of a day that are read at once."""

HASHES = 2.0**64

AS_LABELLED = {"slipway_id": "answer", "slipway_caller_id": "caller_id", "slipway_row": "row"}
CALLS = pa.schema([OURS.field(name) for name in AS_LABELLED])


@dataclass(frozen=True)
class DayOfRows:
    """The rows that were predicted on one day, in UTC, by one version.

    Attributes
    ----------
    day : str
        An ISO date.
    frame : pandas.DataFrame of shape (n_rows, n_kept_columns)
        The model's columns that all files of the day have as they were sent, as in `data.tables.Table`.
    predictions, scale : float64 arrays of shape (n_rows,)
        As answered; NaN where no interval was asked for.
    ids : object array of shape (n_rows,)
    times : datetime64[us] array of shape (n_rows,)
        In UTC.
    shares : float64 array of shape (n_rows,)
        With which chance a row that was answered is here: the same for all rows of a day.
    actual : float64 array of shape (n_rows,)
        NaN where nobody knows yet.
    rows : int
        That there were, where not all are here.
    left_out : int
        Files of another digest, or that lack a column that was asked for.
    unequal : bool
        Whether the day was kept at different shares, so that rows of the larger ones were drawn.
    """

    day: str
    frame: pd.DataFrame
    predictions: Floats
    scale: Floats
    ids: NDArray[np.object_]
    times: NDArray[np.datetime64]
    shares: Floats
    actual: Floats
    rows: int
    left_out: int = 0
    unequal: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is asked of the files.

    Attributes
    ----------
    digest : str
        Of the version; nothing for any.
    columns : tuple of str
        Files that lack one of these, or hold its hash, are left out.
    most : int
        Rows of a day.
    """

    digest: str = ""
    columns: tuple[str, ...] = ()
    most: int = MOST_ROWS


ANY = Wanted()


def captured_days(
    places: Places, model: str, version: str, *, since: str = "", until: str = "", wanted: Wanted = ANY
) -> Iterator[DayOfRows]:
    """Yield the days on which a version predicted, oldest first, from a day on.

    Parameters
    ----------
    since, until : str
        ISO dates, the first and the last one that is wanted.
    """
    for each in sorted(of_version(places, model, version).glob("slipway_date=*")):
        if since <= value_of(each) <= (until or value_of(each)):
            yield _day(each, _Outcomes(places, model), wanted)


def captured_rows(places: Places, model: str, version: str, day: str, wanted: Wanted = ANY) -> int:
    """Return how many rows of a day there are, whether they would be drawn or not."""
    folder = of_version(places, model, version) / f"slipway_date={day}"
    files = [path for path in folder.rglob("*.parquet") if _fits(path, wanted)]
    return sum(int(pq.read_metadata(path).num_rows) for path in files)


def _day(folder: Path, outcomes: _Outcomes, wanted: Wanted) -> DayOfRows:
    files = sorted(folder.rglob("*.parquet"))
    fitting = [path for path in files if _fits(path, wanted)]
    chances = _chances(fitting, wanted.most)
    table = _rows(fitting, chances)
    frame = _frame(table)
    return DayOfRows(
        day=value_of(folder),
        frame=frame,
        predictions=_floats(table, "slipway_prediction"),
        scale=_floats(table, "slipway_scale"),
        ids=table["slipway_id"].to_numpy().astype(object),
        times=table["slipway_time"].cast(pa.timestamp("us")).to_numpy(),
        shares=np.full(len(table), chances.of_each),
        actual=outcomes.of(table, date.fromisoformat(value_of(folder))),
        rows=chances.rows,
        left_out=len(files) - len(fitting),
        unequal=chances.unequal,
    )


def _fits(path: Path, wanted: Wanted) -> bool:
    schema = pq.read_schema(path)
    about = json.loads((schema.metadata or {}).get(b"slipway", b"{}"))
    kept = set(schema.names) - {stored(name) for name in about.get("hashed", ())}
    is_its = wanted.digest in ("", about.get("digest"))
    return is_its and {stored(name) for name in wanted.columns} <= kept


@dataclass(frozen=True)
class _Chances:
    """With which chance a row that was answered is to be here, and how many were kept."""

    of_each: float
    rows: int
    unequal: bool


def _chances(files: Sequence[Path], most: int) -> _Chances:
    """Return the chance that each row of some files can have: the least share, less where that is too many rows."""
    least, largest, answered, rows = 1.0, 0.0, 0.0, 0
    for batch in _batches(files, pa.schema([OURS.field("slipway_share")])):
        shares = _shares(batch)
        least, largest = min(least, shares.min(initial=1.0)), max(largest, shares.max(initial=0.0))
        answered, rows = answered + float((1.0 / shares).sum()), rows + len(shares)
    return _Chances(min(least, most / max(answered, 1.0)), rows, bool(rows) and least < largest)


def _rows(files: Sequence[Path], chances: _Chances) -> pa.Table:
    """Return the rows that are taken, in the order of their ids."""
    if not files:
        return OURS.empty_table()
    shared = _shared(files)
    taken = [
        batch.filter(pa.array(_hashes(batch) < HASHES * (chances.of_each / _shares(batch))))
        for batch in _batches(files, shared)
    ]
    return pa.Table.from_batches(taken, schema=shared).sort_by("slipway_id")


def _batches(
    files: Sequence[Path], schema: pa.Schema, asked: pc.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    if files:
        dataset = ds.dataset([str(path) for path in files], format="parquet", schema=schema)
        every = dataset.to_batches(filter=asked, batch_readahead=2)
        yield from (batch for batch in every if batch.num_rows)


def _shares(batch: pa.RecordBatch) -> Floats:
    """Return the shares at which rows were kept, above 0 and at most 1."""
    shares = np.asarray(batch.column("slipway_share").to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.clip(np.nan_to_num(shares, nan=1.0), 1e-6, 1.0)


def _shared(files: Sequence[Path]) -> pa.Schema:
    """Return the columns that all files have, in the order of the first."""
    schemas = [pq.read_schema(path) for path in files]
    first, *others = schemas
    return pa.schema([field for field in first if all(field in other for other in others)])


def _hashes(batch: pa.RecordBatch) -> Floats:
    ids = batch.column("slipway_id").to_numpy(zero_copy_only=False).astype(object)
    return np.asarray(pd.util.hash_array(ids, categorize=False), dtype=np.float64)


def _frame(table: pa.Table) -> pd.DataFrame:
    names = [name for name in table.column_names if name not in OURS.names]
    return pd.DataFrame(
        {name.removeprefix(f"{PREFIX}column_"): _values(table[name]) for name in names},
        index=pd.RangeIndex(len(table)),
    )


def _values(column: pa.ChunkedArray) -> NDArray[np.float64] | NDArray[np.object_]:
    if pa.types.is_string(column.type):
        return np.asarray(column.to_numpy(), dtype=object)
    if pa.types.is_timestamp(column.type):
        return np.array([each and each.isoformat() for each in column.to_pylist()], dtype=object)
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


@dataclass(frozen=True)
class _Outcomes:
    """What is known of a model's predictions."""

    places: Places
    model: str

    def of(self, table: pa.Table, day: date) -> Floats:
        """Return the outcome of each row of a day, NaN where nobody knows."""
        rows = pd.Series(table["slipway_id"].to_pylist(), dtype=object)
        known = self._labels(table, day)
        by_id = known[known["id"].notna() & known["id"].isin(rows)]
        by_caller = known[known["id"].isna()]
        by_caller = by_caller.assign(id=self._answers(by_caller, day))
        result = pd.concat([each[["id", "order", "actual"]] for each in (by_id, by_caller)])
        last = result.sort_values("order", kind="stable").drop_duplicates("id", keep="last")
        return np.asarray(rows.map(last.set_index("id")["actual"]), dtype=np.float64)

    def _labels(self, table: pa.Table, day: date) -> pd.DataFrame:
        """Return the labels that may be of a day's rows, with their order of receipt."""
        files = labels_since(self.places, self.model, day)
        if not files or not len(table):
            return pd.DataFrame(OUTCOMES.empty_table().to_pandas()).assign(order=0)
        dataset = ds.dataset(files, format="parquet", schema=OUTCOMES)
        ids, callers = table["slipway_id"], pc.unique(table["slipway_caller_id"]).drop_null()
        low, high = pc.min(ids), pc.max(ids)
        by_id = (pc.field("id") >= low) & (pc.field("id") <= high)
        by_caller = pc.field("id").is_null() & pc.field("caller_id").isin(callers)
        known: pd.DataFrame = dataset.to_table(filter=by_id | by_caller).to_pandas()
        known = known.sort_values("received", kind="stable").reset_index(drop=True)
        return known.assign(order=known.index, row=known["row"].fillna(0).astype(np.int32))

    def _answers(self, labels: pd.DataFrame, day: date) -> NDArray[np.object_]:
        """Return which prediction each label by a caller's id is of: the last one before its receipt, of any version.

        Labels come in the order of receipt. Rows that are dated before the day are not looked at.
        """
        result: NDArray[np.object_] = np.full(len(labels), "", dtype=object)
        if not len(labels):
            return result
        last = labels["received"].iloc[-1].date().isoformat()
        days = of_model(self.places, self.model).glob("slipway_version=*/slipway_date=*")
        files = [
            path
            for folder in sorted(days)
            if day.isoformat() <= value_of(folder) <= last
            for path in sorted(folder.rglob("*.parquet"))
        ]
        asked = pc.field("slipway_caller_id").isin(pa.array(labels["caller_id"].unique()))
        for batch in _batches(files, CALLS, asked):
            rows = batch.to_pandas().sort_values("slipway_id").rename(columns=AS_LABELLED)
            answered = [PredictionId.parse(each).milliseconds for each in rows["answer"]]
            rows = rows.assign(received=pd.to_datetime(answered, unit="ms", utc=True).as_unit("us"))
            labelled = labels[["received", "caller_id", "row"]]
            latest = pd.merge_asof(labelled, rows, on="received", by=["caller_id", "row"])["answer"]
            result = np.maximum(result, latest.fillna("").to_numpy())
        return result
