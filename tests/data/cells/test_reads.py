"""How a table's columns are read: by themselves, by one another, by what is asked; a doubt stops who wants it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import contracts
from data.cells import Reading, ReadOptions, readings_in_words
from data.checks import check_table
from data.errors import FaultsFound, MissingColumn, UnusableColumn, UnusableTarget
from data.schema import Schema
from data.sources import open_source
from data.tables import Table, describe, load_table

ROWS = 60


def load(folder: Path, asked: ReadOptions | None = None, **columns: list[str]) -> Table:
    """A CSV file of these columns, its rows repeated."""
    path = folder / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[cells[row % len(cells)] for cells in columns.values()] for row in range(ROWS)])
    return load_table(open_source(str(path)), asked or ReadOptions())


def check(table: Table, target: str = "y") -> None:
    """What a training does first."""
    check_table(table, target=target)


Y = [f"{row}.5" for row in range(ROWS)]


def test_columns_without_doubt_decide_for_the_others(tmp_path: Path) -> None:
    """One file has one decimal mark: that of `b`."""
    comma = load(tmp_path, y=["0,25", "12,5", "3"], a=["1,234", "12"])
    assert comma.numbers("a")[:2].tolist() == [1.234, 12.0]
    point = load(tmp_path, y=Y, a=["1,234", "12"])
    assert point.numbers("a")[:2].tolist() == [1234.0, 12.0]
    thousands = load(tmp_path, y=["0,25", "12,5", "3"], a=["1.234", "12"])
    assert thousands.numbers("a")[:2].tolist() == [1234.0, 12.0]


def test_columns_that_are_known_decide_for_the_others_too(tmp_path: Path) -> None:
    """What was known voted no more: the second reading of a file made 1.234 of what the first one had as 1234."""
    columns = {"y": ["0,25", "12,5", "3"], "a": ["1.234", "12"]}
    first = load(tmp_path, **columns)
    again = load(tmp_path, ReadOptions().with_known({"y": first.readings["y"]}), **columns)
    assert again.numbers("a").tolist() == first.numbers("a").tolist()
    assert again.readings == first.readings


def test_plain_numbers_stay_plain_whatever_other_columns_show(tmp_path: Path) -> None:
    """A new column with decimal commas moved the point of an old one; cells with other marks are read by these."""
    known = ReadOptions().with_known({"a": Reading("number")})
    table = load(tmp_path, known, y=["0,25", "12,5", "3"], a=["1.234", "12"])
    assert table.numbers("a")[:2].tolist() == [1.234, 12.0]
    written_anew = load(tmp_path, known, a=["1,5", "12,25"])
    assert written_anew.numbers("a")[:2].tolist() == [1.5, 12.25]


def test_another_decimal_mark_leaves_what_is_missing_as_it_is_known(tmp_path: Path) -> None:
    """`missing=` is said once; the mark may be said again each time, of numbers that show none as well."""
    known = {"a": Reading("number", missing=("-200",))}
    table = load(tmp_path, ReadOptions(decimal=",").with_known(known), y=["0,25", "3"], a=["-200", "12"])
    assert np.isnan(table.numbers("a")[0])
    assert table.numbers("y")[0] == 0.25


def test_columns_that_disagree_decide_nothing(tmp_path: Path) -> None:
    """Then the two readings are named, with what to pass."""
    table = load(tmp_path, y=Y, b=["0,25", "12,5", "3"], a=["1,234", "12"])
    with pytest.raises(UnusableColumn) as error:
        check(table)
    assert str(error.value) == (
        "column 'a': '1,234' may be 1234 (thousands) or 1.234 (decimal comma): "
        "pass read=a:thousands or read=a:decimal-comma"
    )


def test_a_doubt_stops_only_who_wants_the_column(tmp_path: Path) -> None:
    """What is excluded need not be mended."""
    table = load(tmp_path, y=[str(row) for row in range(ROWS)], x=["1", "2"], a=["1,234", "12"])
    assert check_table(table, target="y", exclude=["a"]).features == ("x",)


def test_a_point_and_three_digits_stay_a_number(tmp_path: Path) -> None:
    """1.234 is 1.234 for everyone who wrote it with a program; nothing is said."""
    table = load(tmp_path, y=["1.234", "5.678"])
    assert table.numbers("y")[:2].tolist() == [1.234, 5.678]
    assert not table.readings
    assert not table.doubts


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        (ReadOptions(read=(("a", "thousands"),)), 1234.0),
        (ReadOptions(read=(("a", "decimal-comma"),)), 1.234),
        (ReadOptions(decimal=","), 1.234),
        (ReadOptions(decimal="."), 1234.0),
    ],
)
def test_the_user_decides(tmp_path: Path, asked: ReadOptions, value: float) -> None:
    """By the column, or for all of them."""
    table = load(tmp_path, asked, y=[str(row) for row in range(ROWS)], a=["1,234", "12"])
    assert table.numbers("a")[0] == value


def test_a_decimal_comma_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """`decimal=,` makes no number of 1.5, and 1.234 is 1234 then."""
    table = load(tmp_path, ReadOptions(decimal=","), y=["1,5", "2"], a=["1.5", "2.25"], b=["1.234", "7"])
    assert table.numbers("b")[0] == 1234.0
    with pytest.raises(
        UnusableColumn, match=r"'1\.5' and others are not read as number with a decimal comma"
    ):
        check(table)


def test_digits_stay_text_where_the_user_says_so(tmp_path: Path) -> None:
    """Zip codes without a leading nought."""
    table = load(tmp_path, ReadOptions(read=(("zip", "text"),)), y=Y, zip=["10115", "80331"])
    assert table.kinds["zip"] == "category"
    assert describe(table, ["zip"], target="y").columns[0].categories == ("10115", "80331")


def dirty(folder: Path, asked: ReadOptions | None = None) -> Table:
    """60 areas of which three are no plain numbers."""
    cells = [str(row * 7 % 60) for row in range(ROWS)]
    cells[6], cells[8], cells[10] = "120 m2", "n/a?", "1200 qm"
    return load(folder, asked, y=Y, area=cells)


def test_dirty_cells_in_a_column_of_numbers_stop_a_training(tmp_path: Path) -> None:
    """Three of 1,500 dropped the best column, and the model was promoted."""
    with pytest.raises(UnusableColumn) as error:
        check(dirty(tmp_path))
    assert str(error.value) == (
        "column 'area': 57 cells are numbers, 3 are not (rows 7, 9, 11: '120 m2', 'n/a?', '1200 qm'): "
        "mend them, pass missing=..., or read=area:number, which makes them missing, or read=area:text"
    )


def test_dirty_cells_are_missing_where_the_user_says_so(tmp_path: Path) -> None:
    """With a warning that names them, and the same texts are missing when they are served."""
    table = dirty(tmp_path, ReadOptions(read=(("area", "number"),)))
    assert np.flatnonzero(np.isnan(table.numbers("area"))).tolist() == [6, 8, 10]
    assert "rows 7, 9, 11: '120 m2', 'n/a?', '1200 qm'" in table.noticed[0]
    column = describe(table, ["area"], target="y").columns[0]
    assert column.reading is not None
    assert column.reading.plain("120 m2") == ""
    assert column.reading.plain("130 m2") is None
    assert dirty(tmp_path, ReadOptions(missing=("120 m2", "n/a?", "1200 qm"))).kinds["area"] == "number"
    assert dirty(tmp_path, ReadOptions(read=(("area", "text"),))).kinds["area"] == "category"


def test_a_dash_among_amounts_is_not_made_missing_silently(tmp_path: Path) -> None:
    """It may be nought; also where another column decides about the marks."""
    cells = {"y": Y, "p": ["€1,234", "-", "€5"]}
    assert "'-'" in str(load(tmp_path, **cells).doubts["p"])
    table = load(tmp_path, ReadOptions(missing=("p:-",)), **cells)
    assert np.isnan(table.numbers("p")[:3]).tolist() == [False, True, False]


def test_dirty_dates_and_amounts_stop_too(tmp_path: Path) -> None:
    """Not only plain numbers."""
    days = [f"{row % 28 + 1:02d}.01.2024" for row in range(ROWS)]
    prices = [f"{row},50 €" for row in range(ROWS)]
    days[3], prices[4] = "soon", "free"
    with pytest.raises(FaultsFound) as error:
        check(load(tmp_path, y=Y, day=days, price=prices))
    said = str(error.value)
    assert "59 cells are read as a date such as 31.12.2024, 1 is not (row 4: 'soon')" in said
    assert "59 cells are read as currency €, decimal ,, 1 is not (row 5: 'free')" in said


def test_words_are_missing_in_all_columns_or_in_one(tmp_path: Path) -> None:
    """`?` is a gap among numbers anyway, but among words only if the user says so; -200 always is his to say."""
    columns = {"y": Y, "x": ["1", "?", "-200"], "c": ["a", "?", "b"]}
    plain = load(tmp_path, **columns)
    assert plain.frame["c"][1] == "?"
    assert plain.numbers("x")[2] == -200
    asked = load(tmp_path, ReadOptions(missing=("?", "-200")), **columns)
    assert asked.frame["c"][1] is None
    assert np.isnan(asked.numbers("x")[:3]).tolist() == [False, True, True]
    one = load(tmp_path, ReadOptions(missing=("x:-200", "c:b")), **columns)
    assert one.frame["c"][:3].tolist() == ["a", "?", None]
    assert np.isnan(one.numbers("x")[2])


def test_a_number_is_missing_only_where_numbers_are(tmp_path: Path) -> None:
    """A column of dates or words has nothing to do with -200, and is not said to."""
    table = load(
        tmp_path, ReadOptions(missing=("-200", "?")), y=Y, c=["a", "b"], d=["31.12.2024"], e=["-200", "a"]
    )
    said = {name: reading.missing for name, reading in table.readings.items()}
    assert said == {"y": ("-200", "?"), "c": ("?",), "d": ("?",), "e": ("-200", "?")}


def test_a_number_that_is_missing_may_be_written_in_any_way(tmp_path: Path) -> None:
    """UCI's AirQuality has -200 and -200,0."""
    table = load(tmp_path, ReadOptions(missing=("-200",)), y=Y, x=["1,5", "-200,0", "-200", "2"])
    assert np.isnan(table.numbers("x")[:4]).tolist() == [False, True, True, False]


def test_numbers_of_a_typed_file_may_be_missing_too(tmp_path: Path) -> None:
    """Parquet has no words, but sentinels; its text is read where the user asks for it."""
    path = tmp_path / "t.parquet"
    pd.DataFrame({"x": [1.0, -200.0], "n": [1, -200], "p": ["$5", "$1,000"], "z": [1, 2]}).to_parquet(path)
    asked = ReadOptions(read=(("p", "currency"), ("z", "text")), missing=("-200",))
    table = load_table(open_source(str(path)), asked)
    assert np.isnan(table.numbers("x")).tolist() == np.isnan(table.numbers("n")).tolist() == [False, True]
    assert table.numbers("p").tolist() == [5.0, 1000.0]
    assert table.frame["z"].tolist() == ["1", "2"]
    assert load_table(open_source(str(path))).kinds["p"] == "category"


def test_a_target_of_text_is_read_or_says_what_to_write(tmp_path: Path) -> None:
    """`'432,271 €'` in a text file is in doubt; in Parquet nothing is read unasked."""
    cells = [f"{row % 9 + 1}32,271 €" for row in range(ROWS)]
    with pytest.raises(UnusableColumn, match="read=y:thousands or read=y:decimal-comma"):
        check(load(tmp_path, x=["1", "2"], y=cells))
    assert (
        load(tmp_path, ReadOptions(read=(("y", "currency"),)), x=["1"], y=cells).numbers("y")[0] == 132271.0
    )
    path = tmp_path / "t.parquet"
    pd.DataFrame({"y": ["$5", "$6"] * 30, "x": range(60)}).to_parquet(path)
    with pytest.raises(UnusableTarget, match="pass read=y:currency"):
        check(load_table(open_source(str(path))))


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the nearest that is."""
    with pytest.raises(MissingColumn, match="did you mean 'area'"):
        load(tmp_path, ReadOptions(read=(("aera", "text"),)), area=["1"])


def test_a_reading_is_said_on_one_line_and_kept_in_the_schema(tmp_path: Path) -> None:
    """The unit comes with it."""
    table = load(tmp_path, y=["$1,234.50", "$3"], km=["12 km", "7 km"], far=["1 km", "9 km"])
    assert readings_in_words(table.readings) == ["y: currency $, thousands ,", "km, far: unit km"]
    schema = describe(table, ["km"], target="y")
    assert (schema.columns[0].unit, schema.target_unit) == ("km", "$")
    assert Schema.from_dict(schema.as_dict()) == schema


def test_a_contract_keeps_readings_and_tables_are_held_to_them(tmp_path: Path) -> None:
    """Next month's cells are read as promised, or the first that is not is named."""
    table = load(tmp_path, y=["1.234,50 €", "3 €"], c=["7", "A"])
    path = tmp_path / "kept.yaml"
    contracts.write(path, contracts.propose(table, target="y"))
    promised = contracts.read(path)
    assert promised.readings["y"] == table.readings["y"]
    good = load(tmp_path, ReadOptions(known=promised.readings), y=["1.234 €", "5 €"], c=["7", "7"])
    assert contracts.violations(promised, good) == []
    assert good.numbers("y")[0] == 1234.0
    bad = load(tmp_path, ReadOptions(known=promised.readings), y=["3 €", "1,234.50 €"], c=["7", "A"])
    (fault,) = contracts.violations(promised, bad)
    assert str(fault).startswith("column 'y', row 2: '1,234.50 €' is not read as currency €")


def test_a_contract_of_plain_numbers_is_not_kept_by_amounts(tmp_path: Path) -> None:
    """A percent sign that appears may mean another scale."""
    path = tmp_path / "kept.yaml"
    contracts.write(path, contracts.propose(load(tmp_path, y=Y, share=["0.5", "0.25"]), target="y"))
    table = load(tmp_path, y=Y, share=["50%", "25%"])
    (fault,) = contracts.violations(contracts.read(path), table)
    assert "is read as percent (12% is 12), plain cells are promised" in str(fault)


@pytest.mark.parametrize("said", ["Sale Price", "'Sale Price'", "Sale Price "])
def test_a_reading_is_heard_however_its_columns_name_is_written(tmp_path: Path, said: str) -> None:
    """A blank at the end, as Excel leaves it, or quotes; it was "has no read column"."""
    table = load(
        tmp_path,
        ReadOptions(((said, "text"),), (f"{said}:7",)),
        **{"Sale Price ": ["5", "6", "7"]},
        y=[*Y[:-1], "7"],
    )
    assert table.frame["Sale Price "][:3].tolist() == ["5", "6", None]
    assert table.numbers("y")[-1] == 7.0


def test_a_name_in_another_unicode_form_is_the_columns(tmp_path: Path) -> None:
    """Programs write é as one character or as two, and nobody sees which."""
    table = load(tmp_path, ReadOptions((("caf\u00e9", "text"),)), **{"cafe\u0301": ["5", "6"]})
    assert table.kinds["cafe\u0301"] == "category"
