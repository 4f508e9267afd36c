"""A table read in parts has the kinds, readings and cells of the whole, in any parts, and says the same of a fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from data.cells import NO_OPTIONS, Reading, ReadOptions
from data.cells.discovery import parted_texts
from data.errors import DataError, UnreadableSource
from data.sources import Source, open_source
from data.tables import Kinds, Table, arrow_kinds, fingerprint, load_kept, row_digests
from data.tables.streams import ColumnFacts, Digests, Form, Smallest, form_of, sizes

ROWS = 30


@dataclass(frozen=True)
class Parts(Source):
    """A table in memory, in parts of so many rows."""

    table: pa.Table = field(default=None, repr=False)
    rows_of_a_part: int = 7

    def batches(self, rows: int = 0) -> Iterator[pa.RecordBatch]:
        """Yield the parts."""
        yield from self.table.combine_chunks().to_batches(max_chunksize=self.rows_of_a_part)


def source(columns: dict[str, Sequence[object]], *, is_text: bool = True, part: int = 7) -> Parts:
    """Return a source of columns, each cell text where it is a text file's."""
    kinds = dict.fromkeys(columns, pa.string()) if is_text else {}
    arrays = {name: pa.array(cells, kinds.get(name)) for name, cells in columns.items()}
    return Parts("t.csv", is_text, pa.table(arrays), part)


def joined(form: Form) -> Table:
    """Return all rows of a form."""
    tables = list(form.tables())
    frame = {
        name: np.concatenate([table.frame[name].to_numpy() for table in tables]) for name in form.head.names
    }
    series = {name: pd.Series(values, dtype=values.dtype) for name, values in frame.items()}
    return Table(form.head.where, pd.DataFrame(series), tables[0].kinds, tables[0].readings)


TEXTS: dict[str, list[object]] = {
    "plain": [f"{row / 8}" for row in range(ROWS)],
    "late": [*map(str, range(ROWS - 1)), "n2"],
    "leading": [*map(str, range(ROWS - 1)), "007"],
    "late_date": [*["2024-01-31"] * (ROWS - 1), "soon"],
    "date": ["2024-01-31"] * ROWS,
    "switch": ["true", "FALSE"] * (ROWS // 2),
    "numbered_switch": [*["true"] * (ROWS - 1), "1"],
    "empty": [None] * ROWS,
    "gaps": [None] * (ROWS - 1) + ["5"],
    "money": [f"{row},{row % 10}5 €" for row in range(ROWS)],
    "comma": [f"{row},5" for row in range(ROWS)],
    "grouped": [f"{row % 9 + 1}.{row:03}" for row in range(ROWS)],
    "days_first": [f"{row % 28 + 1:02}/03/2024" for row in range(ROWS)],
    "words": [" x", "y ", None] * (ROWS // 3),
    "beyond": [*["1"] * (ROWS - 1), str(2**53)],
}
TYPED: dict[str, list[object]] = {
    "whole": [*range(ROWS - 1), 2**53 + 1],
    "number": [*[0.5] * (ROWS - 1), float("nan")],
    "nothing": [float("nan")] * ROWS,
    "flag": [True, None] * (ROWS // 2),
    "name": ["a", None, " b"] * (ROWS // 3),
    "moment": list(pd.date_range("2024-01-01", periods=ROWS)),
}


KNOWN = ReadOptions(missing=("words: x", "3")).with_known(
    {
        "plain": Reading("number"),
        "grouped": Reading("number"),
        "comma": Reading("number", decimal=","),
        "money": Reading("text"),
    }
)


@pytest.mark.parametrize("part", [4, ROWS])
@pytest.mark.parametrize(
    ("columns", "kept", "options"),
    [
        (TEXTS, {}, NO_OPTIONS),
        (TEXTS, {"plain": "category", "late": "category", "empty": "number"}, NO_OPTIONS),
        (TEXTS, {}, ReadOptions(read=(("late", "number"), ("plain", "text")), missing=("3", "x"))),
        (TEXTS, {"words": "category"}, KNOWN),
        (TYPED, {}, NO_OPTIONS),
        (TYPED, {"whole": "category", "flag": "number"}, ReadOptions(missing=("number:0.5", "name:a"))),
    ],
)
def test_the_parts_have_the_cells_of_the_whole(
    columns: dict[str, list[object]], kept: Kinds, options: ReadOptions, part: int
) -> None:
    """A side follows from a row's cells: one that is read otherwise in its part would stand on another."""
    rows = source(columns, is_text=columns is TEXTS, part=part)
    whole, form = load_kept(rows, kept, options), form_of(rows, kept, options)
    assert (form.head.kinds, form.head.readings) == (whole.kinds, whole.readings)
    assert {name: str(doubt) for name, doubt in form.head.doubts.items()} == {
        name: str(doubt) for name, doubt in whole.doubts.items()
    }
    assert form.head.noticed == whole.noticed
    pd.testing.assert_frame_equal(joined(form).frame, whole.frame)
    assert fingerprint(joined(form)) == fingerprint(whole)


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"x": [*map(str, range(ROWS - 1)), "seven"]}, {"x": "number"}),
        ({"x": [*["2024-01-31"] * (ROWS - 1), "soon"]}, {"x": "datetime"}),
    ],
)
def test_a_late_cell_of_another_kind_is_said_with_its_row(
    columns: dict[str, list[object]], kept: Kinds
) -> None:
    """Its number in its part would send people to another row."""
    rows, said = source(columns), []
    for read in (lambda: load_kept(rows, kept), lambda: joined(form_of(rows, kept, NO_OPTIONS))):
        with pytest.raises(DataError, match=f"row {ROWS}: column 'x'") as caught:
            read()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_bytes_that_are_no_text_are_said_with_their_row() -> None:
    """They were the first of their part."""
    wrong = pa.array([b"a"] * (ROWS - 1) + [b"\xff"]).cast(pa.binary()).view(pa.string())
    rows = Parts("t.parquet", False, pa.table({"x": wrong}))
    says = f"column 'x', row {ROWS}: holds bytes"
    form = form_of(rows, {}, NO_OPTIONS)
    assert str(form.head.doubts["x"]).startswith(says)
    assert joined(form).frame["x"].isna().all()
    with pytest.raises(DataError, match=says):
        form_of(rows, {"x": "category"}, NO_OPTIONS)


def test_texts_that_no_memory_holds_are_refused_with_what_settles_them() -> None:
    """They say together how they are read: a part of them might say something else."""
    with pytest.raises(UnreadableSource, match=r"the texts of name take more than 0 MB.*read=name:text"):
        form_of(source({"name": ["12 km"] * ROWS}), {}, NO_OPTIONS, most_bytes=100)
    said = ReadOptions(read=(("name", "text"),))
    assert form_of(source({"name": ["12 km"] * ROWS}), {}, said, most_bytes=100).head.kinds == {
        "name": "category"
    }


def test_words_of_which_there_are_few_are_not_held_to_know_that_they_are_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numbers above the first of them say nothing of a decimal mark, either; more words are held as before."""
    monkeypatch.setattr(parted_texts, "MANY", 4)
    columns = {
        "shop": ["shop 1", "shop 2", None] * (ROWS // 3),
        "code": ["1.234"] * (ROWS // 2) + ["n0ne"] * (ROWS // 2),
        "gap": ["-"] * (ROWS - 1) + ["a"],
    }
    form = form_of(source(columns), {}, NO_OPTIONS, most_bytes=0)
    whole = load_kept(source(columns), {})
    pd.testing.assert_frame_equal(joined(form).frame, whole.frame)
    assert (form.head.kinds, form.head.readings) == (whole.kinds, whole.readings)
    with pytest.raises(UnreadableSource, match="the texts of name take more than 0 MB"):
        form_of(source({"name": [f"a{row % 6}" for row in range(ROWS)]}), {}, NO_OPTIONS, most_bytes=0)


def digests_of(count: int) -> NDArray[np.uint64]:
    """Return numbers as digests are, some of them twice."""
    numbers = np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64)
    numbers[: count // 4] = numbers[-(count // 4) :]
    return numbers


def test_a_fingerprint_in_parts_is_that_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version is rebuilt from the same table: however it was read."""
    monkeypatch.setattr("data.tables.streams.digests.AT_ONCE", 50)
    table = load_kept(source({"x": list(map(str, range(ROWS))), "y": ["a"] * ROWS}), {})
    kept = Digests(tmp_path, "rows")
    for part in np.array_split(row_digests(table, ["x", "y"])[::-1], 9):
        kept.add(part)
    assert kept.fingerprint(table.names) == fingerprint(table)


def test_different_digests_are_counted_and_named_while_they_are_few(tmp_path: Path) -> None:
    """The sides of few groups are dealt by their sizes; those of a million need no dealing."""
    digests = digests_of(1_000)
    kept = Digests(tmp_path, "blocks")
    kept.add(digests)
    values, counts = np.unique(digests, return_counts=True)
    count, found, times = kept.distinct(most=750)
    assert (count, found.tolist(), times.tolist()) == (750, values.tolist(), counts.tolist())
    assert [len(each) for each in kept.distinct(most=749)[1:]] == [0, 0]


@pytest.mark.parametrize("part", [3, 100, 1_000])
def test_the_smallest_are_the_same_in_any_order_and_parts(part: int) -> None:
    """Equal ones go together: without one of two twins a fold would learn from the other."""
    order = digests_of(1_000)
    shuffled = np.random.default_rng(part).permutation(1_000)
    smallest = Smallest(60)
    for start in range(0, 1_000, part):
        places = shuffled[start : start + part]
        smallest.add(order[places], {"x": order[places].astype(np.float64)})
    numbers, columns = smallest.take(40)
    assert numbers.tolist() == np.sort(order)[: len(numbers)].tolist()
    assert 40 <= len(numbers) <= 41
    assert order[order == numbers[-1]].size == np.count_nonzero(numbers == numbers[-1])
    assert columns["x"].tolist() == numbers.astype(np.float64).tolist()


def test_a_text_column_of_too_many_texts_is_remembered_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id of a billion rows would fill the memory that the sample is for."""
    monkeypatch.setattr("data.tables.streams.column_facts.MOST_TEXTS", 20)
    facts = ColumnFacts("id", "category", None, tmp_path / "id")
    for start in range(0, 90, 10):
        ids = [f"id{row}" for row in range(start, start + 10)]
        facts.look(pd.Series(ids, dtype=object), np.ones(10, dtype=np.bool_))
    assert facts.distinct == 30
    facts.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ending", "cells"), [("csv", 0.3), ("parquet", 0.0), ("feather", 0.0)])
def test_a_file_knows_about_how_much_it_would_take(tmp_path: Path, ending: str, cells: float) -> None:
    """Whether it is read in parts is decided before it is read."""
    frame = pd.DataFrame({"x": np.arange(2_000) / 7, "name": ["Ulm", "Bonn"] * 1_000})
    path = tmp_path / f"t.{ending}"
    write = {"csv": lambda: frame.to_csv(path, index=False), "parquet": lambda: frame.to_parquet(path)}
    write.get(ending, lambda: frame.to_feather(path))()
    opened = open_source(str(path))
    assert opened.about_rows() == pytest.approx(2_000, rel=cells)
    assert sizes.bytes_in_memory(opened) == pytest.approx(2_000 * (8 + 70), rel=cells)


def test_a_cgroups_limit_is_what_is_free(tmp_path: Path) -> None:
    """A container of 2 GB on a machine of 64: a training that takes half of 64 is killed."""
    for name, words in {"memory.max": "2000000000", "memory.current": "500000000"}.items():
        (tmp_path / name).write_text(f"{words}\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    assert sizes.group_memory(tmp_path) == 1.6e9
    (tmp_path / "memory.max").write_text("max\n")
    assert sizes.group_memory(tmp_path) == float("inf")
    assert 0 < sizes.free_memory() < float("inf")


def test_parts_of_a_column_join_to_text_where_they_disagree() -> None:
    """As the whole would: each kind holds for every cell, or the column is text."""
    assert arrow_kinds.joined("datetime", None) == "datetime"
    assert arrow_kinds.joined("number", "datetime") == "category"
