"""Flights as a Keras network takes them: numbers and a boolean, no gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.schema import Column, Schema
from data.sources import open_source
from data.tables import describe, load_table
from tests.conftest import ROOT

COLUMNS = ["month", "hour", "dep_delay", "distance", "late"]


def rows() -> tuple[pd.DataFrame, np.ndarray, Schema]:
    """Flights as numbers and a boolean, and their delay on arrival."""
    table = load_table(open_source(str(ROOT / "data/samples/flights.csv")))
    frame = table.frame.assign(late=(table.frame["dep_delay"] > 0).astype(float)).iloc[::20]
    described = describe(table, COLUMNS[:-1], target="arr_delay")
    schema = Schema((*described.columns, Column("late", "boolean")), target="arr_delay")
    frame = frame.reset_index(drop=True)
    return frame[COLUMNS], frame["arr_delay"].to_numpy(), schema


FRAME, TARGET, SCHEMA = rows()
SPREAD = float(np.std(TARGET))
