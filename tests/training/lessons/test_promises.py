"""Which captured rows may be learned from: sensors that broke lately, and what few days do by chance."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pandas as pd
import pytest

from data.contracts import Contract, Promise
from data.errors import FaultsFound
from data.schema import Column, Schema
from data.splits import SplitRule
from training.lessons import Labelled, Shape, hold, table_of
from training.lessons.promises import gaps_by_chance


def days_of(count: int, a_day: int = 40, *, seed: int = 0) -> Labelled:
    """Rows of many days: a flag that is rarely set, a weekday; a column with gaps, and gaps in the flag."""
    random, size = np.random.default_rng(seed), count * a_day
    number = np.repeat(np.arange(count), a_day)
    flag = np.where(random.random(size) < 0.05, np.nan, np.isin(number, [3, 60]).astype(float))
    frame = pd.DataFrame(
        {
            "area": np.where(random.random(size) < 0.12, np.nan, random.uniform(1, 9, size)),
            "garden": flag,
            "zip": np.where(random.random(size) < 0.5, "01067", "20095").astype(object),
            "weekday": (number % 7).astype(float),
        }
    )
    times = np.datetime64("2026-01-01", "us") + (number * 86_400 + np.arange(size) % a_day).astype(
        "timedelta64[s]"
    )
    days = np.datetime_as_string(times.astype("datetime64[D]"))
    ids = np.arange(size).astype(str).astype(object)
    return Labelled(
        frame, random.normal(size=size), random.normal(size=size), days, times, ids, np.full(size, "1")
    )


DAILY = Schema(
    (
        Column("area", "number", minimum=1.0, maximum=9.0),
        Column("garden", "boolean", categories=("false", "true")),
        Column("zip", "category", categories=("01067", "20095")),
        Column("weekday", "number", minimum=0.0, maximum=6.0),
    ),
    target="price",
)
GAPS = Contract(
    "houses.yaml",
    {
        "area": Promise("number", missing=0.25),
        "garden": Promise("boolean", missing=0.15),
        "zip": Promise("category", missing=0.05),
        "weekday": Promise("number", missing=0.05),
        "price": Promise("number"),
    },
)


def held(rows: Labelled) -> None:
    """Hold rows to that contract."""
    shape = Shape("houses", DAILY, SplitRule("hash", DAILY.names, 0.2))
    hold(table_of(rows, shape, "captured rows"), rows.days, shape, GAPS)


@pytest.mark.parametrize(
    ("column", "broken", "said"),
    [
        ("area", np.nan, "column 'area': since 2026-04-08: 1"),
        ("zip", None, "column 'zip': since 2026-04-08: 120 of 120 cells are empty"),
        ("zip", "01067", "column 'zip': since 2026-04-08: has the same value in each row"),
        ("area", 5.0, "column 'area': since 2026-04-08: has the same value in each row"),
    ],
)
@pytest.mark.parametrize("dead", [3, 4])
def test_a_sensor_that_broke_on_the_last_days_is_found_behind_a_season_of_good_ones(
    column: str, broken: object, said: str, dead: int
) -> None:
    """160 of 4,000 rows are 4 %: fewer than the gaps that a season may have."""
    rows = days_of(100)
    values = rows.frame[column].to_numpy(copy=True)
    values[-40 * dead :] = broken
    with pytest.raises(FaultsFound) as found:
        held(replace(rows, frame=rows.frame.assign(**{column: values})))
    assert said in str(found.value)
    assert str(found.value).count("column '") == 1


def test_a_column_that_is_empty_on_most_days_is_not_stuck_where_it_is_empty_on_the_newest() -> None:
    """Each fifth day has inspections, the rest has none: that says nothing of what measures them."""
    rows = days_of(100)
    inspected = np.where(np.arange(4000) // 40 % 5 == 1, rows.frame["area"], np.nan)
    schema = Schema((*DAILY.columns, Column("inspected", "number", minimum=1.0, maximum=9.0)), target="price")
    shape = Shape("houses", schema, SplitRule("hash", schema.names, 0.2))
    contract = replace(GAPS, columns=GAPS.columns | {"inspected": Promise("number", missing=1.0)})
    rows = replace(rows, frame=rows.frame.assign(inspected=inspected))
    hold(table_of(rows, shape, "captured rows"), rows.days, shape, contract)


@pytest.mark.parametrize(("share", "rows"), [(0.01, 50), (0.05, 50), (0.01, 1000), (0.3, 120), (0.97, 60)])
def test_few_rows_may_have_the_gaps_that_they_have_by_chance_once_in_a_thousand_times(
    share: float, rows: int
) -> None:
    """A count of rare things is skewed: of 50 rows, three gaps of 1 % come fourteen times in a thousand."""
    most = round(gaps_by_chance(share, rows) * rows)
    chances = [comb(rows, gaps) * share**gaps * (1 - share) ** (rows - gaps) for gaps in range(rows + 1)]
    assert sum(chances[most + 1 :]) <= 0.001 < sum(chances[most:])


def test_a_column_without_gaps_stays_without() -> None:
    """And one that is all gaps may be all gaps."""
    assert (gaps_by_chance(0.0, 50), gaps_by_chance(1.0, 50)) == (0.0, 1.0)


@pytest.mark.soak
@pytest.mark.parametrize("a_day", [1, 5, 40, 400])
def test_what_few_days_do_by_chance_is_no_broken_sensor(a_day: int) -> None:
    """A flag that is set on two days of a hundred, a weekday, gaps as ever: 100 seasons, at most one is refused."""
    refused = 0
    for seed in range(100 if a_day < 400 else 20):
        try:
            held(days_of(100, a_day, seed=seed))
        except FaultsFound:
            refused += 1
    assert refused <= 1
