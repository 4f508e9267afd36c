"""A later table's rows keep their sides whatever this month's cells look like, or one line says why not."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import OtherKind, SplitError
from data.sources import open_source
from data.splits import SplitRule, split_table
from data.tables import Kinds, Table, load_kept

NUMBERS = [str(number / 4) for number in range(200)]


def read(path: Path, text: str, kinds: Kinds | None = None) -> Table:
    """The table of a text file, read by the kinds that a split keeps."""
    path.write_text(text)
    return load_kept(open_source(str(path)), kinds or {})


def column(cells: list[str], others: int = 1) -> str:
    """A CSV file of one column `c` beside a number that tells the rows apart."""
    return "c,i\n" + "".join(f"{cell},{row}.5\n" for row, cell in enumerate(cells, start=others))


def kept_rule(table: Table) -> SplitRule:
    """The rule that a first training of a name would store, through its JSON form."""
    rule = SplitRule("hash", ("c", "i"), salt="houses", kinds=table.kinds, values="alike")
    return SplitRule.from_dict(split_table(table, rule).rule.as_dict())


@pytest.mark.parametrize(
    ("cells", "later"),
    [
        (["1", "2", "30"], "A7"),  # codes that are all digits, and one month some are not
        (["9007199254740993", "4", "5"], "A7"),
        (["true", "False", "true"], "0"),
        (["0", "1", "1"], "true"),
        (["true", "false", "0"], "yes"),
    ],
)
def test_a_column_of_another_kind_leaves_old_rows_where_they_were(
    tmp_path: Path, cells: list[str], later: str
) -> None:
    """Both ways: the first table has the stranger and later ones have not, so the column looks like another kind."""
    first = [*cells * 30, later]
    table = read(tmp_path / "t.csv", column(first))
    rule = kept_rule(table)
    again = read(tmp_path / "t.csv", column(first[:-1]), rule.kinds)
    expected = split_table(table, rule).sides[:-1]
    np.testing.assert_array_equal(split_table(again, rule).sides, expected)
    assert again.kinds["c"] == table.kinds["c"]


@pytest.mark.parametrize(
    ("cells", "cell"),
    [
        (NUMBERS, "12 km"),
        (NUMBERS, "007"),
        (NUMBERS, "9007199254740993"),
        (NUMBERS, "2024-01-31"),
        (["true", "false"] * 40, "maybe"),
        (["true", "false"] * 40, "2"),
        (["2024-01-31", "2024-02-29T08:15"] * 40, "31.01.24"),
        (["2024-01-31", "2024-02-29T08:15"] * 40, "2024-02-31"),
    ],
)
def test_a_cell_that_is_not_what_its_column_was_is_named(tmp_path: Path, cells: list[str], cell: str) -> None:
    """One stray text made a column of numbers text, and most held-out rows became training rows without a word."""
    kinds = read(tmp_path / "t.csv", column(cells)).kinds
    with pytest.raises(OtherKind, match="row 11: column 'c' is " + repr(cell)) as error:
        read(tmp_path / "t.csv", column([*cells[:10], cell, *cells[10:]]), kinds)
    assert "name=" in str(error.value)


@pytest.mark.parametrize("gap", ["?", "-", "#DIV/0!"])
def test_a_word_that_can_only_be_a_gap_moves_no_row(tmp_path: Path, gap: str) -> None:
    """It is read as missing, so the column stays a column of numbers."""
    table = read(tmp_path / "t.csv", column(NUMBERS))
    rule = kept_rule(table)
    again = read(tmp_path / "t.csv", column([*NUMBERS, gap]), rule.kinds)
    assert again.kinds["c"] == "number"
    expected = split_table(table, rule).sides
    np.testing.assert_array_equal(split_table(again, rule).sides[: len(NUMBERS)], expected)


def test_words_for_yes_and_no_stay_the_categories_that_they_were(tmp_path: Path) -> None:
    """Versions from before such words were read as booleans told rows apart by the words."""
    table = read(tmp_path / "t.csv", column(["yes", "no"] * 40), {"c": "category", "i": "number"})
    assert table.kinds["c"] == "category"
    assert not table.readings


def test_a_date_is_no_number(tmp_path: Path) -> None:
    """A year is not the moment that it begins: a stored boundary in seconds would hold out nothing."""
    kinds = read(tmp_path / "t.csv", column(["2024-01-31"] * 60)).kinds
    with pytest.raises(OtherKind, match=r"row 1: column 'c' is '2024' \(59 more rows"):
        read(tmp_path / "t.csv", column(["2024"] * 60), kinds)


def test_leading_zeros_are_kept_where_a_column_was_text(tmp_path: Path) -> None:
    """`01` and `1` are two shops, though this month none has a zero in front."""
    kinds = read(tmp_path / "t.csv", column(["01", "1", "2"] * 20)).kinds
    table = read(tmp_path / "t.csv", column(["1", "2.50", "+3"] * 20), kinds)
    assert table.frame["c"].tolist()[:3] == ["1", "2.50", "+3"]


def test_a_column_that_was_empty_decides_nothing_when_it_is_filled(tmp_path: Path) -> None:
    """Its cells said nothing about any row, and so they say nothing later."""
    empty = read(tmp_path / "t.csv", column([""] * 80))
    rule = kept_rule(empty)
    filled = read(tmp_path / "t.csv", column(NUMBERS[:80]), rule.kinds)
    np.testing.assert_array_equal(split_table(filled, rule).sides, split_table(empty, rule).sides)


def test_a_column_that_is_empty_now_is_named(tmp_path: Path) -> None:
    """Every row would have another digest than before."""
    rule = kept_rule(read(tmp_path / "t.csv", column(NUMBERS)))
    empty = read(tmp_path / "t.csv", column([""] * 80), rule.kinds)
    with pytest.raises(SplitError, match="column 'c' is empty in every row"):
        split_table(empty, rule)


def test_a_table_that_was_read_otherwise_is_refused(tmp_path: Path) -> None:
    """A caller that forgets the kinds must not move rows silently."""
    rule = kept_rule(read(tmp_path / "t.csv", column(NUMBERS)))
    with pytest.raises(SplitError, match="'c' holds texts"):
        split_table(read(tmp_path / "t.csv", column([*NUMBERS, "12 km"])), rule)


def test_whole_numbers_of_a_typed_file_are_text_where_they_were(tmp_path: Path) -> None:
    """One id beyond 2^53 made the column text; next month's ids are smaller. A fraction was never such an id."""
    for cells in ([1, 2, 2**53 + 1] * 20, [1, 2, 3] * 20, [1.5] * 60):
        pq.write_table(pa.table({"c": cells, "i": np.arange(60) + 0.5}), tmp_path / f"{cells[2]}.parquet")
    first = load_kept(open_source(str(tmp_path / f"{2**53 + 1}.parquet")), {})
    later = load_kept(open_source(str(tmp_path / "3.parquet")), first.kinds)
    rule = kept_rule(first)
    same = first.frame["c"].eq(later.frame["c"]).to_numpy()
    assert same.sum() == 40
    np.testing.assert_array_equal(split_table(first, rule).sides[same], split_table(later, rule).sides[same])
    with pytest.raises(OtherKind, match=r"row 1: column 'c' is '1\.5'"):
        load_kept(open_source(str(tmp_path / "1.5.parquet")), first.kinds)


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.none() | st.integers(-(10**6), 10**6) | st.floats(-1e9, 1e9).map(lambda x: round(x, 6)),
    "boolean": st.none() | st.booleans(),
    "date": st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)),
    "datetime": st.none() | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)),
    "text": st.none() | st.sampled_from(["a", "b c", "ü", "NA", "", "x1", "01"]),
}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(CELLS)), data=st.data())
def test_csv_and_parquet_of_the_same_rows_have_the_same_sides(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    """Who moves from files to a warehouse keeps the holdout, in both directions."""
    cells = data.draw(st.lists(CELLS[kind], min_size=40, max_size=60))
    kept = ["x"] if kind == "text" else [cell for cell in cells if cell is not None][:1]
    if not kept:
        return
    values = [float(cell) if kind == "number" and cell is not None else cell for cell in [*cells, *kept]]
    frame = pd.DataFrame({"c": pd.Series(values, dtype=object), "i": np.arange(len(values)) + 0.5})
    frame.to_csv(tmp_path / "t.csv", index=False)
    pq.write_table(pa.table({"c": values, "i": frame["i"]}), tmp_path / "t.parquet")
    for one, other in (("t.csv", "t.parquet"), ("t.parquet", "t.csv")):
        first = load_kept(open_source(str(tmp_path / one)), {})
        rule = kept_rule(first)
        later = load_kept(open_source(str(tmp_path / other)), rule.kinds)
        np.testing.assert_array_equal(split_table(first, rule).sides, split_table(later, rule).sides)


def test_rules_from_before_kinds_split_as_they_did(tmp_path: Path) -> None:
    """A date was digested as it stands; neither the kinds that were found out since nor the new encoding move it."""
    table = read(tmp_path / "t.csv", column(["2024-01-31", "2024-02-29 08:15"] * 40))
    old = SplitRule("hash", ("c", "i"), salt="houses")
    written = {name: value for name, value in old.as_dict().items() if name not in ("kinds", "values")}
    stored = SplitRule.from_dict(written)
    np.testing.assert_array_equal(split_table(table, stored).sides, split_table(table, old).sides)
    known = replace(stored, kinds=table.kinds)
    np.testing.assert_array_equal(split_table(table, known).sides, split_table(table, old).sides)
