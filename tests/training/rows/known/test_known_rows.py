"""One file means the same at every door: over HTTP, in `score`, and in training against a version's schema."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.cells import Reading
from data.errors import OtherKind, UnusableColumn
from data.schema import MISSING_WORDS, Column, Schema
from data.sources import open_source
from data.tables import load_table
from serving.batch import score_file
from serving.errors import FaultyRows, UnusableValues
from serving.rows.cells.coercion import pack_columns, pack_row
from serving.rows.decoding import from_table
from serving.rows.media import CSV
from serving.scorer.scoring import Scorer
from serving.settings import Limits
from training.compiling import pack_frame
from training.rows.known.known_rows import load_known

SUFFIXES = Schema(
    (
        Column("suffix", "category", categories=("", "Jr", "None")),
        Column("word", "category", categories=("NA", "a")),
        Column("x", "number", missing=True),
        Column("when", "datetime", missing=True),
        Column("flag", "boolean", missing=True),
    ),
    target="y",
)
HEADER = list(SUFFIXES.names)


@dataclass
class Stub:
    """A scorer that keeps the matrix that it is asked with."""

    schema: Schema
    matrix: Any = None

    def predict(self, matrix: Any) -> Any:
        """Return zeros."""
        self.matrix = matrix if self.matrix is None else np.concatenate([self.matrix, matrix])
        return np.zeros(len(matrix))


def written(rows: list[tuple[str, ...]], *, quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    """Write rows as Python does."""
    sink = io.StringIO()
    csv.writer(sink, quoting=quoting).writerows([HEADER, *rows])
    return sink.getvalue().encode()


def at_every_door(body: bytes, schema: Schema = SUFFIXES) -> list[Any]:
    """Return the matrix at each door, or the row and column of the first fault."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(body)
        return [_over_http(body, schema), _in_batch(path, schema), _in_training(path, schema)]


def _over_http(body: bytes, schema: Schema) -> Any:
    try:
        return from_table(body, CSV, schema, Limits()).matrix
    except UnusableValues as error:
        first = error.faults[0]
        return first.row + 1, first.column


def _in_batch(path: Path, schema: Schema) -> Any:
    scorer = Stub(schema)
    try:
        score_file(cast("Scorer", scorer), open_source(str(path)), path.with_name("out.csv"))
    except FaultyRows as error:
        first = error.faults[0]
        return first.row, first.column
    return scorer.matrix


def _in_training(path: Path, schema: Schema) -> Any:
    try:
        return pack_frame(load_known(open_source(str(path)), schema).frame, schema)
    except UnusableColumn as error:
        return error.row, error.column


def assert_alike(found: list[Any]) -> None:
    """The doors agree, on a matrix or on a refusal."""
    for other in found[1:]:
        if isinstance(found[0], tuple) or isinstance(other, tuple):
            assert found[0] == other, found
        else:
            np.testing.assert_array_equal(found[0], other)


WORDS = st.sampled_from([*MISSING_WORDS, "Jr", "a", "zz", " NA ", "none", "0"])
NUMBERS = st.sampled_from(
    [
        *MISSING_WORDS,
        *("1", " 2.5 ", "-3e4", "+7", "007", ".5", "5.", "9007199254740993", "9007199254740992"),
        *("inf", "1_000", "x", "\u00a01", "0x1", "1,5", "- 1", "1e400", "٣"),
    ]
)
DATES = st.sampled_from(
    [
        *MISSING_WORDS,
        *("2020-01-31", "2020-01-31 05:00", "2020-01-31T05:00:00.25+02:00", "2020-02-30", "x"),
        *(" 2020-01-31 ", "1600-01-01", "2020-01-31T05:00:00.123456789Z", "0001-01-01"),
    ]
)
FLAGS = st.sampled_from([*MISSING_WORDS, "true", "False", "TRUE", "1", "0", "1.0", "2", "yes"])


def ends_in_a_row(rows: list[tuple[str, ...]]) -> bool:
    """Whether the last row is no line of nothing but separators, which a file may end in and a request may not."""
    return any(map(str.strip, rows[-1]))


ROWS = st.lists(st.tuples(WORDS, WORDS, NUMBERS, DATES, FLAGS), min_size=1, max_size=8).filter(ends_in_a_row)


@settings(max_examples=150)
@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
@example([("Jr", "NA", "", "", "")], csv.QUOTE_MINIMAL)
@example([("", "", "1.0", "2020-01-31", "true")], csv.QUOTE_MINIMAL)
@example([("", "", "", "2020-01-31T05:00:00.123456789Z", ""), ("", "", "", "1600-01-01", "")], csv.QUOTE_ALL)
@example([("None", "None", "None", "<NA>", "None")], csv.QUOTE_ALL)
def test_one_file_is_one_matrix_or_one_refusal_at_every_door(
    rows: list[tuple[str, ...]], quoting: Any
) -> None:
    """Which words are missing differed by door, and by which other column has such a word."""
    assert_alike(at_every_door(written(rows, quoting=quoting)))


@settings(max_examples=60)
@given(st.data())
def test_cells_that_can_be_used_are_used_alike(data: st.DataObject) -> None:
    """Most random rows hold a fault; these hold none, so that matrices are compared."""
    numbers = st.sampled_from([*MISSING_WORDS, "1", " 2.5 ", "-3e4", "+7", "007", ".5", "9007199254740992"])
    dates = st.sampled_from(
        [*MISSING_WORDS, "2020-01-31", " 2020-01-31 05:00", "2020-01-31T05:00:00.25+02:00"]
    )
    flags = st.sampled_from([*MISSING_WORDS, "true", "False", "1", "0"])
    drawn = st.lists(st.tuples(WORDS, WORDS, numbers, dates, flags), min_size=1, max_size=8)
    rows = data.draw(drawn.filter(ends_in_a_row))
    found = at_every_door(written(rows))
    assert not isinstance(found[0], tuple), found
    assert_alike(found)


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_a_word_is_missing_unless_its_own_column_knows_it(word: str) -> None:
    """Numbers, dates and booleans: the whole list; a category: the list less its own categories."""
    for matrix in at_every_door(written([(word, word, word, word, word)], quoting=csv.QUOTE_ALL)):
        expected = [SUFFIXES["suffix"].codes.get(word, np.nan), SUFFIXES["word"].codes.get(word, np.nan)]
        np.testing.assert_array_equal(matrix, [[*expected, np.nan, np.nan, np.nan]])


def test_the_two_columns_of_the_report_are_scored_alike() -> None:
    """An empty suffix that training knows, and an empty number beside it."""
    schema = Schema((SUFFIXES["suffix"], SUFFIXES["x"]), target="y")
    for matrix in at_every_door(b"suffix,x\n,1.0\nJr,\n", schema):
        np.testing.assert_array_equal(matrix, [[0, 1.0], [1, np.nan]])


def test_a_first_training_takes_the_whole_list(tmp_path: Path) -> None:
    """It has no categories yet: a number's `None` is a gap, and not what makes its column text."""
    (tmp_path / "rows.csv").write_text("x,c\n1,a\nNone,<NA>\n<NA>,None\n2.5,b\n")
    table = load_table(open_source(str(tmp_path / "rows.csv")))
    assert table.kinds == {"x": "number", "c": "category"}
    assert table.frame["c"].tolist() == ["a", None, None, "b"]


def test_digits_stay_the_categories_that_they_are(tmp_path: Path) -> None:
    """A later table of codes that are all digits was taken for numbers, and every row was unknown."""
    schema = Schema((Column("code", "category", categories=("7", "x")),), target="y")
    for matrix in at_every_door(b"code,y\n7,1\n7,2\n", schema):
        assert matrix[:, 0].tolist() == [0, 0]


def test_rows_are_told_apart_as_in_the_training(tmp_path: Path) -> None:
    """A version's held-out rows are found by the cells of its own table, so these must not change."""
    body = "when,flag,suffix,x,y\n 2020-01-31 05:00,True,Jr,1.50,3\n2020-02-01 05:00,,II,,4\n"
    (tmp_path / "rows.csv").write_text(body)
    source = open_source(str(tmp_path / "rows.csv"))
    schema = Schema(tuple(Column(name, SUFFIXES[name].kind) for name in ("suffix", "x", "when", "flag")), "y")
    plain, known = load_table(source), load_known(source, schema)
    assert plain.kinds == known.kinds
    pd.testing.assert_frame_equal(plain.frame, known.frame)


SPOKEN = Schema(
    (
        Column(
            "price",
            "number",
            missing=True,
            reading=Reading("number", thousands=",", mark="$", missing=("?",)),
        ),
        Column("rate", "number", missing=True, reading=Reading("number", decimal=",", missing=("-200",))),
        Column("when", "datetime", missing=True, reading=Reading("date", order="dmy")),
        Column("takes", "number", missing=True, reading=Reading("duration", unit="minutes")),
        Column(
            "flag",
            "boolean",
            missing=True,
            reading=Reading("boolean", true="ja", false="nein", missing=("-",)),
        ),
        Column("town", "category", categories=("Bonn", "Ulm"), reading=Reading("text", missing=("?",))),
    ),
    target="y",
)
SPOKEN_CELLS = (
    ["$1,234.50", "-$5", "12", "?", "", "1.234", "$1,23", "5 €", "9,007,199,254,740,993", "007"],
    ["12,5", "-200", "-200,0", "7", "1.234", "", "1,5e3", "x"],
    ["31.12.2024", "1.2.2024 08:15", "2024-02-29", "31.02.2024", "", "12/31/2024"],
    ["1h 20m", "45 min", "80", "", "2 hours"],
    ["ja", "NEIN", "true", "-", "", "0", "yes"],
    ["Bonn", "Ulm", "?", "", " Bonn", "Rom"],
)


def over_json(rows: list[tuple[str, ...]], schema: Schema) -> Any:
    """The matrix that texts in JSON make, one row at a time and all at once, or the first fault."""
    records = [dict(zip(schema.names, [cell or None for cell in row], strict=True)) for row in rows]
    columns = {name: [record[name] for record in records] for name in schema.names}
    packed = pack_columns(columns, schema)
    single = [pack_row(record, schema) for record in records]
    assert sum(each.n_faults for each in single) == packed.n_faults
    if packed.faults:
        return packed.faults[0].row + 1, packed.faults[0].column  # type: ignore[operator]
    np.testing.assert_array_equal(np.concatenate([each.matrix for each in single]), packed.matrix)
    return packed.matrix


@settings(max_examples=100)
@given(st.lists(st.tuples(*map(st.sampled_from, SPOKEN_CELLS)), min_size=1, max_size=6))
@example([tuple(cells[place] for cells in SPOKEN_CELLS) for place in (0, 1)])
def test_texts_that_people_write_mean_the_same_at_every_door(rows: list[tuple[str, ...]]) -> None:
    """Over HTTP as CSV and as JSON, in `score` and in training: one function reads them."""
    sink = io.StringIO()
    csv.writer(sink).writerows([SPOKEN.names, *rows])
    assert_alike([*at_every_door(sink.getvalue().encode(), SPOKEN), over_json(rows, SPOKEN)])


def test_what_people_write_is_read_rightly() -> None:
    """The doors could agree on a wrong value."""
    row = ("-$1,234.50", "-200,0", "1.2.2024", "1h 20m", "NEIN", "?")
    matrix = over_json([row, ("12", "12,5", "2024-02-01", "45 min", "ja", "Ulm")], SPOKEN)
    expected = [[-1234.5, np.nan, 1706745600, 80, 0, np.nan], [12, 12.5, 1706745600, 45, 1, 1]]
    np.testing.assert_array_equal(matrix, expected)


def test_plain_values_of_json_are_taken_as_they_are() -> None:
    """A client that has numbers sends numbers; those that mean a gap are one."""
    columns = {"price": [1234.5, None], "rate": [-200.0, -200], "takes": [80, 1.5], "flag": [True, 0]}
    columns |= {"when": ["2024-02-01", None], "town": ["Bonn", None]}
    packed = pack_columns(columns, SPOKEN)
    assert not packed.faults
    assert np.isnan(packed.matrix[:, 1]).all()
    floats = {name: np.array([1.0, -200.0]) for name in ("price", "rate", "takes")}
    only = Schema(SPOKEN.columns[:2] + SPOKEN.columns[3:4], target="y")
    found = pack_columns(floats, only).matrix
    np.testing.assert_array_equal(found, [[1, 1, 1], [-200, np.nan, -200]])
    np.testing.assert_array_equal(
        pack_row({"price": 1.0, "rate": -200, "takes": 1.0}, only).matrix, [[1, np.nan, 1]]
    )


def test_columns_of_the_split_are_read_as_it_keeps_them(tmp_path: Path) -> None:
    """An id that the model does not take decides the side; `promote` with other rows must not type it anew."""
    (tmp_path / "rows.csv").write_text("x,id\n" + "".join(f"{row},{row}\n" for row in range(3)))
    schema = Schema((Column("x", "number"),), target="y")
    known = load_known(open_source(str(tmp_path / "rows.csv")), schema, {"x": "number", "id": "category"})
    assert known.frame["id"].tolist() == ["0", "1", "2"]
    with pytest.raises(OtherKind, match="row 1: column 'id' is '0'"):
        load_known(open_source(str(tmp_path / "rows.csv")), schema, {"id": "datetime"})
