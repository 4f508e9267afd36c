"""Reading tables: the same rows whatever the format, and one clear line where they can't be read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from data.errors import BrokenLine, DuplicateColumns, EmptySource, SourceNotFound, UnreadableSource
from data.sources import open_source
from data.tables import load_table

FRAME = pd.DataFrame({"x": [1.0, 2.5, None], "city": ["Ulm", None, "Bonn"], "y": [3.0, 4.0, 5.0]})


def written(folder: Path, ending: str) -> Path:
    """Write the same three rows in a format."""
    path = folder / f"rows.{ending}"
    if ending == "csv":
        FRAME.to_csv(path, index=False)
    elif ending == "tsv":
        FRAME.to_csv(path, index=False, sep="\t")
    elif ending == "jsonl":
        FRAME.to_json(path, orient="records", lines=True)
    elif ending == "parquet":
        pa.parquet.write_table(pa.Table.from_pandas(FRAME), path)
    else:
        pa.feather.write_feather(pa.Table.from_pandas(FRAME), path)
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "feather"])
def test_every_format_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    """A model must not depend on the format that its table came in."""
    table = load_table(open_source(str(written(tmp_path, ending))))
    assert table.kinds == {"x": "number", "city": "category", "y": "number"}
    pd.testing.assert_frame_equal(table.frame.isna(), FRAME.isna())
    assert table.frame["x"].tolist()[:2] == [1.0, 2.5]
    assert table.frame["city"].tolist() == ["Ulm", None, "Bonn"]


def test_a_whole_number_column_may_continue_with_fractions(tmp_path: Path) -> None:
    """Arrow's own CSV reader guesses from the first block and stops at the 1.5 in the second one."""
    path = tmp_path / "late.csv"
    path.write_text("x,y\n" + "1,2\n" * 400_000 + "1.5,2\n")
    table = load_table(open_source(str(path)))
    assert table.kinds["x"] == "number"
    assert table.frame["x"].iloc[-1] == 1.5


def test_a_glob_and_a_partitioned_folder_are_one_table(tmp_path: Path) -> None:
    """Partition folders become a column; files are read in the order of their paths."""
    for year, x in ((2012, 1.0), (2013, 2.0)):
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        pd.DataFrame({"x": [x], "y": [x]}).to_csv(folder / "part.csv", index=False)
    partitioned = load_table(open_source(str(tmp_path)))
    assert partitioned.frame["year"].tolist() == [2012.0, 2013.0]
    assert partitioned.frame["x"].tolist() == [1.0, 2.0]
    assert len(load_table(open_source(str(tmp_path / "*" / "*.csv")))) == 2


def test_what_programs_keep_beside_a_table_is_no_part_of_it(tmp_path: Path) -> None:
    """Copies that a notebook or a job that was killed leaves behind were rows that count twice."""
    for name in (
        "a.csv",
        ".ipynb_checkpoints/a-checkpoint.csv",
        "b/_temporary/0/a.csv",
        "_year=2/a.csv",
        "_b/a.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x,y\n1,2\n")
    for where, count in (
        ("", 2),
        ("**/*.csv", 2),
        ("_b", 1),
        ("_*/*.csv", 2),
        (".ipynb*/*", 1),
        ("*/_temp*/**", 1),
    ):
        assert open_source(str(tmp_path / where)).read().num_rows == count, where


def test_a_query_on_sqlite_gives_its_rows(tmp_path: Path) -> None:
    """SQL through SQLAlchemy; a column that begins with whole numbers and goes on with fractions is one."""
    with sqlite3.connect(tmp_path / "houses.db") as connection:
        FRAME.to_sql("houses", connection, index=False)
    connection.close()
    source = open_source(f"sqlite:///{tmp_path}/houses.db", query="SELECT x, city, y FROM houses ORDER BY y")
    assert load_table(source).frame["city"].tolist() == ["Ulm", None, "Bonn"]


def test_a_missing_file_says_where_it_was_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With mlflow run from elsewhere the command starts in the project's folder: a relative path surprises."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceNotFound, match=f"searched from {tmp_path}: pass an absolute path"):
        open_source("houses.csv")


@pytest.mark.parametrize("content", ["", "x,y\n"])
def test_a_file_without_rows_is_refused(content: str, tmp_path: Path) -> None:
    """Neither an empty file nor a bare header is a table."""
    (tmp_path / "empty.csv").write_text(content)
    with pytest.raises(EmptySource):
        open_source(str(tmp_path / "empty.csv")).read()


@pytest.mark.parametrize(("line", "found"), [("5,6,7", 3), ("5", 1)])
def test_a_broken_line_is_named_by_its_number(line: str, found: int, tmp_path: Path) -> None:
    """Line 4 of the file, counted as an editor counts."""
    (tmp_path / "broken.csv").write_text(f"x,y\n1,2\n3,4\n{line}\n7,8\n")
    with pytest.raises(BrokenLine) as caught:
        open_source(str(tmp_path / "broken.csv")).read()
    assert (caught.value.line, caught.value.expected, caught.value.found) == (4, 2, found)


def test_duplicate_columns_are_named(tmp_path: Path) -> None:
    """A model cannot know which of the two is meant."""
    (tmp_path / "twice.csv").write_text("x,y,x\n1,2,3\n")
    with pytest.raises(DuplicateColumns, match="'x'"):
        open_source(str(tmp_path / "twice.csv"))


def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path: Path) -> None:
    """The reader's own reason, and what to do."""
    (tmp_path / "rows.parquet").write_text("not parquet")
    with pytest.raises(UnreadableSource, match="check that it is parquet"):
        open_source(str(tmp_path / "rows.parquet"))


@pytest.mark.parametrize(
    ("url", "query", "says"),
    [
        ("sqlite:///houses.db", "", "a database needs a query"),
        ("sqlite:////nowhere/at/all.db", "SELECT 1", "unable to open database file"),
        ("nosuchdialect://host/db", "SELECT 1", "nosuchdialect"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "SELECT 1", "connection"),
    ],
)
def test_an_unreadable_database_says_why_and_hides_the_password(url: str, query: str, says: str) -> None:
    """The line ends up in a run's tag and in a log."""
    with pytest.raises(UnreadableSource, match=says) as caught:
        open_source(url, query=query).read()
    assert "secret" not in str(caught.value)


def test_a_semicolon_table_is_read(tmp_path: Path) -> None:
    """What spreadsheets write where the comma is the decimal mark."""
    (tmp_path / "rows.csv").write_text("x;name\n1;a,b\n2;c\n")
    assert load_table(open_source(str(tmp_path / "rows.csv"))).frame["name"].tolist() == ["a,b", "c"]


def test_keys_and_kinds_that_come_late_in_json_lines_are_kept(tmp_path: Path) -> None:
    """A block of 1 MiB decided what a column is, and which there are: a later key was dropped."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"x": 1}\n' * 200_000 + '{"x": 1.5, "z": 5}\n' + '{"x": 2, "z": 6}\n')
    table = open_source(str(path)).read()
    assert table["x"].to_pylist()[-3:] == [1.0, 1.5, 2.0]
    assert table["z"].to_pylist()[-3:] == [None, 5, 6]


def test_a_parquet_file_behind_another_is_refused(tmp_path: Path) -> None:
    """The first one's rows were read in place of the second one's, and as many were lost."""
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    pa.parquet.write_table(pa.table({"x": [1.0, 2.0]}), one)
    pa.parquet.write_table(pa.table({"x": [7.0, 8.0]}), two)
    joined = tmp_path / "joined.parquet"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(UnreadableSource, match=r"joined.parquet: is more than one Parquet file"):
        open_source(str(joined))
    assert open_source(str(one)).read().num_rows == 2
    pa.parquet.write_table(pa.table({"x": [1.0, 2.0]}), one, write_page_index=True)
    assert open_source(str(one)).read().num_rows == 2
