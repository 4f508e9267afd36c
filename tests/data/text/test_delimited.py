"""No row is lost in reading delimited text: whole records, or the line where a quote went wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.checks import column_faults
from data.errors import BrokenQuote, LongRecord, SourceError, UnreadableSource
from data.sources import open_source
from data.tables import load_table
from data.text import RecordBlocks
from data.text.quotes import broken_quote, quotes
from data.text.records import records_end

TEXTS = st.text(st.sampled_from('",\r\nab'), max_size=40)


def table_of(path: Path) -> pa.Table:
    """Read a file as training does."""
    return open_source(str(path)).read()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('x1,x2,x3,note\n1,2,3,"5 inch\n4,5,6,b\n7,8,9,c', 2),
        ('\ufeffx,note\r\n1,a\r\n2,"5 inch\r\n4,b\r\n7,c\r\n', 3),
        ('x,note\r1,"a\rb"\r2,"5 inch\r', 4),
        ('x,"note\n1,a\n2,b\n', 1),
        ('x;note\n1;"a;""b""\n2;c\n', 2),
        ('x,note\n1,"5" inch\n2,b\n', 2),
        ('x,note\n1,a\n2,"5 inch\n3,"6 inch\n4,c\n', 3),
        ('x,note\n1,a\n2,"5 inch\n3,"a, b"\n4,c\n', 3),
    ],
)
def test_a_quote_that_swallows_rows_is_refused_with_its_line(text: str, line: int, tmp_path: Path) -> None:
    """One cell of all that follows was made: three rows came out as one."""
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(BrokenQuote) as caught:
        table_of(path)
    assert caught.value.line == line
    assert f"rows.csv, line {line}: the quote that opens here" in str(caught.value)


def test_quotes_in_the_middle_of_a_cell_are_text(tmp_path: Path) -> None:
    """RFC 4180 quotes whole cells: an inch mark within a text opens nothing."""
    path = tmp_path / "rows.csv"
    path.write_text('x,note\n1,5" pipe\n2,6"\n3,"say ""hi"""\n4,""\n5,a "b" c\n', newline="")
    assert table_of(path)["note"].to_pylist() == ['5" pipe', '6"', 'say "hi"', None, 'a "b" c']


@settings(max_examples=200)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_the_csv_module_writes_is_read_back_in_blocks_of_any_size(
    rows: list[tuple[str, str]], ending: str
) -> None:
    """The independent writer is Python's; blocks of a few bytes end in quotes, and between CR and LF."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    for size in (7, 64, 2**20):
        blocks = RecordBlocks(io.BytesIO(sink.getvalue().encode()), where="x", separator=",")
        read = pa_csv.open_csv(
            pa.PythonFile(blocks, mode="r"),
            pa_csv.ReadOptions(block_size=size),
            pa_csv.ParseOptions(newlines_in_values=True),
            pa_csv.ConvertOptions(column_types={"a": pa.string(), "b": pa.string()}),
        ).read_all()
        assert list(zip(*read.to_pydict().values(), strict=True)) == rows


@settings(max_examples=500)
@given(st.text(st.sampled_from('",\r\na'), max_size=60).map(str.encode))
def test_any_text_is_one_that_pyarrow_reads_alike_or_a_fault(text: bytes) -> None:
    """An automaton of one byte at a time is the reference for the arrays; it says where cells are quoted."""
    state, opened, bad = "start", -1, False
    for place, byte in enumerate(text.decode()):
        if state == "start" and byte == '"':
            state, opened = "quoted", place
        elif state == "quoted":
            state = "closing" if byte == '"' else "quoted"
        elif state == "closing" and byte == '"':
            state = "quoted"
        elif byte in ",\r\n":
            state = "start"
        else:
            bad |= state == "closing"
            if bad:
                break
            state = "plain"
    fault = broken_quote(text) if b'"' in text else None
    found = quotes(text)
    assert (found.bad >= 0) == bad
    assert (fault is not None) == (bad or state == "quoted")
    if fault:
        assert fault[0] == opened
    elif found.inside is not None:
        end = records_end(text, found)
        assert end == 0 or text[end - 1 : end] in (b"\r", b"\n")


def test_a_line_end_in_quotes_keeps_its_two_characters_wherever_a_block_ends(tmp_path: Path) -> None:
    """At a border of pyarrow's own blocks the LF was lost, and a known category was silently unknown."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"x,c\r\n" + b'1,"a\r\nb"\r\n' * 250_000)
    column = table_of(path)["c"]
    assert len(column) == 250_000
    assert column.unique().to_pylist() == ["a\r\nb"]


def test_a_header_and_a_row_longer_than_a_block_are_read(tmp_path: Path) -> None:
    """9,003 columns have a header of 1.1 MB."""
    names = [f"column {place} {'z' * 110}" for place in range(9_003)]
    path = tmp_path / "wide.csv"
    path.write_text(",".join(names) + "\n" + ",".join(["1"] * 9_003) + "\n")
    assert table_of(path).shape == (1, 9_003)
    path.write_text(f"x,c\n1,{'z' * 3_000_000}\n2,b\n")
    assert table_of(path)["x"].to_pylist() == ["1", "2"]


def test_a_record_without_an_end_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a file of gigabytes in memory."""
    monkeypatch.setattr("data.text.records.LONGEST_RECORD", 2**21)
    path = tmp_path / "rows.csv"
    path.write_text(f"x,c\n1,a\n2,{'z' * 9_000_000}\n")
    with pytest.raises(LongRecord, match=r"line 3: begins a row of more than 2 MB"):
        table_of(path)
    path.write_text('x,c\n1,a\n2,"' + "z,a\n" * 3_000_000)
    with pytest.raises(BrokenQuote, match="line 3: the quote that opens here never closes"):
        table_of(path)


@pytest.mark.parametrize("text", ["x\n1\n\n3\n", "x\r\n1\r\n\r\n3\r\n", "x\r1\r\r3\r", "x\n1\n3\n\n"])
def test_an_empty_line_in_a_table_of_one_column_is_refused(text: str, tmp_path: Path) -> None:
    """It may be a missing value, which polars writes so; readers skip it."""
    (tmp_path / "rows.csv").write_text(text, newline="")
    with pytest.raises(UnreadableSource, match=r"line [34]: is empty.*write \"\" for a missing value"):
        table_of(tmp_path / "rows.csv")


def test_a_quoted_gap_and_quoted_empty_lines_are_values(tmp_path: Path) -> None:
    """What pandas and Python's csv module write for a missing value in one column."""
    (tmp_path / "rows.csv").write_text('x\n1\n""\n"a\n\nb"\n', newline="")
    assert table_of(tmp_path / "rows.csv")["x"].to_pylist() == ["1", None, "a\n\nb"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_every_line_is_a_row(ending: str, last: bool, tmp_path: Path) -> None:
    """Counted independently; with NUL bytes, empty lines and any line end."""
    lines = ["x,c", *(f"{row},a\0b" for row in range(1000))]
    text = ending.join(lines) + (ending * 2 if last else "")
    (tmp_path / "rows.csv").write_bytes(text.encode())
    assert table_of(tmp_path / "rows.csv").num_rows == 1000


def test_files_of_one_table_have_one_header(tmp_path: Path) -> None:
    """A column that only a later file has was dropped, and a file without a header lost its first row."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("y;x\n4;3\n")
    assert table_of(tmp_path).to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
    (tmp_path / "c.csv").write_text("5,6\n7,8\n")
    with pytest.raises(SourceError, match=r"c.csv: the first line looks like data"):
        table_of(tmp_path)


def test_a_cell_of_hundreds_of_lines_is_suspected(tmp_path: Path) -> None:
    """A stray quote that a later one closes is correct text: 500 rows are gone, also in a column left out."""
    rows = [f"{row},{row * 2},note {row % 7}\n" for row in range(800)]
    rows[100], rows[600] = '100,200,"5 inch\n', '600,1200,6 inch"\n'
    path = tmp_path / "rows.csv"
    path.write_text("x,y,note\n" + "".join(rows))
    table = load_table(open_source(str(path)))
    assert len(table) == 300
    for ignored in ([], ["note"]):
        (fault,) = [fault for fault in column_faults(table, ignored=ignored) if "line breaks" in fault.found]
        assert (fault.column, fault.rows, fault.count) == ("note", (101,), 1)
        assert "a text has 500 line breaks" in fault.found
    path.write_text('x,y,note\n1,2,"a\nfew\nlines"\n')
    assert not any("line breaks" in each.found for each in column_faults(load_table(open_source(str(path)))))


def test_what_a_spreadsheet_writes_is_read(tmp_path: Path) -> None:
    """A byte-order mark, semicolons, quoted headers and CR LF, as Excel has it."""
    frame = pd.DataFrame({"größe": ["1", "2"], "ort": ["Ulm; Donau", 'der "Ort"']})
    frame.to_csv(tmp_path / "rows.csv", sep=";", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    assert table_of(tmp_path / "rows.csv").to_pydict() == frame.to_dict(orient="list")
