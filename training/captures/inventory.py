"""What there is in a folder of captures: versions, days, columns, and labels of predictions that nobody kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from data.captures import Places
from training.captures.arrow import OURS, OUTCOMES, PREFIX, stored

IDS = pa.schema([OURS.field("slipway_id")])
NO_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""The form of an id; a label's that has another is nobody's."""


def captured_versions(places: Places) -> dict[str, list[str]]:
    """Return the versions of each model of which something was captured."""
    result: dict[str, list[str]] = {}
    for folder in sorted(places.predictions.glob("slipway_model=*/slipway_version=*"), key=_by_number):
        result.setdefault(_value(folder.parent), []).append(_value(folder))
    return result


def captured_day_names(places: Places, model: str, version: str) -> tuple[str, ...]:
    """Return the days on which a version predicted, as ISO dates, rising."""
    return tuple(sorted(_value(each) for each in _version(places, model, version).glob("slipway_date=*")))


def kept_columns(places: Places, model: str, version: str) -> set[str]:
    """Return the model's columns that the newest file of a version has as they were sent: not those that are hashed."""
    files = sorted(
        _version(places, model, version).rglob("*.parquet"), key=lambda path: (path.parent, path.name)
    )
    if not files:
        return set()
    schema = pq.read_schema(files[-1])
    about = json.loads((schema.metadata or {}).get(b"slipway", b"{}"))
    own = set(schema.names) - set(OURS.names) - {stored(name) for name in about.get("hashed", ())}
    return {name.removeprefix(f"{PREFIX}column_") for name in own}


def unknown_labels(places: Places, model: str, day: str) -> int:
    """Return how many predictions of a day, by their ids, have labels and were not kept by any version.

    To them are added the labels that came on that day with what is no id of ours.
    """
    received = places.outcomes / f"slipway_model={quote(model, safe='')}"
    labelled = _labelled(received, day)
    predicted = places.predictions / f"slipway_model={quote(model, safe='')}"
    left = _without(labelled, predicted.glob(f"*/slipway_date={day}/*/*.parquet"))
    if len(left):  # a row may be dated by its event, on another day than its id's
        left = _without(left, predicted.glob("*/*/*/*.parquet"))
    return len(left) + _without_form(received, day)


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


def _labelled(received: Path, day: str) -> pa.Array:
    """Return the ids that labels name and that are of a day."""
    begin = date.fromisoformat(day)
    files = [
        str(path)
        for folder in sorted(received.glob("slipway_received=*"))
        if _value(folder) >= (begin - timedelta(days=1)).isoformat()
        for path in sorted(folder.glob("*.parquet"))
    ]
    if not files:
        return pa.array([], pa.string())
    low, high = _first_id(begin), _first_id(begin + timedelta(days=1))
    within = (pc.field("id") >= low) & (pc.field("id") < high)
    table = ds.dataset(files, format="parquet", schema=OUTCOMES).to_table(["id"], filter=within)
    ids = pc.unique(table["id"])
    return ids.filter(pc.match_substring_regex(ids, NO_ID)) if len(ids) else ids


def _without_form(received: Path, day: str) -> int:
    files = [str(path) for path in sorted((received / f"slipway_received={day}").glob("*.parquet"))]
    if not files:
        return 0
    ids = ds.dataset(files, format="parquet", schema=OUTCOMES).to_table(["id"])["id"].drop_null()
    return sum(not re.match(NO_ID, each) for each in ids.unique().to_pylist())


def _first_id(day: date) -> str:
    """Return what is not after any id of a day, and after those of the days before."""
    text = f"{int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000):012x}"
    return f"{text[:8]}-{text[8:]}"


def _version(places: Places, model: str, version: str) -> Path:
    return (
        places.predictions
        / f"slipway_model={quote(model, safe='')}"
        / f"slipway_version={quote(version, safe='')}"
    )


def _value(folder: Path) -> str:
    return unquote(folder.name.partition("=")[2])


def _by_number(folder: Path) -> tuple[str, int, str]:
    return (folder.parent.name, len(folder.name), folder.name)
