"""Several files are one table, or one line names the file and the column: no value vanishes between them."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from data.errors import UnreadableSource
from data.sources import open_source
from data.tables import load_table

Files = dict[str, str | bytes]


def written(folder: Path, files: Files) -> str:
    """Write files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"a.csv": "a,y\n1,2\n", "b.csv": "A,y\n1,2\n"},
            r"b.csv: has a column 'A' that \S*a.csv does not have, which has 'a'",
        ),
        (
            {"a.csv": "a,y\n1,2\n", "b.csv": "a,y,z\n1,2,3\n"},
            r"b.csv: has a column 'z' that \S*a.csv does not",
        ),
        ({"a.csv": "a,y\n1,2\n", "b.csv": "a\n1\n"}, r"b.csv: lacks the column 'y' that \S*a.csv has"),
        (
            {"a.csv": "a,y\n1.5,2\n", "b.csv": "a;y\n1,5;2\n"},
            r"b.csv: column 'a' has decimals such as 1,5, in \S*a.csv such as 1.5",
        ),
        ({"a.csv": "a,y\n1,2\n", "b.csv": "a,y,y\n1,2,3\n"}, "b.csv: more than one column is called 'y'"),
        ({"a.csv": "a,y\n1,2\n", "b.csv": "3,2\n4,1\n"}, "b.csv: the first line looks like data"),
        (
            {"a.json": '[{"a": 1, "y": 2}]', "b.jsonl": '{"A": 1, "y": 2}'},
            r"b.jsonl: has a column 'A' that \S*a.json does not have, which has 'a'",
        ),
        (
            {"a.json": '[{"a": 1, "y": 2}]', "b.jsonl": '{"a": "x", "y": 2}'},
            r"b.jsonl: its column 'a' holds string, in \S*a.json it holds int64",
        ),
    ],
)
def test_a_file_that_differs_is_named_with_its_column(files: Files, says: str, tmp_path: Path) -> None:
    """Its values were empty cells of the one column, or the whole file was."""
    with pytest.raises(Exception, match=says.replace(".csv", r"\.csv")) as caught:
        open_source(written(tmp_path, files))
    assert "\n" not in str(caught.value)


def test_each_file_is_read_in_its_own_dialect(tmp_path: Path) -> None:
    """Semicolons beside commas beside Windows-1252 beside a sep= line: rows of one table."""
    files: Files = {
        "a.csv": "town,y\nKöln,1.5\n",
        "b.csv": "y;town\n2;Köln\n;\n",
        "c.csv": "town\ty\nKöln\t3.5\n".encode("cp1252"),
        "d.csv": "sep=|\ntown|y\nKöln|4.5\n",
        "e.csv": "town,y\nUlm,5\n",
        "f.csv": "",
    }
    source = open_source(written(tmp_path, files))
    frame = load_table(source).frame
    assert frame["y"].tolist() == [1.5, 2, 3.5, 4.5, 5]
    assert frame["town"].tolist() == ["Köln"] * 4 + ["Ulm"]
    assert source.notes == [
        "b.csv: separator ';', 1 line of nothing but separators at the end left out",
        "c.csv: cp1252 (as in 'Köln'), separator tab",
        "d.csv: separator '|', 1 line above the header left out",
    ]


def test_files_alike_are_one_line(tmp_path: Path) -> None:
    """A year of days is no year of lines."""
    source = open_source(written(tmp_path, {f"{day:02}.csv": "x;y\n1;2\n" for day in range(1, 31)}))
    assert source.notes == ["01.csv and 29 more: separator ';'"]


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "parquet": pa.parquet.write_table,
    "feather": pa.feather.write_feather,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"A": [1], "y": [1.0]}, "has a column 'A' that"),
        ({"a": [1], "y": [1.0], "z": [1]}, "has a column 'z' that"),
        ({"y": [1.0]}, "lacks the column 'a' that"),
        ({"a": ["x"], "y": [1.0]}, "its column 'a' holds string, in"),
        ({"a": [True], "y": [1.0]}, "its column 'a' holds bool, in"),
        ({"a": [1], "y": [Decimal("1.5")]}, "its column 'y' holds decimal128(2, 1), in"),
    ],
)
def test_typed_files_that_differ_are_named(
    kind: str, second: dict[str, list[object]], says: str, tmp_path: Path
) -> None:
    """The first file's columns were taken for all: others vanished, those that a file lacks were empty."""
    WRITERS[kind](pa.table({"a": [1], "y": [1.0]}), tmp_path / f"a.{kind}")
    WRITERS[kind](pa.table(second), tmp_path / f"b.{kind}")
    with pytest.raises(UnreadableSource, match=rf"b\.{kind}: {re.escape(says)}"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("kind", WRITERS)
def test_types_of_which_one_is_a_part_of_the_other_are_one_column(kind: str, tmp_path: Path) -> None:
    """Whole numbers beside fractions stopped in the middle; a column of gaps has no type."""
    columns = {"a": [1], "t": pa.nulls(1), "c": pa.array(["u"]).dictionary_encode()}
    WRITERS[kind](pa.table(columns), tmp_path / f"a.{kind}")
    WRITERS[kind](pa.table({"c": ["v"], "a": [1.5], "t": ["x"]}), tmp_path / f"b.{kind}")
    table = open_source(str(tmp_path)).read()
    assert table.to_pydict() == {"a": [1.0, 1.5], "t": [None, "x"], "c": ["u", "v"]}


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_folders_are_columns_below_what_was_named(kind: str, tmp_path: Path) -> None:
    """A single file in run=5/ gained a column `run`, which no request has."""
    for run in (5, 6):
        folder = tmp_path / "runs" / f"run={run}"
        folder.mkdir(parents=True)
        frame = pd.DataFrame({"x": [1.5], "y": [2.5]})
        path = folder / f"t.{kind}"
        if kind == "parquet":
            frame.to_parquet(path)
        elif kind == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_json(path, orient="records", lines=True)
    for plain in (f"run=5/t.{kind}", "run=5", f"run=5/*.{kind}"):
        assert open_source(str(tmp_path / "runs" / plain)).read().column_names == ["x", "y"]
    for parts in ("", f"run=*/t.{kind}", f"*/*.{kind}"):
        table = open_source(str(tmp_path / "runs" / parts)).read()
        assert table.column_names == ["x", "y", "run"]
        assert table["run"].to_pylist() == [5, 6]


def test_a_column_in_files_and_in_their_folders_names_is_read_where_both_say_the_same(tmp_path: Path) -> None:
    """Polars writes it into both. The folder's name was taken without a look at the files."""
    for year in (2012, 2013):
        folder = tmp_path / f"year={year}" / "k=1"
        folder.mkdir(parents=True)
        pyarrow.parquet.write_table(pa.table({"x": [1.5], "year": [year]}), folder / "t.parquet")
    assert open_source(str(tmp_path)).read().to_pydict() == {
        "x": [1.5] * 2,
        "year": [2012, 2013],
        "k": [1, 1],
    }
    pyarrow.parquet.write_table(pa.table({"x": [1.5], "year": [2012]}), folder / "u.parquet")
    with pytest.raises(
        UnreadableSource, match=r"u\.parquet: its column 'year' is not what its folder's name says"
    ):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            "https://me:word@example.org/t.csv",
            "not read from https://: fetch it first with `curl -L -O https://",
        ),
        ("FTP://me:word@example.org/t.csv", "not read from ftp://: fetch it first with `curl -O "),
        ("s3://me:word@bucket/t.csv", "a name alone, without user, key or password: write s3://bucket/path"),
        (
            "s3://me:wo/word@bucket/t.csv",
            "a name alone, without user, key or password: write s3://bucket/path",
        ),
        ("s3://me@bucket/t.csv", "a name alone, without user, key or password: write s3://bucket/path"),
        ("gs://bucket/t.csv?token=word", "a ? begins settings, and none are read from an address"),
        ("abfs://box:word@account.dfs.core.windows.net/t.csv", "a name alone"),
        ("s3:///t.csv", "names no bucket"),
        ("az://box/t.csv", "no storage account is named: set AZURE_STORAGE_ACCOUNT in the environment"),
        ("postgresql://host/db", "a database needs a query"),
        ("nosuch://host/db", "'nosuch' is neither a database that SQLAlchemy knows nor a place of files"),
    ],
)
def test_an_address_is_refused_by_its_own_name(address: str, says: str) -> None:
    """A file on the web needs no query."""
    with pytest.raises(UnreadableSource, match=re.escape(says)) as caught:
        open_source(address)
    assert not re.search(r"\bword\b", str(caught.value))
