"""Columns without a name: left out where they hold nothing or count the rows, else named by their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.checks import check_table
from data.column_names import named
from data.sources import open_source
from data.tables import load_table


def rows(count: int = 60) -> pd.DataFrame:
    """Two columns and a target."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=count), "c": random.choice(["a", "b"], count)})
    return frame.assign(y=random.normal(size=count))


def checked(path: Path):
    """Load and check a file."""
    return check_table(load_table(open_source(str(path))), target="y")


def test_the_index_that_pandas_writes_is_no_feature(tmp_path: Path) -> None:
    """`df.to_csv("t.csv")` ended in an internal error after the whole training."""
    rows().to_csv(tmp_path / "t.csv")
    found = checked(tmp_path / "t.csv")
    assert found.features == ("x", "c")
    assert found.warnings == (
        "column 'column 1' is left out: it has no name and counts the rows; give it one to use it",
    )
    assert len(found.table) == 60


def test_saved_twice_it_is_none_either(tmp_path: Path) -> None:
    """Pandas reads its own index back as `Unnamed: 0`."""
    rows().to_csv(tmp_path / "once.csv")
    pd.read_csv(tmp_path / "once.csv").to_csv(tmp_path / "twice.csv")
    assert checked(tmp_path / "twice.csv").features == ("x", "c")


def test_an_index_in_parquet_is_none(tmp_path: Path) -> None:
    """Rows that were filtered carry their old numbers."""
    rows().iloc[::2].pipe(lambda half: pd.concat([half, half])).to_parquet(tmp_path / "t.parquet")
    found = checked(tmp_path / "t.parquet")
    assert found.features == ("x", "c")
    assert "the index that pandas wrote" in found.warnings[0]


@pytest.mark.parametrize("end", [",", ",,", ", ,"])
def test_separators_at_the_ends_of_lines_make_no_feature(tmp_path: Path, end: str) -> None:
    """Several columns without a name were refused as one name that stands twice."""
    text = rows().to_csv(index=False)
    (tmp_path / "t.csv").write_text("".join(line + end.replace(" ", "") + "\n" for line in text.splitlines()))
    found = checked(tmp_path / "t.csv")
    assert found.features == ("x", "c")
    assert all("every value is missing" in warning for warning in found.warnings)


def test_a_column_that_holds_something_is_named_by_its_place(tmp_path: Path) -> None:
    """And can be excluded by that name."""
    given = rows().assign(z=np.random.default_rng(1).normal(size=60)).rename(columns={"z": " "})
    given.to_csv(tmp_path / "t.csv", index=False)
    assert checked(tmp_path / "t.csv").features == ("x", "c", "column 4")
    table = load_table(open_source(str(tmp_path / "t.csv")))
    assert check_table(table, target="y", exclude=["column 4"]).features == ("x", "c")


def test_a_name_that_is_taken_is_not_given() -> None:
    """Two columns never share one."""
    assert named(["column 2", "", "\t"]) == ["column 2", "column 2_", "column 3"]


def test_numbers_with_a_name_stay_features(tmp_path: Path) -> None:
    """Only what has no name is taken for an index: a day's number may matter."""
    rows().assign(day=np.arange(60)).to_csv(tmp_path / "t.csv", index=False)
    assert "day" in checked(tmp_path / "t.csv").features


def test_a_typed_file_or_a_query_has_no_nameless_column_either(tmp_path: Path) -> None:
    """Pandas writes the name "" to Parquet; MLflow finds no column of that name when it scores."""
    frame = pd.DataFrame({"": [1.0, 2.0], " ": [3.0, 4.0], "y": [5.0, 6.0]})
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    assert load_table(open_source(str(tmp_path / "t.parquet"))).names == ["column 1", "column 2", "y"]
    query = 'SELECT 1.0 AS "", 2.0 AS y'
    assert load_table(open_source("sqlite://", query=query)).names == ["column 1", "y"]
