"""Packed files are what is in them, found by their first bytes, and bounded."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from data.errors import EmptySource, SourceError, UnreadableSource
from data.sources import open_source
from tests.data.sources.formats.spreadsheets import write

CSV = b"x;y\n1;2\n3;4\n"
JSON = b'[{"x": 1, "y": 2}, {"x": 3, "y": 4}]'


def compressed(codec: str) -> Callable[[bytes], bytes]:
    """Return a packer of Arrow's."""

    def pack(content: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return bytes(sink.getvalue().to_pybytes())

    return pack


PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": compressed("zstd"),
    ".lz4": compressed("lz4"),
}


def zipped(path: Path, *names: str, content: bytes = CSV) -> Path:
    """Write an archive whose members all have one content."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize(("name", "content"), [("t.csv", CSV), ("t.json", JSON)])
def test_a_packed_file_is_read(name: str, content: bytes, ending: str, tmp_path: Path) -> None:
    """It was refused as a wrong ending, or told to be unpacked."""
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(PACKERS[ending](content))
    assert [list(map(int, column)) for column in open_source(str(path)).read().to_pydict().values()] == [
        [1, 3],
        [2, 4],
    ]


def test_two_packed_files_behind_one_another_are_both_read(tmp_path: Path) -> None:
    """As `cat a.csv.gz b.csv.gz` makes them."""
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"x,y\n1,2\n") + gzip.compress(b"3,4\n"))
    assert open_source(str(tmp_path / "t.csv.gz")).read()["x"].to_pylist() == ["1", "3"]


def test_an_archive_of_one_file_is_that_file(tmp_path: Path) -> None:
    """What macOS adds to it does not count; a name without an ending of its own is the member's."""
    path = zipped(tmp_path / "t.zip", "d/t.csv", "__MACOSX/d/._t.csv")
    assert open_source(str(path)).read().num_rows == 2
    assert open_source(str(zipped(tmp_path / "t.csv.zip", "t.json", content=JSON))).read().num_rows == 2


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a.csv", "b.csv"), r"holds 2 files \(a.csv, b.csv\): unpack it"),
        ((), "holds no file"),
        (("t.parquet",), "is a packed file of parquet: unpack it first"),
        (("[Content_Types].xml", "xl/workbook.xml"), "is a workbook: let its name end in .xlsx"),
    ],
)
def test_an_archive_that_is_no_one_table_is_refused(
    names: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    """Its files are named."""
    with pytest.raises(UnreadableSource, match=says):
        open_source(str(zipped(tmp_path / "t.zip", *names)))


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2"])
def test_a_packed_file_that_is_cut_off_is_refused(ending: str, tmp_path: Path) -> None:
    """The rows up to there would be taken for all."""
    packed = PACKERS[ending](b"x,y\n" + b"".join(f"{n},{n * n}\n".encode() for n in range(50_000)))
    (tmp_path / f"t.csv{ending}").write_bytes(packed[:-9])
    with pytest.raises(UnreadableSource, match="cannot be unpacked"):
        open_source(str(tmp_path / f"t.csv{ending}")).read()


def test_what_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 kB may unpack to 200 MB, and 16 MB to what no disk holds."""
    monkeypatch.setattr("data.sources.packed.LARGEST", 2**21)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"x,y\n" + b"1,2\n" * 2_000_000))
    with pytest.raises(UnreadableSource, match=r"unpacks to more than 0.00195 GB: unpack it"):
        open_source(str(tmp_path / "t.csv.gz"))


def test_an_empty_packed_file_has_no_rows(tmp_path: Path) -> None:
    """It has bytes, and no text."""
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(EmptySource):
        open_source(str(tmp_path / "t.csv.gz"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"7z\xbc\xaf\x27\x1c__", "packed with 7z: unpack it first"),
        (b"<!DOCTYPE html>\n<html><title>404</title>\n", "is a page of HTML"),
        (JSON, "is JSON: let its name end in .json"),
        (b"SQLite format 3\0", "is an SQLite database"),
        (b"%PDF-1.7\n", "is a PDF"),
    ],
)
def test_what_is_no_text_is_said_by_its_name(content: bytes, says: str, tmp_path: Path) -> None:
    """A portal's page of an error was read as a table of one column."""
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SourceError, match=says):
        open_source(str(tmp_path / "t.csv"))


def test_a_table_in_another_format_is_said_by_its_name(tmp_path: Path) -> None:
    """Its name is wrong, not its bytes."""
    pa.parquet.write_table(pa.table({"x": [1]}), tmp_path / "t.csv")
    with pytest.raises(UnreadableSource, match=r"is a Parquet file: let its name end in \.parquet"):
        open_source(str(tmp_path / "t.csv"))
    write(tmp_path / "book.csv", {"A": [["x"], [1]]})
    with pytest.raises(UnreadableSource, match=r"is a workbook: let its name end in \.xlsx"):
        open_source(str(tmp_path / "book.csv"))
