"""Where Parquet files lie: folders of models and versions as Hive names them, and labels by the day of receipt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

from data.captures import Places


def named(key: str, value: str) -> str:
    """Return a folder's name; Hive's word for one that has none.

    >>> named("model", "houses/old")
    'slipway_model=houses%2Fold'
    """
    return f"slipway_{key}={quote(value, safe='') or '__HIVE_DEFAULT_PARTITION__'}"


def value_of(folder: Path) -> str:
    """Return what a folder is named after."""
    return unquote(folder.name.partition("=")[2])


def of_model(places: Places, model: str) -> Path:
    """Return the folder of a model's predictions."""
    return places.predictions / named("model", model)


def of_version(places: Places, model: str, version: str) -> Path:
    """Return the folder of a version's predictions."""
    return of_model(places, model) / named("version", version)


def labels_since(places: Places, model: str, day: date) -> Sequence[str]:
    """Return the files of labels that may be of a day: those received on the day before or later, for clocks differ."""
    return [
        str(path)
        for folder in sorted((places.outcomes / named("model", model)).glob("slipway_received=*"))
        if value_of(folder) >= (day - timedelta(days=1)).isoformat()
        for path in sorted(folder.glob("*.parquet"))
    ]
