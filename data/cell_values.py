"""One value as it was sent -> the float64 that stands for it in the packed matrix of `data.schema`.

Requests, golden rows and later tables take a value by the same rule: it is used exactly as it was sent, or it is not
used. Whole columns have quicker ways (`serving.rows`, `data.tables`), which tests hold to this one. It names no faults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from data.cells import Reading
from data.schema import DATE_PATTERN, LARGEST_EXACT, UNSEEN, Column

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_DATE = re.compile(DATE_PATTERN, re.ASCII)


def converter(column: Column) -> Callable[[Any], float | None]:
    """Return what turns one cell into its float, or None where it cannot be used."""
    if column.reading is not None and column.kind != "category":
        return partial(_read, column, column.reading)
    if column.kind == "category":
        codes = column.codes | gaps(column)
        return lambda value: (
            math.nan if value is None else codes.get(value, UNSEEN) if type(value) is str else None
        )
    return _PLAIN[column.kind]


def gaps(column: Column) -> dict[str, float]:
    """Return the texts of a category that are missing values."""
    return dict.fromkeys(("", *column.reading.words), math.nan) if column.reading is not None else {}


def _read(column: Column, reading: Reading, value: Any) -> float | None:
    """Return a value of a column whose texts have a reading; a text is made plain first."""
    if type(value) is str:
        plain = reading.plain(value)
        if not plain:
            return None if plain is None else math.nan
        value = plain if column.kind == "datetime" else _of_plain(plain)
    cell = _PLAIN[column.kind](value)
    return math.nan if cell in reading.sentinels else cell


def _of_plain(plain: str) -> bool | float:
    if plain in ("true", "false"):
        return plain == "true"
    return int(plain) if plain.lstrip("+-").isdigit() else float(plain)


def instant(value: Any) -> float | None:
    """Return the seconds since 1970 of an ISO 8601 text; NaN for None, None for what is no date."""
    if value is None:
        return math.nan
    if type(value) is not str:
        return None
    text = value.strip(" \t\r\n")
    if not _DATE.match(text) or text.endswith("\n"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = moment - _EPOCH if moment.tzinfo else moment - _NAIVE_EPOCH
    seconds = ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) / 1e6
    return seconds if FIRST <= seconds < LAST + 1 else None


def _number(value: Any) -> float | None:
    kind = type(value)
    if kind is float:
        return value if abs(value) != math.inf else None
    if kind is int:
        return float(value) if -LARGEST_EXACT <= value <= LARGEST_EXACT else None
    return math.nan if value is None else None


def _boolean(value: Any) -> float | None:
    if value is None:
        return math.nan
    if type(value) in (bool, int, float) and (value in (0, 1) or math.isnan(value)):
        return float(value)
    return None


_PLAIN: dict[str, Callable[[Any], float | None]] = {
    "number": _number,
    "boolean": _boolean,
    "datetime": instant,
}
