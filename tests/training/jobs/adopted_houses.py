"""Houses with a price, and models of them that somebody dumped, for the command that adopts these."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.__main__ import main

TOWNS = np.array(["Ulm", "Bonn", "Kiel"])


def houses(rows: int = 120, *, seed: int = 0) -> pd.DataFrame:
    """Two numbers and a category, and a price that depends on all."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"area": random.uniform(30, 200, rows), "rooms": random.integers(1, 7, rows) * 1.0})
    frame["town"] = TOWNS[random.integers(0, 3, rows)]
    noise = random.normal(0, 5, rows)
    return frame.assign(price=3.0 * frame["area"] + 20.0 * (frame["town"] == "Kiel") + noise)


def encoded(model: Any, encoder: Any) -> Any:
    """A pipeline as people write them."""
    columns = ColumnTransformer(
        [
            ("town", encoder, ["town"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["area", "rooms"]),
        ]
    )
    return make_pipeline(columns, model)


def adopt(model: Any, table: pd.DataFrame, *words: str) -> int:
    """Dump a model, write the rows, and run the command in this process."""
    joblib.dump(model, "old.pkl")
    table.to_csv("rows.csv", index=False)
    given = ["--model", "old.pkl", "--data", "rows.csv", "--target", "price", "--name", "houses"]
    return main(["adopt", *given, *words])


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The refusal, which must be one line."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


NUMBERS = houses().drop(columns="town")
