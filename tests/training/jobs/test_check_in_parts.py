"""A table that memory does not hold is checked as one that it holds: the same findings, with the same rows."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import contracts
from data.cells import NO_OPTIONS
from data.errors import FaultsFound
from data.long_arrays import in_files
from data.sources import open_source
from data.tables import load_table, moments
from data.tables.streams import filed, form_of
from training.commands import CheckConfig
from training.jobs.check import check
from training.rows import contracted
from training.rows.parts import sampling, seeing

ROWS, MEMORY = 1_500, 2e5


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Something of all that is looked for, and columns in which nothing is wrong."""
    random = np.random.default_rng(0)
    start = pd.date_range("2020-01-01", periods=ROWS, freq="h")
    frame = pd.DataFrame({"a": random.normal(size=ROWS), "patient": random.integers(0, 150, ROWS)})
    frame["y"] = frame["patient"].map(pd.Series(random.normal(size=150) * 9.0)) + 0.1 * random.normal(
        size=ROWS
    )
    frame = frame.assign(
        open=random.random(ROWS) < 0.3,
        shop=random.choice(["Ulm", "Bonn", "bonn "], ROWS),
        cost=random.choice(["1.5", "2.5", "12 km"], ROWS),
        paid=random.choice(["$5", "€7,000"], ROWS),
        day=random.choice(["31.01.2024", "2024-01-30"], ROWS, p=[0.9, 0.1]),
        when=start.strftime("%Y-%m-%dT%H:%M:%S"),
        note=np.where(np.arange(ROWS) == 700, "a\n" * 120, "CafÃ©"),
        row=np.arange(ROWS),
        gone=np.where(random.random(ROWS) < 0.7, np.nan, random.random(ROWS)),
        late=np.where(np.arange(ROWS) > 0.9 * ROWS, np.nan, random.random(ROWS)),
        const=3,
        spike=np.where(random.random(ROWS) < 0.01, -999.0, random.random(ROWS)),
        wild=np.where(np.arange(ROWS) == 900, 1e12, random.normal(size=ROWS)),
        zip=random.integers(10_000, 10_040, ROWS),
        year=random.integers(2001, 2020, ROWS),
        empty=np.nan,
        before=frame["y"].shift(1),
        knows=2.0 * frame["y"] + 1.0,
        twin=frame["a"],
    )
    frame.loc[::170, "y"] = np.nan
    return frame


def said(where: Path, **asked: Any) -> list[str]:
    """Return what a check says of a table, and what it is refused for; in parts, a few rows of a column at once."""
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        if asked.get("memory"):
            patch.setattr(in_files, "ROWS_AT_ONCE", 113)
        try:
            check(CheckConfig(data=str(where), **asked), lambda step, words: lines.append(f"{step}: {words}"))
        except FaultsFound as error:
            lines += [f"fault: {fault}" for fault in error.faults]
    return lines


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table, Parquet in groups of a few rows."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=97, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample has about 400 rows of 22 columns."""
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)
    monkeypatch.setattr(sampling, "BYTES_A_CELL", MEMORY / (400 * 22))


FOUND = (
    "row 701: a text has 120 line breaks",
    "'12 km' among numbers",
    "numbers have currency",
    "are taken for different categories",
    "'CafÃ©' is garbled",
    "'row': counts the rows",
    "'gone': 71% of the rows are missing",
    "'const': is 3 in every row",
    "'twin': is the same as 'a'",
    "-999 is far from all others",
    "row 901: 1e12, all others lie between",
    "holds postal codes",
    "'empty' is left out",
)


@pytest.mark.parametrize(
    ("ending", "asked", "found"),
    [
        ("csv", {}, FOUND[:-1]),
        (
            "parquet",
            {"target": "y"},
            (*FOUND, "'knows' alone explains", "holdout rows share their 'patient'"),
        ),
        (
            "csv",
            {"target": "y", "time_column": "when", "exclude": ("a", "cost", "zip")},
            (
                "'before' is y of 1 rows before",
                "'late' is missing in 99% of the newest tenth",
                "holds years up to",
            ),
        ),
        (
            "parquet",
            {"target": "y", "strict": True, "exclude": ("knows",)},
            ("fault: column 'const'", "most dates are like 31.01.2024"),
        ),
        ("parquet", {"target": "a", "exclude": ("y", "day")}, ("'twin' alone explains 100.0% of a",)),
        ("csv", {"target": "shop"}, ("fault: target 'shop' is not numeric: row 1 is",)),
        ("parquet", {"target": "empty"}, ("fault: target 'empty' is missing in every row",)),
        (
            "csv",
            {"target": "x", "exclude": ("nowhere",)},
            ("no target column 'x'", "no excluded column 'nowhere'"),
        ),
        ("parquet", {"target": "y", "weight": "a"}, ("fault: weight 'a', row",)),
    ],
)
def test_what_is_found_in_parts_is_what_is_found_in_memory(
    frame: pd.DataFrame, tmp_path: Path, ending: str, asked: dict[str, Any], found: tuple[str, ...]
) -> None:
    """Each line and each row number; a sample that is all rows is no sample."""
    where = write(frame, tmp_path / f"t.{ending}")
    whole, parts = said(where, **asked), said(where, memory=MEMORY, **asked)
    assert parts == whole
    absent = [words for words in found if not any(words in line for line in parts)]
    assert not absent, "\n".join(parts)


PROMISES = """
target: y
rows: 2000
columns:
  a: {kind: number, minimum: -2.5}
  when: {kind: datetime, maximum: 2020-02-20}
  shop: {kind: category, values: [Ulm, Bonn]}
  gone: {kind: number, missing: 0.5}
  patient: {kind: number, unique: true}
  y: {kind: number, missing: 0.1}
  open: {kind: number}
  wind: {kind: number}
"""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_contract_is_held_to_all_rows_of_a_table_in_parts(
    frame: pd.DataFrame, tmp_path: Path, ending: str
) -> None:
    """Ranges, gaps, unseen categories, kinds, repeats; a training finds the same before it searches."""
    contract = tmp_path / "t.yaml"
    contract.write_text(PROMISES, encoding="utf-8")
    few = frame[["a", "when", "shop", "gone", "patient", "y", "open", "row"]]
    where = write(few, tmp_path / f"t.{ending}")
    whole = said(where, contract=str(contract))
    assert said(where, contract=str(contract), memory=MEMORY) == whole
    broken = [line.removeprefix("fault: ") for line in whole if line.startswith("fault: ")]
    assert len(broken) == 9
    source, promised = open_source(str(where)), contracts.read(contract)
    with pytest.raises(FaultsFound) as raised:
        contracted.hold(promised, form_of(source, {}, most_bytes=MEMORY, options=NO_OPTIONS))
    assert [str(fault) for fault in raised.value.faults] == broken


def test_the_contract_that_is_proposed_is_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Its limits are those of all rows."""
    where, texts = write(frame, tmp_path / "t.parquet"), []
    for memory in (None, MEMORY):
        path = tmp_path / f"{memory}.yaml"
        said(where, contract=str(path), target="y", memory=memory)
        texts.append(path.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert "minimum" in texts[0]


@pytest.mark.usefixtures("small")
def test_what_is_found_in_a_sample_says_so(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Whole groups, and rows that follow each other, are looked at where they are: a sample would part them."""
    where = write(frame, tmp_path / "t.parquet")
    whole = said(where, target="y", time_column="when")
    lines = said(where, target="y", time_column="when", memory=MEMORY)
    (sample,) = [line for line in lines if line.startswith("sample: ")]
    assert sample.startswith("sample: 400 of 1,491 rows: ")
    marked = [line for line in lines if "(in the" in line]
    assert any("'knows' alone explains 100.0% of y" in line for line in marked)
    assert any("'late' is missing in " in line and line.endswith("(in the sample)") for line in marked)
    assert any(
        "'before' is y of 1 rows before" in line and line.endswith("(in the 400 oldest)") for line in marked
    )
    unmarked = {line for line in whole if line.startswith("warning: column") and "newest" not in line}
    assert {line for line in unmarked if " y" not in line} <= {*lines}
    lines = said(where, target="y", memory=MEMORY)
    assert any("share their 'patient'" in line and "rows, whole groups)" in line for line in lines)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("asked", [{"time_column": "gone"}, {"weight": "a"}, {"target": "day"}])
def test_a_fault_is_found_whatever_the_sample_is(
    frame: pd.DataFrame, tmp_path: Path, asked: dict[str, Any]
) -> None:
    """With its row in the table."""
    where, asked = write(frame, tmp_path / "t.parquet"), {"target": "y"} | asked
    found = [line for line in said(where, **asked) if "row " in line and asked.get("time_column", "") in line]
    assert {*found} <= {*said(where, memory=MEMORY, **asked)}
    assert found


PROMISED = """
columns:
  id: {kind: number, unique: true, minimum: 0}
  row: {kind: number, unique: true}
  when: {kind: datetime, unique: true}
  y: {kind: number, missing: 0.5, maximum: 5}
  empty: {kind: number, missing: 1}
  w: {kind: number}
  shop: {kind: category, unique: true}
"""


def test_a_column_is_looked_at_without_holding_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What more rows take is a few marks of each: no numbers, no texts, no order of them."""
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)
    for module in (in_files, moments):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 4_000)
    (tmp_path / "c.yaml").write_text(PROMISED, encoding="utf-8")
    random, peaks = np.random.default_rng(0), []
    for rows in (20_000, 60_000):
        numbers = random.permutation(rows)
        start = np.datetime64("2024-01-01T00:00:00", "s")
        frame = pd.DataFrame({"id": numbers, "row": np.arange(rows), "when": (start + numbers).astype(str)})
        frame = frame.assign(
            y=np.where(random.random(rows) < 0.2, np.nan, random.normal(size=rows)),
            empty=np.nan,
            w=random.random(rows),
            shop=random.choice(["Ulm", "Bonn", "bonn "], rows),
        )
        frame.to_parquet(where := tmp_path / f"{rows}.parquet", row_group_size=4_000, index=False)
        del frame, numbers
        asked = {"target": "y", "time_column": "when", "weight": "w", "contract": str(tmp_path / "c.yaml")}
        tracemalloc.start()
        with suppress(FaultsFound):
            check(CheckConfig(data=str(where), memory=1e5, **asked), lambda *_: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 40_000 < 8.0


def test_a_column_of_too_many_texts_says_where_it_ends(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names rows, and is left out; what stands in the rows before is looked at."""
    for module in (filed, seeing):
        monkeypatch.setattr(module, "MOST_TEXTS", 200)
    names = np.array([f"id {row}" for row in range(ROWS)])
    names[100] = "CafÃ©"
    where = write(frame[["a", "y"]].assign(name=names), tmp_path / "t.parquet")
    lines = said(where, target="y", memory=1e4)
    assert (
        "note: column 'name' has more than 200 different texts: only its first 200 rows were looked at"
        in lines
    )
    assert any("row 101: 'CafÃ©' is garbled" in line for line in lines)
    assert any("'name' is left out: more than 200 different texts in 1491 rows" in line for line in lines)
    other = write(
        frame[["a"]].assign(y=[f"{row}.5" for row in range(ROWS - 1)] + ["n0ne"]), tmp_path / "u.csv"
    )
    refused = said(other, target="y", memory=1e5, read=(("y", "text"),))
    assert refused[-1:] == said(other, target="y", read=(("y", "text"),))[-1:]


def test_a_table_in_files_is_the_table(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Each cell, and some of the rows of some of the rows; the files are gone behind it."""
    source = open_source(str(write(frame, tmp_path / "t.parquet")))
    whole, form = load_table(source), form_of(source, {}, NO_OPTIONS)
    chosen = np.arange(ROWS) % 3 > 0
    again = np.arange(chosen.sum()) % 2 > 0
    with filed.opened(form) as table:
        pd.testing.assert_frame_equal(filed.held(table).frame, whole.frame)
        assert table.take(np.ones(ROWS, dtype=np.bool_)) is table
        some = table.take(chosen).take(again)
        assert len(some) == again.sum()
        pd.testing.assert_frame_equal(filed.held(some).frame, whole.take(chosen).take(again).frame)
