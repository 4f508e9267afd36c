"""What there is in a folder of captures: versions, days, columns, and labels of predictions that nobody kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from data.captures import Places, PredictionId, frame_id
from training.archive import OURS, OUTCOMES, PREFIX, labels_since, of_model, of_version, stored, value_of

IDS = pa.schema([OURS.field("slipway_id")])


def captured_versions(places: Places) -> dict[str, list[str]]:
    """Return the versions of each model of which something was captured."""
    result: dict[str, list[str]] = {}
    for folder in sorted(places.predictions.glob("slipway_model=*/slipway_version=*"), key=_by_number):
        result.setdefault(value_of(folder.parent), []).append(value_of(folder))
    return result


def captured_day_names(places: Places, model: str, version: str) -> tuple[str, ...]:
    """Return the days on which a version predicted, as ISO dates, rising."""
    return tuple(sorted(value_of(each) for each in of_version(places, model, version).glob("slipway_date=*")))


def kept_columns(places: Places, model: str, version: str) -> set[str]:
    """Return the model's columns that the newest file of a version has as they were sent: not those that are hashed."""
    files = sorted(
        of_version(places, model, version).rglob("*.parquet"), key=lambda path: (path.parent, path.name)
    )
    if not files:
        return set()
    schema = pq.read_schema(files[-1])
    about = json.loads((schema.metadata or {}).get(b"slipway", b"{}"))
    own = set(schema.names) - set(OURS.names) - {stored(name) for name in about.get("hashed", ())}
    return {name.removeprefix(f"{PREFIX}column_") for name in own}


def unknown_labels(places: Places, model: str, day: str) -> int:
    """Return how many predictions of a day, by their ids, have labels and were not kept by any version."""
    labelled = _labelled(labels_since(places, model, date.fromisoformat(day)), date.fromisoformat(day))
    predicted = of_model(places, model)
    left = _without(labelled, predicted.glob(f"*/slipway_date={day}/*/*.parquet"))
    if len(left):  # a row may be dated by its event, on another day than its id's
        left = _without(left, predicted.glob("*/*/*/*.parquet"))
    return len(left)


def _without(ids: pa.Array, paths: Iterable[Path]) -> pa.Array:
    """Return the ids that none of the files has."""
    files = [str(path) for path in sorted(paths)]
    if not files or not len(ids):
        return ids
    low, high = pc.min(ids), pc.max(ids)
    within = (pc.field("slipway_id") >= low) & (pc.field("slipway_id") <= high)
    for batch in ds.dataset(files, format="parquet", schema=IDS).to_batches(filter=within):
        ids = ids.filter(pc.invert(pc.is_in(ids, value_set=batch.column("slipway_id"))))
    return ids


def _labelled(files: Sequence[str], day: date) -> pa.Array:
    """Return the ids that labels name and that are of a day."""
    if not files:
        return pa.array([], pa.string())
    low, high = _first_id(day), _first_id(day + timedelta(days=1))
    within = (pc.field("id") >= low) & (pc.field("id") < high)
    table = ds.dataset(files, format="parquet", schema=OUTCOMES).to_table(["id"], filter=within)
    return pc.unique(table["id"])


def _first_id(day: date) -> str:
    """Return what is not after any id of a day, and after those of the days before."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return str(PredictionId(frame_id(round(begin.timestamp() * 1_000), 0), 0))


def _by_number(folder: Path) -> tuple[str, int, str]:
    return (folder.parent.name, len(folder.name), folder.name)
