"""Captured rows as a table: every kind comes back, split columns are filled or refused, files are whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.cells import ReadOptions
from data.schema import Column, Kind, Schema
from data.sources import open_source
from data.splits import SplitRule, split_table
from data.tables import Table, load_kept, row_digests
from training.errors import CannotRetrain
from training.lessons import Labelled, Shape, joined, table_of, write

SCHEMA = Schema(
    (
        Column("area", "number"),
        Column("garden", "boolean"),
        Column("zip", "category", categories=("01067", "20095")),
        Column("built", "datetime"),
    ),
    target="price",
)
EVERY_KIND: dict[str, Kind | None] = {
    "agent": "category",
    "seen": "number",
    "sold": "datetime",
    "new": "boolean",
    "empty": None,
}
RULE = SplitRule(
    "hash", ("area", "zip", "agent"), 0.2, kinds={"area": "number", "zip": "category", "agent": "category"}
)
SHAPE = Shape("houses", SCHEMA, RULE)


def rows(count: int = 60) -> Labelled:
    """Rows of every kind, with gaps."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": np.where(np.arange(count) == 3, np.nan, random.uniform(1, 9, count)),
            "garden": np.where(np.arange(count) == 4, np.nan, np.arange(count) % 2.0),
            "zip": pd.Series([None if row == 5 else "01067" for row in range(count)], dtype=object),
            "built": pd.Series(
                [
                    None if row == 6 else f"20{10 + row % 9}-05-0{1 + row % 9}T10:00:00.000123+00:00"
                    for row in range(count)
                ],
                dtype=object,
            ),
        }
    )
    return Labelled(
        frame,
        random.normal(size=count),
        random.normal(size=count),
        np.full(count, "2026-03-01"),
        np.datetime64("2026-03-01", "us") + np.arange(count).astype("timedelta64[s]"),
        np.array([f"id-{row}" for row in range(count)], dtype=object),
        np.full(count, "1"),
    )


def read_back(table: Table, path: Path, kinds: Mapping[str, Any]) -> Table:
    """What a training reads."""
    write(path, table)
    return load_kept(open_source(str(path)), kinds, ReadOptions())


def test_each_kind_comes_back_as_it_was_and_rows_keep_their_side(tmp_path: Path) -> None:
    """A postal code stays text, a gap a gap, a microsecond a microsecond; the split sees the same values."""
    table = table_of(rows(), SHAPE, "captured")
    again = read_back(table, tmp_path / "t.parquet", RULE.kinds)
    assert {name: again.kinds[name] for name in SCHEMA.names} == {
        each.name: each.kind for each in SCHEMA.columns
    }
    for name in ("area", "garden"):
        np.testing.assert_array_equal(again.numbers(name), table.numbers(name))
    assert again.frame["zip"].tolist() == table.frame["zip"].tolist()
    built = [None if cell is None else pd.Timestamp(cell).tz_localize(None) for cell in again.frame["built"]]
    assert built == [
        None if cell is None else pd.Timestamp(cell).tz_localize(None) for cell in table.frame["built"]
    ]
    rule = replace(RULE, values="alike")
    assert (
        split_table(again, rule).mask("holdout").tolist() == split_table(table, rule).mask("holdout").tolist()
    )
    assert len(np.unique(row_digests(again, list(SCHEMA.names)))) > 30


def test_columns_that_were_left_out_of_the_features_still_split(tmp_path: Path) -> None:
    """A hash takes all columns of the first table, whatever was excluded; requests have the features alone."""
    rule = SplitRule(
        "hash", ("area", *EVERY_KIND), 0.2, kinds={"area": "number", **EVERY_KIND}, values="alike"
    )
    again = read_back(
        table_of(rows(), replace(SHAPE, rule=rule), "captured"), tmp_path / "t.parquet", rule.kinds
    )
    assert 2 < split_table(again, rule).mask("holdout").sum() < 30


def test_a_moment_is_that_of_the_prediction_where_rows_are_split_by_time(tmp_path: Path) -> None:
    """The newest rows are held out."""
    rule = SplitRule("time", ("sold",), 0.2, kinds={"sold": "datetime"})
    shape = replace(SHAPE, rule=rule, time_column="sold")
    again = read_back(table_of(rows(), shape, "captured"), tmp_path / "t.parquet", shape.rule.kinds)
    held_out = split_table(again, shape.rule).mask("holdout")
    assert np.flatnonzero(held_out).tolist() == list(range(48, 60))


@pytest.mark.parametrize("column", ["sold", "agent"])
def test_so_is_the_time_that_a_training_under_another_split_was_told_of(column: str) -> None:
    """The challenger's monitor knows its days; the column may be one of those that are hashed, too."""
    table = table_of(rows(), replace(SHAPE, time_column=column), "captured")
    np.testing.assert_array_equal(
        table.moments(column), rows().times.astype("datetime64[us]").astype(float) / 1e6
    )


def test_rows_that_a_key_tells_apart_have_the_prediction_for_one() -> None:
    """No request has the key of a sale that is still to come."""
    shape = replace(SHAPE, rule=SplitRule("hash", ("sale",), 0.2, keyed=True, kinds={"sale": "category"}))
    assert table_of(rows(), shape, "captured").frame["sale"].tolist()[:2] == ["id-0", "id-1"]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (replace(SHAPE, weight="size"), "weighted by 'size'"),
        (replace(SHAPE, rule=SplitRule("group", ("owner",))), "split by 'owner'"),
        (replace(SHAPE, rule=SplitRule("column", ("side",))), "split by 'side'"),
        (
            replace(SHAPE, rule=SplitRule("hash", ("sale",), keyed=True, kinds={"sale": "number"})),
            "split by 'sale'",
        ),
    ],
    ids=["weight", "group", "column", "a key of numbers"],
)
def test_what_no_request_has_is_refused_by_name(shape: Shape, said: str) -> None:
    """Filled with nothing, all rows would stand on one side."""
    with pytest.raises(CannotRetrain, match=said):
        table_of(rows(), shape, "captured")


def test_a_first_table_stands_above_with_the_columns_that_count(tmp_path: Path) -> None:
    """Its other columns go; what rows are split by stays where it is known."""
    captured = table_of(rows(), SHAPE, "captured")
    first = captured.frame.head(9).assign(agent="Ann", note="x", price=1.0)
    both = joined(Table("first", first, dict(captured.kinds) | {"note": "category"}), captured)
    again = read_back(both, tmp_path / "t.parquet", RULE.kinds)
    assert again.names == captured.names
    assert again.frame["agent"].tolist() == ["Ann"] * 9 + ["captured"] * 60
    assert again.numbers("price")[:9].tolist() == [1.0] * 9


def test_a_table_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it harm the one that is there."""
    path = tmp_path / "trainings" / "t.parquet"
    write(path, table_of(rows(), SHAPE, "captured"))
    whole = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, table_of(rows(9), SHAPE, "captured"))
    assert path.read_bytes() == whole
    assert [each.name for each in path.parent.iterdir()] == ["t.parquet"]
    assert path.stat().st_mode & 0o077 == 0
