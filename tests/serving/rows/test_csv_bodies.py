"""CSV bodies: no row is lost, and what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.errors import BrokenQuote
from data.schema import Column, Schema
from data.sources import open_source
from serving.batch import score_file
from serving.errors import Malformed
from serving.rows.decoding import Rows, from_table
from serving.rows.media import CSV
from serving.scorer.scoring import Scorer
from serving.settings import Limits

SCHEMA = Schema((Column("x", "number"), Column("c", "category", categories=("a", "b\r\nc"))), target="y")
ONE = Schema((Column("x", "number"),), target="y")


def read(body: str | bytes, schema: Schema = SCHEMA) -> Rows:
    """Read a CSV body as the server does."""
    return from_table(body.encode() if isinstance(body, str) else body, CSV, schema, Limits())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('x,c\n1,"5 inch\n4,b\n7,c', "line 2: the quote that opens here never closes"),
        ('\ufeffx,c\r\n1,a\r\n1,"5 inch\r\n4,b', "line 3: the quote that opens here never closes"),
        ('x,"c\n1,a', "line 1: the quote that opens here never closes"),
        (
            'x,c\n1,"5" inch\n4,b',
            "line 2: the quote that opens here closes later in the line and text follows",
        ),
        ('x,c\n1,"5 inch\n4,"6 inch\n', "line 2: the quote that opens here closes 1 line further down"),
        ("x,c\n1,a\n2\n", "record 3 .*has 1 fields, the header has 2"),
        ("x,c\n1,a\n2,b,3\n", "record 3 .*has 3 fields, the header has 2"),
    ],
)
def test_a_body_that_would_lose_rows_is_refused(body: str, says: str) -> None:
    """With 200 and one prediction for three rows nobody notices."""
    with pytest.raises(Malformed, match=says) as caught:
        read(body)
    assert "inch" not in str(caught.value)


def test_inch_marks_within_a_cell_are_text() -> None:
    """A quote opens a cell only at its start."""
    assert read('x,c\n1,5" inch\n2,6"\n3,"a"\n').matrix[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("body", ["x\n1\n\n3\n", "x\r\n1\r\n\r\n3", "x\r1\r\r3", "x\n1\n2\n\n"])
def test_an_empty_line_of_one_column_is_refused(body: str) -> None:
    """It was skipped, and so one answer less than rows; polars writes a missing value so."""
    with pytest.raises(Malformed, match=r"line [34]: is empty.*write \"\" for a missing value"):
        read(body, ONE)
    assert len(read('x\n1\n""\n3', ONE).matrix) == 3


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_end_gives_every_row(ending: str) -> None:
    """Counted independently; empty lines between rows of two columns are none."""
    lines = ["x,c", "1,a", "", "2,a", "3,a"]
    assert read(ending.join(lines)).matrix[:, 0].tolist() == [1, 2, 3]


def test_a_known_category_of_two_lines_is_known_in_every_row() -> None:
    """A border of 1 MiB between CR and LF lost the LF, and scored the row as unknown."""
    rows = read(b"x,c\n" + b'1,"b\r\nc"\r\n' * 250_000)
    assert (rows.matrix[:, 1] == 1).all() and len(rows.matrix) == 250_000
    assert not rows.unseen


def test_a_header_of_more_than_a_mebibyte_is_read() -> None:
    """9,003 columns are within the limit, and so are their names."""
    names = ["x", "c", *(f"column {place} {'z' * 110}" for place in range(9_001))]
    rows = read(",".join(names) + "\n" + ",".join(["1"] * 9_003))
    assert (rows.matrix[0, 0], rows.extra) == (1.0, 9_001)


class Stub:
    """A scorer that predicts its first column."""

    schema = SCHEMA

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return it."""
        return matrix[:, 0]


def score(path: Path) -> Path:
    """Score a file beside itself."""
    score_file(cast("Scorer", Stub()), open_source(str(path)), output := path.with_name("out.csv"))
    return output


def test_a_file_to_score_is_refused_with_its_place(tmp_path: Path) -> None:
    """And no file is written."""
    path = tmp_path / "rows.csv"
    path.write_text('x,c\n1,a\n2,"5 inch\n3,a\n4,a\n')
    with pytest.raises(BrokenQuote, match=r"rows.csv, line 3: the quote that opens here never closes"):
        score(path)
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]


def test_a_file_to_score_may_have_lines_in_quotes_at_a_blocks_border(tmp_path: Path) -> None:
    """As the server reads them."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"x,c\r\n" + b'1,"b\r\nc"\r\n' * 200_000)
    assert pd.read_csv(score(path), lineterminator="\n")["c"].unique().tolist() == ["b\r\nc"]
