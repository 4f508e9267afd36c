"""A sheet of a workbook is a table like any other."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest

from data.errors import EmptySource, UnreadableSource
from data.sources import open_source
from data.tables import load_table
from tests.data.sources.formats.spreadsheets import Cell, write

ROWS: list[list[Cell]] = [
    ["x", "when", "town", "old", "zip"],
    [1.5, datetime(2024, 1, 31, 5, 30), "Köln; am Rhein", True, "007"],
    [None, None, 'a\n"b",\n', False, "008"],
    [-2e-7, datetime(2024, 2, 1), "#DIV/0!", True, "009"],
]


def test_a_sheet_is_read_with_its_kinds(tmp_path: Path) -> None:
    """Numbers to the last digit, dates, booleans, texts with line breaks, gaps; an error is a gap."""
    path = write(tmp_path / "t.xlsx", {"Data": [*ROWS, [None] * 5], "Notes": []})
    table = load_table(open_source(str(path)))
    assert table.kinds == {
        "x": "number",
        "when": "datetime",
        "town": "category",
        "old": "boolean",
        "zip": "category",
    }
    assert table.frame["x"].tolist()[::2] == [1.5, -2e-7]
    assert table.frame["when"].tolist() == ["2024-01-31T05:30:00", None, "2024-02-01"]
    assert table.frame["town"].tolist() == ["Köln; am Rhein", 'a\n"b",\n', None]
    assert table.frame["zip"].tolist() == ["007", "008", "009"]


def test_a_title_and_empty_cells_around_a_table_are_no_rows(tmp_path: Path) -> None:
    """As people lay out a sheet."""
    rows: list[list[Cell]] = [
        [],
        [None, "Sales of May"],
        [],
        [None, "x", "y", "z"],
        [None, 1, 2, 3],
        [None, 4, 5, 6],
    ]
    source = open_source(str(write(tmp_path / "t.xlsx", {"A": rows})))
    assert source.read().to_pydict() == {"x": ["1", "4"], "y": ["2", "5"], "z": ["3", "6"]}
    assert source.notes == ["t.xlsx: 2 lines above the header left out"]


def test_of_several_sheets_one_is_named(tmp_path: Path) -> None:
    """Two have rows: nobody can tell which is meant."""
    sheets: dict[str, list[list[Cell]]] = {"May": [["x"], [1.5]], "No #1": [["x"], [2.5]], "Empty": []}
    path = write(tmp_path / "t.xlsx", sheets)
    with pytest.raises(
        UnreadableSource, match=r"cells on 2 sheets \('May', 'No #1'\): name one: .*t.xlsx#May"
    ):
        open_source(str(path))
    assert open_source(f"{path}#May").read()["x"].to_pylist() == ["1.5"]
    with pytest.raises(UnreadableSource, match="has no sheet 'June': it has 'May', 'No #1', 'Empty'"):
        open_source(f"{path}#June")
    with pytest.raises(UnreadableSource, match="has no sheet with a cell"):
        open_source(str(write(tmp_path / "none.xlsx", {"A": []})))
    with pytest.raises(EmptySource):
        open_source(f"{path}#Empty")


def test_what_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No workbook, one that unpacks to more than memory has, and no reader for it."""
    (tmp_path / "text.xlsx").write_text("x,y\n1,2\n")
    with pytest.raises(UnreadableSource, match=r"text\.xlsx: is no workbook that can be read"):
        open_source(str(tmp_path / "text.xlsx"))
    path = write(tmp_path / "t.xlsx", {"A": ROWS})
    monkeypatch.setattr("data.sources.formats.spreadsheets.LARGEST", 1000)
    with pytest.raises(UnreadableSource, match="save the sheet as CSV"):
        open_source(str(path))
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UnreadableSource, match=r"needs python-calamine: pip install '\.\[excel\]'"):
        open_source(str(path))
