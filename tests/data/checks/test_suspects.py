"""Wild values, spikes that mean "missing" and numbers that name things are named; ordinary columns are not."""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.checks import suspect_numbers, years_in_words
from data.tables import Table

Floats = NDArray[np.float64]
ROWS = 400


def table_of(**columns: object) -> Table:
    """Make a table of numbers."""
    frame = pd.DataFrame(columns, dtype="float64")
    return Table("t.csv", frame, dict.fromkeys(frame, "number"))


def random() -> np.random.Generator:
    """Start anew."""
    return np.random.default_rng(3)


def with_cells(values: Floats, cell: float, *, rows: int) -> Floats:
    """Return the values with a cell of its own in the first rows."""
    values = values.copy()
    values[:rows] = cell
    return values


def test_one_wild_target_is_named_with_its_row() -> None:
    """One 1e12 among 200s makes every figure of the training that of one row."""
    target = random().normal(200.0, 20.0, ROWS)
    target[16] = 1e12
    (found,) = suspect_numbers(table_of(y=target, x=random().normal(size=ROWS)), target="y")
    assert str(found).startswith("column 'y', row 17: 1e12, all others lie between ")


def test_a_few_wild_values_are_named_together() -> None:
    """A slip is made more than once."""
    values = random().normal(10.0, 5.0, ROWS)
    values[[3, 40]] = -999.0, 4_000.0
    (found,) = suspect_numbers(table_of(x=values))
    assert found.rows == (4, 41)


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        (random().integers(18, 80, ROWS), 999.0),
        (random().normal(15.0, 8.0, ROWS), -999.0),
        (random().normal(15.0, 8.0, ROWS), 9999.0),
        (random().normal(15.0, 8.0, ROWS), -99.9),
        (random().choice([1.0, 2.0, 3.0], ROWS), 99.0),
        (random().normal(1_000.0, 150.0, ROWS), -200.0),
        (np.where(random().random(ROWS) < 0.8, 0.0, random().lognormal(5.0, 1.0, ROWS)), -200.0),
        (random().lognormal(8.0, 1.0, ROWS), 99_999_999.0),
    ],
)
def test_a_spike_far_from_the_others_may_mean_missing(values: Floats, cell: float) -> None:
    """-999, 9999 and AirQuality's -200 were learned from as amounts."""
    (found,) = suspect_numbers(table_of(x=with_cells(values.astype(float), cell, rows=20)))
    assert found.count == 20
    assert found.found.startswith(f"{cell:.15g} is far from all others")


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("customer", random().permutation(ROWS) + 10_000, "no two are equal, as ids do"),
        ("customer", (random().permutation(ROWS) + 10_000) * 10, "no two are equal, as ids do"),
        ("zip_code", random().integers(10_000, 10_099, ROWS), "postal codes"),
        ("PLZ", random().integers(10_000, 99_999, ROWS), "postal codes"),
        ("shop_id", random().integers(1, 60, ROWS), "numbers of things"),
        ("shopId", random().integers(1, 60, ROWS), "numbers of things"),
        ("airport code", random().integers(1, 60, ROWS), "numbers of things"),
    ],
)
def test_numbers_that_name_things_are_named(name: str, values: Floats, says: str) -> None:
    """Half of an id is no half of anything."""
    (found,) = suspect_numbers(table_of(**{name: values}))
    assert says in found.found
    assert f"exclude={quote(name)}" in found.repair
    assert not suspect_numbers(table_of(**{name: values}), target=name)
    assert not suspect_numbers(table_of(**{name: values}), ignored=[name])


ORDINARY: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda random, rows: random.normal(size=rows),
    "price": lambda random, rows: np.round(random.lognormal(12.0, 0.7, rows), -3),
    "income": lambda random, rows: np.round(random.lognormal(10.0, 1.0, rows)),
    "capped": lambda random, rows: np.minimum(random.lognormal(12.0, 0.7, rows), 500_001.0),
    "count": lambda random, rows: random.poisson(3.0, rows),
    "seldom": lambda random, rows: random.binomial(1, 0.1, rows) * np.round(random.lognormal(6.0, 1.5, rows)),
    "share": lambda random, rows: random.integers(0, 101, rows),
    "rating": lambda random, rows: random.integers(1, 6, rows),
    "levels": lambda random, rows: random.choice([110.0, 122.5, 147.0, 220.5], rows),
    "temperature": lambda random, rows: np.round(random.normal(5.0, 12.0, rows)),
    "balance": lambda random, rows: random.standard_t(3, rows) * 1_000.0,
    "amount": lambda random, rows: random.integers(0, 10_000_000, rows),
    "tail": lambda random, rows: random.lognormal(0.0, 1.5, rows),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_columns_are_left_in_peace(name: str) -> None:
    """A warning that is mostly wrong is not read. Of 60 tables of each kind one may raise one."""
    random = np.random.default_rng(4)
    alarms = sum(len(suspect_numbers(table_of(**{name: ORDINARY[name](random, 300)}))) for _ in range(60))
    assert alarms <= 1


def test_what_a_wild_value_is_measured_by_may_be_missing_or_constant() -> None:
    """No column is too odd to be looked at."""
    gap = np.full(ROWS, np.nan)
    half = np.where(np.arange(ROWS) % 2, np.nan, random().normal(size=ROWS))
    assert not suspect_numbers(
        table_of(empty=gap, constant=np.ones(ROWS), two=np.arange(ROWS) % 2, half=half)
    )
    assert not suspect_numbers(table_of(huge=np.where(np.arange(ROWS) < 3, np.inf, 1.0)))
    assert not suspect_numbers(table_of(few=np.arange(9.0)))


def test_names_that_would_be_too_many_categories_are_only_left_out() -> None:
    """Advice that ends in another warning is none."""
    few, many = random().integers(10_000, 10_099, ROWS), random().integers(10_000, 99_999, ROWS)
    assert "read=zip:text" in suspect_numbers(table_of(zip=few))[0].repair
    assert suspect_numbers(table_of(zip=many))[0].repair == "pass exclude=zip"


def test_years_are_told_and_no_fault() -> None:
    """A model year is a good column; that a model knows no later one is worth a line."""
    made = random().integers(1998, 2025, ROWS)
    assert not suspect_numbers(table_of(model_year=made))
    (note,) = years_in_words(table_of(model_year=made, price=random().integers(1_900, 2_000, ROWS)))
    assert "'model_year' holds years up to 2024" in note
    assert "time_column=model_year" in note
    assert not years_in_words(table_of(model_year=made), ignored=["model_year"])
    assert not years_in_words(table_of(years_at_work=random().integers(0, 40, ROWS)))
