"""What can weigh rows is taken, what cannot is refused with its row, and a weight moves no row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.checks import check_table
from data.errors import MissingColumn, TableError, TooFewRows, UnusableTarget, UnusableWeight
from data.splits import SIDES, SplitRule, split_table
from data.splits.weighting import check_sides, heavy_in_words
from data.tables import Table

RANDOM = np.random.default_rng(0)


def table(rows: int = 200, **columns: object) -> Table:
    """Return a table whose weights are fine, with columns put over its own."""
    frame = pd.DataFrame(
        {
            "x": RANDOM.normal(size=rows),
            "when": np.arange(rows, dtype=float),
            "y": RANDOM.normal(size=rows),
            "w": RANDOM.uniform(0.5, 2.0, rows),
        }
    )
    frame = frame.assign(**columns)
    kinds = {name: "number" if frame[name].dtype == float else "category" for name in frame}
    return Table("t.csv", frame, {name: kinds[name] if frame[name].notna().any() else None for name in frame})  # type: ignore[arg-type]


def weights(*given: tuple[int, float], rows: int = 200) -> np.ndarray:
    """Return weights of 1, but for some rows."""
    made = np.ones(rows)
    for row, value in given:
        made[row] = value
    return made


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (weights((6, -3.0)), r"weight 'w', row 7, is -3: write a number of 0 or more"),
        (weights((6, -3.0), (8, -1.0)), r"row 7, is -3, and 1 more are negative"),
        (weights((11, np.nan)), r"row 12, is missing: write"),
        (weights((3, np.inf), (2, -np.inf)), r"row 3, is -inf, and 1 more are infinite"),
        (np.zeros(200), r"weight 'w' is 0 in all 200 rows with a target"),
        (
            np.array(["1.5"] * 4 + ["heavy"] * 196, dtype=object),
            r"row 5, is not numeric: 'heavy': name a column",
        ),
        (
            np.array(["1.5"] * 199 + ["?"], dtype=object),
            r"row 200, is not numeric: '\?': write a number of 0 or more",
        ),
        (np.full(200, np.nan), r"weight 'w' is missing in every row"),
    ],
)
def test_what_cannot_weigh_rows_is_refused_with_its_row(given: np.ndarray, says: str) -> None:
    """One line: where, what was found, how to mend it."""
    with pytest.raises(UnusableWeight, match=says):
        check_table(table(w=given), target="y", weight="w")


def test_a_column_of_yes_and_no_weighs_nothing() -> None:
    """It is read as 1 and 0, which nobody wrote."""
    given = table()
    given = Table(given.where, given.frame.assign(w=1.0), {**given.kinds, "w": "boolean"})
    with pytest.raises(UnusableWeight, match="it holds boolean values"):
        check_table(given, target="y", weight="w")


def test_the_weight_is_a_column_of_its_own() -> None:
    """It is no feature, not the target, and a misspelt one is answered with the nearest."""
    assert check_table(table(), target="y", weight="w").features == ("x", "when")
    with pytest.raises(UnusableWeight, match="is the target"):
        check_table(table(), target="y", weight="y")
    with pytest.raises(MissingColumn, match="has no weight column 'ww': did you mean 'w'"):
        check_table(table(), target="y", weight="ww")


def test_rows_without_a_target_need_no_weight_and_rows_are_counted_as_in_the_file() -> None:
    """They are left out anyway; the row that is named is that of the file."""
    y = RANDOM.normal(size=200)
    y[:5] = np.nan
    assert check_table(table(y=y, w=weights((3, -1.0))), target="y", weight="w").rows_without_target == 5
    with pytest.raises(UnusableWeight, match="row 8, is -1"):
        check_table(table(y=y, w=weights((3, -1.0), (7, -1.0))), target="y", weight="w")


def test_rows_that_do_not_count_are_no_rows_to_learn_from() -> None:
    """Sixty rows with a target, of which forty count, are forty; a target that is constant where rows count is."""
    w = np.where(np.arange(60) < 40, 1.0, 0.0)
    with pytest.raises(TooFewRows, match="40 rows have a target and a w above 0"):
        check_table(table(60, w=w), target="y", weight="w")
    y = np.where(np.arange(200) < 100, 1.0, RANDOM.normal(size=200))
    with pytest.raises(UnusableTarget, match="is 1 in all 100 rows"):
        check_table(table(y=y, w=np.where(np.arange(200) < 100, 1.0, 0.0)), target="y", weight="w")


@pytest.mark.parametrize("method", ["hash", "repeat", "time", "group"])
def test_a_changed_weight_moves_no_row(method: str) -> None:
    """Weights of 0 too: a row that counts again stands where it stood."""
    column = {"hash": "x", "repeat": "x", "time": "when", "group": "x"}[method]
    rule = SplitRule(method, (column,))  # type: ignore[arg-type]
    given = table(400)
    plain = split_table(given, rule)
    counts = RANDOM.random(400) < 0.7
    split = split_table(given, rule).of_counted(counts)
    assert np.array_equal(split.sides[counts], plain.sides[counts])
    assert sum(split.counts.values()) == counts.sum()
    for side in SIDES:
        assert not split.mask(side)[~counts].any()


@pytest.mark.parametrize("side", SIDES)
def test_a_side_on_which_no_row_counts_is_refused(side: str) -> None:
    """There is nothing to learn from, or to judge by."""
    split = split_table(table(400), SplitRule("hash", ("x",)))
    with pytest.raises(UnusableWeight, match=f"is above 0 in 0 of the .* {side} rows"):
        check_sides(split, ~split.mask(side), "w")  # type: ignore[arg-type]


def test_a_row_with_much_of_the_weight_is_named() -> None:
    """A slip of the pen (1e6 for 1.6) would decide the model alone."""
    assert heavy_in_words(table(w=weights((9, 1e6))), "w", "y").startswith(
        "row 10 has 100% of all weight (w is 1,000,000)"
    )
    assert heavy_in_words(table(), "w", "y") == ""
    assert heavy_in_words(table(w=weights((9, 1e308), (8, 1e308))), "w", "y").startswith("row 9 has 50%")


def test_all_faults_are_told_at_once() -> None:
    """A weight and a column that is not there."""
    with pytest.raises(TableError, match="2 faults"):
        check_table(table(w=weights((0, -1.0))), target="y", weight="w", exclude=["nope"])
