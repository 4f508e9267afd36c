"""Every fault of a table is found at once, with its rows, and a sound table has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.checks import column_faults
from data.checks.faults import TableFault
from data.sources import open_source
from data.tables import load_table

ROWS = 40


def found(folder: Path, **columns: list[str]) -> list[TableFault]:
    """The faults of a CSV file with these cells."""
    path = folder / "t.csv"
    lines = [",".join(columns)] + [
        ",".join(f'"{cell}"' if "," in cell else cell for cell in row)
        for row in zip(*columns.values(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return column_faults(load_table(open_source(str(path))))


def cells(*, at: dict[int, str] | None = None, form: str = "{0}.25") -> list[str]:
    """A column of texts in which some rows, counted from 1, stand out."""
    written = [form.format(row % 28 + 1) for row in range(1, ROWS + 1)]
    for row, text in (at or {}).items():
        written[row - 1] = text
    return written


@pytest.mark.parametrize(
    ("column", "rows", "says"),
    [
        (cells(at={7: "12 km", 9: "far"}), (7, 9), "'12 km' among numbers"),
        (cells(form="${0},500", at=dict.fromkeys((1, 2, 3), "€5")), (1, 2, 3, 4, 5), "marks, such as '€5'"),
        (cells(at={40: "1.234,5"}), (40,), "marks, such as '1.234,5': write digits and a point"),
        (
            cells(form="2024-01-{0:02d}", at={5: "31/01/24"}),
            (5,),
            "most dates are like 2024-01-31, these like 31/01",
        ),
        (cells(form="{0:02d}.01.24"), (), "dates such as '02.01.24' are taken as text"),
        (cells(form="2024-01-{0:02d}", at={8: "2024-02-30"}), (8,), "'2024-02-30' is no date"),
        (cells(form="2024-01-{0:02d}", at={8: "2024-01-05 8:15"}), (8,), "'2024-01-05 8:15' is no date"),
        (cells(form="2024-01-{0:02d}", at={8: "soon"}), (8,), "'soon' among dates"),
        (cells(form="Café {0}", at={2: "CafÃ© 1"}), (2,), "'CafÃ© 1' is garbled"),
        (cells(form="A", at={4: "a ", 6: "B"}), (4,), "'A' and 'a ' are taken for different categories"),
        (cells(form="7"), (), "is 7 in every row"),
        (cells(at=dict.fromkeys(range(1, 31), "")), (), "75% of the rows are missing"),
        ([str(row) for row in range(ROWS)], (), "counts the rows"),
    ],
)
def test_a_fault_is_named_with_its_rows(
    column: list[str], rows: tuple[int, ...], says: str, tmp_path: Path
) -> None:
    """Rows are counted from 1, without the header; five are shown."""
    other = [str(row % 7) for row in range(ROWS)]
    (fault,) = found(tmp_path, other=other, x=column)
    assert fault.column == "x"
    assert fault.rows == rows
    assert says in str(fault)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """One line each, so that a table is mended in one go."""
    given = {
        "a": cells(),
        "b": cells(form="€{0}", at=dict.fromkeys((1, 2, 3), "$5")),
        "c": cells(at={3: "x"}),
        "d": cells(),
    }
    said = [str(fault) for fault in found(tmp_path, **given)]
    assert [line.split("'")[1] for line in said] == ["b", "c", "d"]
    assert said[2].startswith("column 'd': is the same as 'a' in every row")
    assert said[0].startswith("column 'b', rows 1, 2, 3, 4, 5 and 35 more: numbers have currency")


@pytest.mark.parametrize(
    "column",
    [
        cells(),
        cells(form="{0:05d}"),
        cells(form="AB{0}"),
        cells(form="2024-01-{0:02d}"),
        ["true", "false"] * 20,
    ],
)
def test_a_sound_column_has_no_fault(column: list[str], tmp_path: Path) -> None:
    """Numbers, postal codes, words, dates, booleans."""
    assert found(tmp_path, x=column, other=[str(row % 7) for row in range(ROWS)]) == []
