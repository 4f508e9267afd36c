"""What one cell may look like, for values from JSON and for columns of Arrow alike."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.schema import DATE_PATTERN

NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
WHOLE_PATTERN = r"^[+-]?\d+$"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_DATE = re.compile(DATE_PATTERN, re.ASCII)

Bools = NDArray[np.bool_]


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
