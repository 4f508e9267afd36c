"""Rows as they come: numbers, booleans, categories and dates, each with gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.tables import Table


def table(rows: int = 400) -> Table:
    """Numbers, booleans, categories and dates, each with gaps."""
    random = np.random.default_rng(3)
    x = random.normal(size=rows)
    frame = pd.DataFrame(
        {
            "x": np.where(random.random(rows) < 0.1, np.nan, x),
            "new": (random.random(rows) < 0.3).astype(float),
            "city": pd.Series(random.choice(["Ulm", "Bonn", "Köln"], rows), dtype=object),
            "day": pd.Series(np.datetime_as_string(np.datetime64("2013-01-01") + np.arange(rows))).astype(
                object
            ),
            "y": 3.0 * x + random.normal(size=rows),
        }
    )
    frame.loc[::9, "city"] = None
    frame.loc[::11, "day"] = None
    return Table(
        "t", frame, {"x": "number", "new": "boolean", "city": "category", "day": "datetime", "y": "number"}
    )


FEATURES = ["x", "new", "city", "day"]
