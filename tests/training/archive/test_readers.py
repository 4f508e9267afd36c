"""What people read captures with: DuckDB, pandas and pyarrow see the same rows, folders as columns, columns as sent."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from data.captures import Places
from tests.conftest import ROOT
from tests.training.archive.kept import NOON, frame_at, predictions, written
from training.__main__ import main
from training.archive import compact
from training.captures import captured_days

PAGE = (ROOT / "docs" / "captures.md").read_text(encoding="utf-8")
FOLDERS = ["slipway_model", "slipway_version", "slipway_date", "slipway_hour"]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Two hours, read from the folder above, as on the page."""
    monkeypatch.chdir(tmp_path)
    places = Places(Path("DIR"))
    written(places.frames / "1.frames", [frame_at(NOON), frame_at(NOON + timedelta(hours=1), number=2)])
    compact(places, lambda *_: None)
    return places


def as_written(pattern: str) -> str:
    """What the page says, once."""
    (found,) = re.findall(pattern, PAGE, re.DOTALL)
    return str(found)


def test_duckdb_pandas_and_pyarrow_see_the_same(places: Places) -> None:
    """Each by the words of the page; text stays text, moments keep their zone, gaps are gaps."""
    function = as_written(r"DuckDB \(`(read_parquet\([^`]*\))`\)")
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        by_duckdb = database.sql(f"SELECT * FROM {function} ORDER BY slipway_id").df()
    by_pandas = pd.read_parquet(re.search(r'read_parquet\("(.*?)"\)', as_written(r"`(pandas\.[^`]*)`"))[1])
    by_pandas = by_pandas.sort_values("slipway_id", ignore_index=True)
    by_pyarrow = predictions(places)
    assert len(by_duckdb) == 6
    assert set(FOLDERS) < set(by_duckdb.columns)
    for other in (by_pandas, by_pyarrow):
        assert set(other.columns) == set(by_duckdb.columns)
        for name in by_duckdb.columns:
            ours, theirs = (list(map(told, frame[name])) for frame in (by_duckdb, other))
            assert ours == theirs, name


def told(cell: object) -> str:
    """A cell in words that all three agree on: a date may be one or its text, an hour `12` or 12."""
    if pd.isna(cell):
        return "gap"
    if isinstance(cell, pd.Timestamp):
        return cell.tz_convert("UTC").isoformat() if cell.tzinfo else cell.date().isoformat()
    return str(int(cell)) if str(cell).isdecimal() else str(cell)


def test_the_join_of_the_page_sends_outcomes_back(places: Places) -> None:
    """Its SQL as it is printed, with columns of these rows for its own."""
    statement = as_written(r"\n( +COPY \(.*?\) TO 'labels\.parquet')")
    statement = statement.replace("(flight, date)", "(dep_delay)").replace("arr_delay", "late")
    rows = predictions(places).dropna(subset=["dep_delay"])
    rows[["dep_delay"]].assign(late=range(len(rows))).to_csv("outcomes.csv", index=False)
    with duckdb.connect() as database:
        database.execute(statement)
    assert main(["feedback", "--name", "flights", "--captures", "DIR", "--data", "labels.parquet"]) == 0
    compact(places, lambda *_: None)
    (day,) = captured_days(places, "flights", "3")
    found = {key: value for key, value in zip(day.ids, day.actual, strict=True) if not np.isnan(value)}
    assert found == dict(zip(rows["slipway_id"], map(float, range(len(rows))), strict=True))
