"""A table keeps its contract or every broken promise is named; the contract's own faults too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data.contracts import propose, read, violations, write
from data.errors import ContractError
from data.tables import Table

ROWS = 60


def homes(**columns: object) -> Table:
    """A table with a column of each kind, with columns put over its own."""
    frame = pd.DataFrame(
        {
            "area": np.linspace(20.0, 90.0, ROWS),
            "sold": [f"2024-01-{row % 28 + 1:02d}" for row in range(ROWS)],
            "town": ["no", "1", "Köln: Süd"] * (ROWS // 3),
            "lift": [0.0, 1.0] * (ROWS // 2),
        }
    ).astype({"sold": object, "town": object})
    kinds = {"area": "number", "sold": "datetime", "town": "category", "lift": "boolean"}
    for name, values in columns.items():
        frame[name] = values
        kinds.setdefault(name, "number")
    return Table("homes.csv", frame, kinds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A contract as it is proposed."""
    path = tmp_path / "homes.yaml"
    write(path, propose(homes(), target="area", units={"area": "m²"}))
    return path


def edited(path: Path, **changes: dict) -> Path:
    """The contract, with changes by column."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, change in changes.items():
        content["columns"][name] |= change
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_a_table_keeps_the_contract_that_was_written_from_it(path: Path) -> None:
    """Names and categories such as `no` and `1` come back as the texts they are."""
    contract = read(path)
    assert violations(contract, homes()) == []
    assert contract.columns["town"].values == ("1", "Köln: Süd", "no")
    assert (contract.target, contract.units) == ("area", {"area": "m²"})


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_proposed_limits_hold_the_range_and_its_sign(numbers: list[float]) -> None:
    """No value that was seen is beyond them; a column without negative values gets no negative limit."""
    proposed = yaml.safe_load(propose(Table("t", pd.DataFrame({"x": numbers}), {"x": "number"})))["columns"][
        "x"
    ]
    assert proposed["minimum"] <= min(numbers) <= max(numbers) <= proposed["maximum"]
    assert (proposed["minimum"] < 0) == (min(numbers) < 0)


def test_every_broken_promise_is_named_at_once(path: Path) -> None:
    """Each with its column, rows, value and unit."""
    area = np.linspace(20.0, 90.0, ROWS)
    area[[2, 4]] = -999.0, 1e6
    town = ["no", "1", "Bonn"] * (ROWS // 3)
    town[1] = None
    said = [
        str(each)
        for each in violations(read(path), homes(area=area, town=pd.Series(town, dtype=object), new=1.0))
    ]
    assert said == [
        "column 'area', row 3: -999 m² is below 0 m²: mend the rows, or the contract",
        "column 'area', row 5: 1,000,000 m² is above 130 m²: mend the rows, or the contract",
        "column 'town', row 2: 1 of 60 cells are empty, none may be: fill them in",
        "column 'town', rows 3, 6, 9, 12, 15 and 15 more: 'Bonn' is not among the values allowed: "
        "mend the rows, or the contract",
        "column 'new': is not in the contract: add it there, or exclude it",
    ]


def test_dates_repetition_and_absence_can_be_promised(path: Path) -> None:
    """Limits of a datetime are dates; an optional column may be absent; a renamed one is guessed."""
    edited(path, sold={"maximum": "2024-01-20", "unique": True}, lift={"optional": True})
    table = homes()
    gone = Table(
        "t",
        table.frame.drop(columns="lift").rename(columns={"town": "Town"}),
        {**table.kinds, "Town": "category"},
    )
    said = "\n".join(map(str, violations(read(path), gone)))
    assert "'2024-01-21' is above 2024-01-20" in said
    assert "'2024-01-01' is there before" in said
    assert "column 'town': is missing: is it 'Town' now?" in said
    assert "lift" not in said


def test_empty_cells_break_no_promise_but_their_own(path: Path) -> None:
    """Three of them repeat nothing, are below no limit and are no value that is not allowed."""
    gaps = {"area": [np.nan] * 3 + [50.0 + row for row in range(57)], "town": [None] * 3 + ["Bonn"] * 57}
    limits = {"minimum": 50, "maximum": 106, "missing": 0.05}
    edited(path, area={**limits, "unique": True}, town={"missing": 0.05, "values": ["Bonn"]})
    faults = violations(read(path), homes(**gaps))
    assert [str(fault) for fault in faults if fault.column in gaps] == []


def test_a_column_of_another_kind_is_answered_with_the_first_stray(path: Path) -> None:
    """Text among numbers makes the column text."""
    area = pd.Series(["12.5"] * 7 + ["12 m²"] + ["3"] * (ROWS - 8), dtype=object)
    table = homes(area=area)
    (fault,) = violations(read(path), Table("t", table.frame, {**table.kinds, "area": "category"}))
    assert str(fault) == "column 'area': holds category values, number is promised: row 8 is '12 m²'"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no YAML"),
        ("target: x", "has no columns"),
        ("columns: {x: {kind: float}}", "column 'x' has kind 'float': write one of number"),
        (
            "columns: {x: {kind: number, minimun: 3}}",
            "column 'x': unknown key 'minimun': did you mean 'minimum'?",
        ),
        ("columns: {x: {kind: number, minimum: low}}", "column 'x': minimum is 'low': write a number"),
        ("columns: {x: {kind: datetime, minimum: 3}}", "minimum is 3: write a date"),
        ("columns: {x: {kind: number, missing: 7}}", "missing is 7: write a share"),
        ("columns: {x: {kind: category, values: a}}", "values is 'a': write a list"),
        ("columns: {x: {kind: category, minimum: 3}}", "is a category and has minimum: leave it out"),
        ("columns: {x: {kind: number, values: [a]}}", "values goes with category"),
        ("columns: {x: {kind: number, unique: often}}", "unique is 'often': write true or false"),
        ("columns: {x: {kind: number}}\ntarget: y", "target 'y' is not among the columns"),
        ("columns: {x: {kind: number}}\nrows: many", "rows is 'many'"),
    ],
)
def test_a_contract_that_cannot_be_held_to_is_refused(content: str, says: str, tmp_path: Path) -> None:
    """A misspelt key would promise nothing, silently."""
    path = tmp_path / "c.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        read(path)
    assert says in str(caught.value)


def test_a_contract_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """No half a file, and one line."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(ContractError, match="name a file that can be written"):
        write(tmp_path / "taken", "x")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
