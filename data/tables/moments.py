"""Dates of a table as numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.long_arrays import in_file

ROWS_AT_ONCE = 250_000
"""That are held as texts and as instants beside the result."""


def seconds(texts: pd.Series) -> NDArray[np.float64]:
    """Return seconds since 1970-01-01T00:00:00 of ISO 8601 texts, NaN where missing; of those in a file in one."""
    count = len(texts)
    moments = in_file(count, np.float64) if isinstance(texts.dtype, pd.StringDtype) else np.empty(count)
    for start in range(0, count, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        moments[part] = _seconds(texts.iloc[part].astype(object))
    return moments


def _seconds(texts: pd.Series) -> NDArray[np.float64]:
    try:
        instants = pd.to_datetime(texts, format="ISO8601", utc=True)
    except pd.errors.OutOfBoundsDatetime:  # one with nanoseconds, and one that those do not reach
        cut = texts.str.replace(r"(\.\d{6})\d+", r"\1", regex=True)
        instants = pd.to_datetime(cut, format="ISO8601", utc=True)
    microseconds = instants.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype("int64") / 1e6)
