"""Rows as a scorer takes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import UNSEEN, Column, Schema
from data.tables import seconds


def pack_frame(frame: pd.DataFrame, schema: Schema) -> NDArray[np.float64]:
    """Return the frame's columns as the packed float64 matrix of shape (n_rows, n_columns)."""
    return np.column_stack([_packed(frame[column.name], column) for column in schema.columns])


def _packed(values: pd.Series, column: Column) -> NDArray[np.float64]:
    if column.kind == "category":
        codes = values.astype(object).map(column.codes).to_numpy(dtype=np.float64, na_value=np.nan)
        unseen = np.isnan(codes) & values.notna().to_numpy()
        return np.where(unseen, UNSEEN, codes)
    if column.kind == "datetime":
        return seconds(values)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)
