"""What makes a table unusable stops it; what makes a column useless leaves it out, aloud."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.checks import check_table
from data.errors import FaultsFound, MissingColumn, NoFeatures, TooFewRows, UnusableColumn, UnusableTarget
from data.tables import Table


def table(rows: int = 60, **columns: object) -> Table:
    """A usable table, with columns put over its own."""
    frame = pd.DataFrame({"area": np.arange(rows, dtype=float), "price": np.arange(rows, dtype=float) * 2.0})
    kinds: dict = {"area": "number", "price": "number"}
    for name, values in columns.items():
        frame[name] = values
        kinds[name] = "number" if frame[name].dtype == float else "category"
        if frame[name].isna().all():
            kinds[name] = None
    return Table("houses.csv", frame, kinds)


def texts(values: list[object]) -> pd.Series:
    """A column of text."""
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (table(rows=49), TooFewRows, "49 rows have a target, at least 50 are needed"),
        (table(price=1.0), UnusableTarget, "is 1 in all 60 rows"),
        (table(price=texts(["1.5"] * 30 + ["cheap"] * 30)), UnusableTarget, "row 31 is 'cheap'"),
        (table(price=texts([None] * 60)), UnusableTarget, "missing in every row"),
        (table(area=[np.inf] + [1.0] * 59), UnusableColumn, "'area', row 1: is inf"),
        (table(price=[1.0, np.inf] + [2.0] * 58), UnusableColumn, "'price', row 2: is inf"),
        (table(area=texts([None] * 60)), NoFeatures, "left out: area"),
        (table().without(["area"]), NoFeatures, "no column stands beside the target: pass a table with more"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(
    given: Table, error: type[Exception], says: str
) -> None:
    """One line: what, where, found."""
    with pytest.raises(error, match=says):
        check_table(given, target="price")


@pytest.mark.parametrize("role", ["target", "exclude", "reserved"])
def test_a_column_that_is_not_there_is_answered_with_the_nearest(role: str) -> None:
    """A misspelt name is the commonest mistake."""
    asked = {"target": "price"} | {role: "aera" if role == "target" else ["aera"]}
    if role == "reserved":
        asked["reserved"] = {"key": ["aera"]}
    with pytest.raises(MissingColumn, match="did you mean 'area'"):
        check_table(table(), **asked)


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    """They teach nothing and test nothing."""
    price = np.arange(60.0)
    price[:4] = np.nan
    checked = check_table(table(price=price), target="price")
    assert (len(checked.table), checked.rows_without_target) == (56, 4)
    assert not np.isnan(checked.table.numbers("price")).any()


def test_useless_columns_are_left_out_with_the_reason() -> None:
    """All missing, and a different text in every row; both are said, neither stops the training."""
    given = table(
        empty=texts([None] * 60),
        owner=texts([f"owner {row}" for row in range(60)]),
        floor=texts(["1", "2"] * 30),
    )
    checked = check_table(given, target="price")
    assert checked.features == ("area", "floor")
    assert [warning.split("'")[1] for warning in checked.warnings] == ["empty", "owner"]
    assert "60 different texts in 60 rows" in checked.warnings[1]


def test_excluded_and_reserved_columns_are_no_features() -> None:
    """The split's columns would leak where a row stands."""
    given = table(id=texts(["a", "b"] * 30), year=2013.0)
    checked = check_table(given, target="price", exclude=["year"], reserved={"key": ["id"]})
    assert checked.features == ("area",)


def test_all_that_stops_a_training_is_named_at_once() -> None:
    """A target, a column that is not there, infinite cells: one line each."""
    given = table(area=[np.inf, -np.inf] + [1.0] * 58, price=1.0)
    with pytest.raises(FaultsFound) as caught:
        check_table(given, target="price", exclude=["aera"])
    assert str(caught.value).splitlines() == [
        "houses.csv: 3 faults",
        "  houses.csv: has no excluded column 'aera': did you mean 'area'?",
        "  target 'price' is 1 in all 60 rows: a constant needs no model; name another column",
        "  column 'area', row 1: is inf, and 1 more rows are infinite: write a finite number, or leave it empty",
    ]
