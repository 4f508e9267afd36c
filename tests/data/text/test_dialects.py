"""The dialects of the world: each is read as what it is, said in a line, or refused; no row is lost or made up."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BrokenLine, BrokenQuote, EmptySource, UnreadableSource
from data.sources import Layout, Source, open_source


def opened(
    folder: Path, content: str | bytes, *, layout: Layout | None = None, name: str = "t.csv"
) -> Source:
    """Write a file and open it."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(str(path), layout=layout)


def rows_of(source: Source) -> dict[str, list[str | None]]:
    """Return the columns."""
    return dict(source.read().to_pydict())


GAPS = {"column 3": [None, None], "column 4": [None, None]}
AIR = "Date;CO;T;;\n10/03/2004;2,6;13,6;;\n10/03/2004;2;13,3;;\n;;;;\n;;;;\n"


def test_the_air_quality_table_of_uci_is_read(tmp_path: Path) -> None:
    """Semicolons, decimal commas, two nameless columns, lines of separators at the end: one column was found."""
    source = opened(tmp_path, AIR)
    assert rows_of(source) == {
        "Date": ["10/03/2004"] * 2,
        "CO": ["2,6", "2"],
        "T": ["13,6", "13,3"],
        "column 4": [None] * 2,
        "column 5": [None] * 2,
    }
    (note,) = source.notes
    assert note == "t.csv: separator ';', 2 lines of nothing but separators at the end left out"


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        ("x,y\n1,2\n", {"x": ["1"], "y": ["2"]}, ""),
        ("x\ty\n1,5\t2\n", {"x": ["1,5"], "y": ["2"]}, "separator tab"),
        ("x|y\n1|2\n", {"x": ["1"], "y": ["2"]}, "separator '|'"),
        ("sep=;\nx;y\n1;2\n", {"x": ["1"], "y": ["2"]}, "separator ';', 1 line above the header left out"),
        ('"sep=^"\nx^y\n1^2,3\n', {"x": ["1"], "y": ["2,3"]}, "separator '^'"),
        ("\ufeffsep=\t\r\nx\ty\r\n1\t2\r\n", {"x": ["1"], "y": ["2"]}, "separator tab"),
        ("# by me\n# 2024, May\nx,y\n1,2\n", {"x": ["1"], "y": ["2"]}, "2 lines above the header left out"),
        ("#x,y\n1,2\n3,4\n", {"#x": ["1", "3"], "y": ["2", "4"]}, ""),
        ("# a\n#x,y\n1,2\n3,4\n", {"#x": ["1", "3"], "y": ["2", "4"]}, "1 line above"),
        ("Sales of 2024\n\nx;y\n1,5;2\n2,5;3\n", {"x": ["1,5", "2,5"], "y": ["2", "3"]}, "1 line above"),
        ("Sales, 2024\nx;y\n1,5;2\n2;3\n", {"x": ["1,5", "2"], "y": ["2", "3"]}, "1 line above"),
        (
            "Sales,,\n,,\nx,c,y\n1,a,2\n3,b,4\n",
            {"x": ["1", "3"], "c": ["a", "b"], "y": ["2", "4"]},
            "2 lines",
        ),
        (
            "T 1\nx;y;;\n1;2;;\n3;4;;\n",
            {"x": ["1", "3"], "y": ["2", "4"], **GAPS},
            "separator ';', 1 line above",
        ),
        ("a;b,c\n1,2\n3,4\n", {"a;b": ["1", "3"], "c": ["2", "4"]}, ""),
        ("a;b,c\n1;2\n3;4\n", {"a": ["1", "3"], "b,c": ["2", "4"]}, "separator ';'"),
        ("a;b,c\n1;2,5\n3;4,5\n", {"a": ["1", "3"], "b,c": ["2,5", "4,5"]}, "separator ';'"),
        ('"a;b;c;d",y\n1,2\n', {"a;b;c;d": ["1"], "y": ["2"]}, ""),
        ("x,y\n1,2,\n3,4,\n", {"x": ["1", "3"], "y": ["2", "4"], "column 3": [None, None]}, ""),
        ("x,y,\n1,2\n3,4\n", {"x": ["1", "3"], "y": ["2", "4"]}, ""),
        ('"x","y"\n"a",1,2\n"b",3,4\n', {"column 1": ["a", "b"], "x": ["1", "3"], "y": ["2", "4"]}, ""),
        ("x,y\n1,2\n,\n3,4\n,\n", {"x": ["1", None, "3"], "y": ["2", None, "4"]}, "1 line of nothing"),
        ('x,y\n1,"a\n,\n,"\n', {"x": ["1"], "y": ["a\n,\n,"]}, ""),
        ("x,y\n1,2\n\n  \n\x1a", {"x": ["1"], "y": ["2"]}, ""),
        ("\n\nx,y\n1,2\n", {"x": ["1"], "y": ["2"]}, ""),
    ],
)
def test_a_dialect_is_found_out_and_said(
    content: str, columns: dict[str, list[str]], says: str, tmp_path: Path
) -> None:
    """One of each kind; what is plain comma-separated UTF-8 is not talked about."""
    source = opened(tmp_path, content)
    assert rows_of(source) == columns
    assert says in " ".join(source.notes)
    assert bool(says) == bool(source.notes)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x,y\n1,5,2,5\n2,5,3,5\n", "each row has 4 fields, the header 2, as if a decimal comma"),
        ("x,y\n1,5,2\n2,5,3\n", "each row has 3 fields, the header 2, as if a decimal comma"),
        ("# id,name\nfoo,bar\na,b\n", "may be a comment or the header: take the line out, or the #"),
        ("My table\n1,2\n3,4\n", "each row has 2 fields, the header 1, as if"),
        (
            '"Data","WDI",\n"Name","A","60",\n"Chad","B","1",\n"Peru","C","2",\n',
            "1 line above the others has 3",
        ),
        ("Data,WDI\nof,2024\nName,A,B\nChad,1,2\n", "2 lines above the others have 2 fields, the others 3"),
        ("0.1  18.0 2\n 0.2 0 3\n", "its columns are separated by blanks: write a separator between them"),
        ('"x" "y"\n"1" 1.5 2\n"2" 2.5 3\n', "its columns are separated by blanks"),
        ('18.0 8 307.0\t"a car"\n15.0 8 350.0\t"a bus"\n', "its columns are separated by blanks"),
        ("M,0.455,0.365,15\nF,0.53,0.42,9\n", "the first line looks like data: pass header=none"),
        ("M,yes\nF,yes\nM,no\n", "the first line looks like data"),
        ("1\n2\n3\n", "the first line looks like data"),
        ("2024-01-01,a\n2024-01-02,b\n", "the first line looks like data"),
        ("sep=;\n", "its first line is no header"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_way_out(content: str, says: str, tmp_path: Path) -> None:
    """A guess would lose a row, or shift the columns."""
    with pytest.raises(UnreadableSource, match=re.escape(says)):
        opened(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        "a place,to b c\n52.5 13.4,48.1 11.6\n52.5 13.4,48.1 11.6\n",
        "country,2019,2020\nDE,0.5,0.6\nFR,0.4,0.5\n",
        "x,y\n1,2\n",
        "name,town\na,b\n",
        "x,1\n1,2\n2,3\n",
        "a,b\nNA,NA\n",
    ],
)
def test_a_header_is_taken_for_one(content: str, tmp_path: Path) -> None:
    """Years above other figures, words above words, one name above numbers."""
    assert opened(tmp_path, content).read().column_names == content.partition("\n")[0].split(",")


def test_the_user_decides_about_the_first_line(tmp_path: Path) -> None:
    """Years above years may be either."""
    years = "2019,2020\n2100,1900\n1800,2000\n"
    with pytest.raises(UnreadableSource, match="or header=first if these are their names"):
        opened(tmp_path, years)
    assert rows_of(opened(tmp_path, years, layout=Layout("first"))) == {
        "2019": ["2100", "1800"],
        "2020": ["1900", "2000"],
    }
    source = opened(tmp_path, years, layout=Layout("none"))
    assert rows_of(source) == {"column_1": ["2019", "2100", "1800"], "column_2": ["2020", "1900", "2000"]}
    assert source.notes == ["t.csv: no header"]


def test_the_names_that_a_table_without_header_got_are_a_header(tmp_path: Path) -> None:
    """What a model of such a table is asked to score may have them, less the target."""
    for header in ("column_1,column_2", "column_2,column_3"):
        source = opened(tmp_path, f"{header}\n1,2\n", layout=Layout("none"))
        assert rows_of(source) == dict(zip(header.split(","), (["1"], ["2"]), strict=True))


def test_a_comment_above_a_table_without_a_header_is_no_row(tmp_path: Path) -> None:
    """NumPy's savetxt writes such."""
    source = opened(tmp_path, "# made by me\n1,2\n3,4\n", layout=Layout("none"))
    assert rows_of(source) == {"column_1": ["1", "3"], "column_2": ["2", "4"]}


def test_a_quote_that_swallows_rows_has_its_line_below_comments(tmp_path: Path) -> None:
    """Lines count from the top of the file, whatever stands above the header."""
    with pytest.raises(BrokenQuote, match="line 5: the quote that opens here never closes"):
        opened(tmp_path, '# a\n# b\nx,y\n1,2\n3,"5 inch\n4,5\n').read()
    with pytest.raises(BrokenLine, match="line 4: has 3 fields, the header has 2"):
        opened(tmp_path, "x,y\n1,2\n3,4\n5,6,7\n5,6,7\n").read()
    with pytest.raises(BrokenLine, match="line 4: has 3 fields, the header has 2"):
        opened(tmp_path, "sep=;\nx;y\n1;2\n3;4;5\n1;2\n").read()


def test_a_header_alone_and_lines_of_separators_are_no_rows(tmp_path: Path) -> None:
    """Nothing is made up of them."""
    for content in ("x,y\n", "x,y", "x;y;;\n;;;\n;;;\n", "# only\nx,y\n"):
        with pytest.raises(EmptySource):
            opened(tmp_path, content).read()


def test_lines_of_separators_at_the_end_may_be_many(tmp_path: Path) -> None:
    """More than are looked at at once."""
    source = opened(tmp_path, "x;y\n1;2\n" + ";\r\n" * 200_000)
    assert source.read().num_rows == 1
    assert "200,000 lines of nothing but separators" in source.notes[0]


CELLS = st.one_of(
    st.sampled_from(["a", "b c", "é", "12", "1.5", "-3", "x#y", "ß"]),
    st.text(st.sampled_from("ab ,;|\t\"'\n1é"), max_size=6),
)
NAMES = ["id", "größe", "note, long", "y;z", "w|v"]


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, str, list[list[str]]]:
    """A file, the encoding it is in, and its rows."""
    separator, ending = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    columns, count = draw(st.integers(2, 5)), draw(st.integers(3, 12))
    # The csv module quotes a line break only where it is the one that ends its lines.
    rows = [
        [f"{row}", *(draw(CELLS).replace("\n", ending) for _ in range(columns - 1))]
        for row in range(1, count + 1)
    ]
    trailing = draw(st.booleans())
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=separator, lineterminator=ending, quoting=quoting)
    writer.writerow(NAMES[:columns] + [""] * (2 if trailing else 0))
    writer.writerows(row + [""] * (2 if trailing else 0) for row in rows)
    above = draw(
        st.sampled_from(
            ["", f"# made by me{ending}", f"sep={separator}{ending}", f"My title{ending}{ending}"]
        )
    )
    below = draw(st.sampled_from(["", ending, (separator * (columns - 1) + ending) * 3]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    return (above + sink.getvalue() + below).encode(encoding), encoding, rows


@settings(max_examples=150)
@given(files())
def test_rows_read_are_the_rows_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[bytes, str, list[list[str]]]
) -> None:
    """What Python's csv module wrote comes back, cell by cell, whatever separates, quotes, ends and encodes it."""
    content, encoding, rows = file
    folder = tmp_path_factory.mktemp("dialect")
    layout = Layout("first", "cp1252" if encoding == "cp1252" else "")
    table = opened(folder, content, layout=layout).read()
    missing = {"", "NA"}
    width = len(rows[0])
    assert table.column_names[:width] == NAMES[:width]
    read = list(zip(*(table.column(place).to_pylist() for place in range(width)), strict=True))
    assert read == [tuple(None if cell in missing else cell for cell in row) for row in rows]
