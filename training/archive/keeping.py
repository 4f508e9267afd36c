"""Hours of predictions, days of labels and files set aside that are too old: they go for good.

An hour goes when its end is older than what is to be kept, a day of labels when the day's end is.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from data.captures import Places
from training.archive.sources import ASIDE


@dataclass(frozen=True)
class Forgotten:
    """How much went."""

    hours: int = 0
    days_of_labels: int = 0
    aside: int = 0


def forget(places: Places, keep: timedelta, now: datetime) -> Forgotten:
    """Delete what is older than `keep`."""
    before = now - keep
    hours = _removed(
        places.predictions, "slipway_model=*/slipway_version=*/slipway_date=*/slipway_hour=*", before
    )
    days = _removed(places.outcomes, "slipway_model=*/slipway_received=*", before)
    return Forgotten(hours, days, _aside(places, before))


def _removed(root: Path, pattern: str, before: datetime) -> int:
    old = [folder for folder in root.glob(pattern) if (end := _end(folder)) is not None and end <= before]
    for folder in old:
        shutil.rmtree(folder)
        _remove_empty(folder.parent, root)
    return len(old)


def _end(folder: Path) -> datetime | None:
    """Return when an hour or a day ended, None of a folder that is neither."""
    name, _, value = folder.name.partition("=")
    try:
        if name == "slipway_hour":
            day = datetime.fromisoformat(folder.parent.name.partition("=")[2])
            return day.replace(tzinfo=UTC) + timedelta(hours=int(value) + 1)
        return datetime.fromisoformat(value).replace(tzinfo=UTC) + timedelta(days=1)
    except ValueError:
        return None


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _aside(places: Places, before: datetime) -> int:
    old = [
        path
        for folder in (places.frames, places.labels)
        for path in folder.glob(f"*{ASIDE}")
        if path.stat().st_mtime <= before.timestamp()
    ]
    for path in old:
        path.unlink()
    return len(old)
