"""A table that memory does not hold is arranged as one that it holds: the same rows, counts, words and faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cells import NO_OPTIONS
from data.errors import DataError
from data.own_files import own_folder
from data.sources import open_source
from data.splits import SplitRule, split_table
from data.tables import load_kept
from data.tables.streams import form_of
from training.commands import trainings
from training.errors import UsageError
from training.rows import PreparedTable, arrange, thinned
from training.rows.known import known_tables
from training.rows.known.kept_split import asked_rule
from training.rows.parts import sampling

ROWS = 1_200
CONFIG = trainings.TrainConfig("t", "y", name="t")
OF_EACH_SPLIT = pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, key=("id",), weight="w"),
        replace(CONFIG, split="group", group_column="shop", time_column="day"),
    ],
    ids=["hash", "key and weight", "three groups"],
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Numbers, texts, dates and gaps; a tenth of the rows stands there twice."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(size=ROWS).round(3),
            "b": random.integers(0, 9, ROWS),
            "shop": random.choice(["Ulm", "Bonn", "Köln"], ROWS),
            "day": pd.date_range("2024-01-01", periods=ROWS, freq="h").strftime("%Y-%m-%d"),
            "id": [f"id{row}" for row in range(ROWS)],
            "empty": np.nan,
            "w": random.integers(0, 3, ROWS).astype(float),
        }
    )
    frame["y"] = 2.0 * frame["a"] + frame["b"] + random.normal(size=ROWS)
    frame.loc[::7, "a"], frame.loc[::11, "shop"], frame.loc[3:9, "y"] = np.nan, None, np.nan
    return pd.concat([frame, frame[:120]], ignore_index=True)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training takes about 400 rows to learn from, and 50 to be judged by."""
    for name, value in {"CELLS_A_SECOND": 0, "LEAST_CELLS": 2_000, "JUDGED_A_SECOND": 0}.items():
        monkeypatch.setattr(thinned, name, value)
    monkeypatch.setattr(thinned, "LEAST_JUDGED", 50)
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)


def write(frame: pd.DataFrame, path: Path) -> str:
    """Write a table, Parquet in groups of a few rows."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=97, index=False)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def arranged(
    where: str,
    config: trainings.TrainConfig = CONFIG,
    *,
    memory: float | None = None,
    rule: SplitRule | None = None,
) -> tuple[PreparedTable, list[str]]:
    """Return the rows that a training goes on with, read whole or in parts, and what it says."""
    said: list[str] = []
    source = open_source(where)
    whole = memory is None
    table = load_kept(source, {}) if whole else form_of(source, {}, NO_OPTIONS, most_bytes=memory)
    head = known_tables.head_of(table)
    rule = rule or asked_rule(config, head)
    rule = replace(rule, kinds={name: head.kinds.get(name) for name in rule.columns}, values="alike")
    return arrange(table, rule, config, lambda step, words: said.append(f"{step}: {words}")), said


def assert_alike(one: PreparedTable, other: PreparedTable) -> None:
    """Hold two to the same fingerprint, sides, schema and rows, in the same order."""
    assert one.fingerprint == other.fingerprint
    assert one.split.rule == other.split.rule
    assert one.all_counts == other.all_counts
    assert one.schema == other.schema
    pd.testing.assert_frame_equal(one.checked.table.frame, other.checked.table.frame)
    assert one.split.sides.tolist() == other.split.sides.tolist()
    assert one.split.blocks.tolist() == other.split.blocks.tolist()
    assert one.checked.rows_without_target == other.checked.rows_without_target
    assert (one.moments is None) == (other.moments is None)
    if one.moments is not None and other.moments is not None:
        assert one.moments.tolist() == other.moments.tolist()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@OF_EACH_SPLIT
def test_the_rows_are_those_that_memory_would_hold(
    frame: pd.DataFrame, tmp_path: Path, ending: str, config: trainings.TrainConfig
) -> None:
    """What was held out stays so, however much memory the next machine has; few groups are dealt in both ways."""
    where = write(frame.assign(shop=frame["shop"].fillna("Ulm")), tmp_path / f"t.{ending}")
    (whole, said), (parts, words) = arranged(where, config), arranged(where, config, memory=1e9)
    assert_alike(whole, parts)
    assert whole.all_counts is not None
    assert said == words


def test_neither_order_nor_files_change_the_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A database gives its rows as it likes, and a folder has as many files as were written."""
    one = write(frame, tmp_path / "t.parquet")
    shuffled = frame.sample(frac=1.0, random_state=1)
    (tmp_path / "many").mkdir()
    for place in range(3):
        write(shuffled[place::3], tmp_path / "many" / f"{place}.parquet")
    assert_alike(arranged(one, memory=1e9)[0], arranged(str(tmp_path / "many"), memory=1e9)[0])


def test_less_memory_takes_fewer_of_the_same_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    """And it is said which parameter takes more, and what looks wrong in those rows alone."""
    where = write(frame.assign(const=3), tmp_path / "t.csv")
    more, _ = arranged(where, memory=1e9)
    less, said = arranged(where, memory=1_000 * sampling.BYTES_A_CELL)
    assert 0 < less.split.counts["train"] < more.split.counts["train"]
    assert set(less.target("train")) <= set(more.target("train"))
    assert less.schema == more.schema
    assert "what memory holds; a larger memory takes more" in said[-1]
    assert "warning: column 'const': is 3 in every row: exclude it: it tells nothing (in the sample)" in said


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, weight="w")], ids=["alike", "weight"])
def test_a_small_table_is_the_same_however_little_memory_is_asked_for(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: trainings.TrainConfig
) -> None:
    """All rows are learned then, in the table's order, which trees learn too: so their digest is the same."""
    for module, name in ((thinned, "LEAST_CELLS"), (thinned, "LEAST_JUDGED"), (sampling, "LEAST_CELLS")):
        monkeypatch.setattr(module, name, 1_000_000)
    where = write(frame.sample(frac=1.0, random_state=2), tmp_path / "t.parquet")
    (whole, said), (parts, words) = arranged(where, config), arranged(where, config, memory=1.0)
    counted = whole.split.sides != ""  # a row of weight 0 stands nowhere, and is not kept of many
    pd.testing.assert_frame_equal(
        whole.checked.table.take(counted).frame, parts.checked.table.frame, check_exact=True
    )
    assert whole.split.sides[counted].tolist() == parts.split.sides.tolist()
    assert (whole.all_counts, whole.everything) == (parts.all_counts, parts.everything) == (None, None)
    assert said == words


@pytest.mark.parametrize("memory", [None, 1e9], ids=["held", "in parts"])
def test_all_training_rows_can_be_read_again(
    frame: pd.DataFrame, tmp_path: Path, memory: float | None
) -> None:
    """And no other: a row that was held out must not be learned from."""
    where = write(frame, tmp_path / "t.parquet")
    parts, _ = arranged(where, memory=memory)
    assert parts.everything is not None
    assert parts.is_read_again == (memory is not None)
    read = list(parts.everything.parts())
    table = load_kept(open_source(where), {})
    labelled = table.take(~np.isnan(table.numbers("y")))
    held = split_table(labelled, parts.split.rule).mask("train")
    assert np.concatenate([target for _, target in read]).tolist() == labelled.numbers("y")[held].tolist()
    assert pd.concat([features["b"] for features, _ in read]).tolist() == labelled.frame["b"][held].tolist()
    assert parts.everything.count == held.sum() > parts.split.counts["train"]


@pytest.mark.parametrize("change", ["order", "fewer", "target"])
def test_rows_that_changed_meanwhile_are_not_learned(
    frame: pd.DataFrame, tmp_path: Path, change: str
) -> None:
    """They are told by their places: where a held-out row stands now, it was learned without a word."""
    where = write(frame, tmp_path / "t.csv")
    parts, _ = arranged(where, memory=1e9)
    changed = {
        "order": pd.concat([frame[1:], frame[:1]]),
        "fewer": frame[:-1],
        "target": frame.assign(y=frame["y"].iloc[::-1].to_numpy()),
    }[change]
    write(changed, tmp_path / "t.csv")
    assert parts.everything is not None
    with pytest.raises(DataError, match="other rows, or another order of them, than at the first reading"):
        list(parts.everything.parts())


def lacking(frame: pd.DataFrame, column: str, row: int, value: object) -> pd.DataFrame:
    """Return a table with one cell changed."""
    changed = frame.astype({column: object})
    changed.loc[row, column] = value
    return changed


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], trainings.TrainConfig]] = {
    "text in the target": (lambda frame: lacking(frame, "y", 1_190, "n0ne"), CONFIG),
    "text in a number": (lambda frame: lacking(frame, "a", 1_190, "n0ne"), CONFIG),
    "infinite": (lambda frame: lacking(lacking(frame, "a", 1_100, "inf"), "a", 1_190, "-inf"), CONFIG),
    "infinite target": (lambda frame: lacking(frame, "y", 1_190, "inf"), CONFIG),
    "constant target": (lambda frame: frame.assign(y=1.5), CONFIG),
    "few targets": (lambda frame: frame.assign(y=frame["y"].where(frame.index < 30)), CONFIG),
    "no target": (lambda frame: frame.drop(columns="y"), CONFIG),
    "negative weight": (lambda frame: lacking(frame, "w", 1_190, "-1"), replace(CONFIG, weight="w")),
    "day missing": (
        lambda frame: lacking(frame, "day", 1_190, None),
        replace(CONFIG, split="hash", time_column="day"),
    ),
    "no side": (lambda frame: frame, replace(CONFIG, split="column", split_column="shop")),
    "one group": (
        lambda frame: frame.assign(shop="Ulm"),
        replace(CONFIG, split="group", group_column="shop"),
    ),
    "no features": (lambda frame: frame[["y", "empty"]].assign(empty=None), CONFIG),
}


def folders() -> set[Path]:
    """The folders among this process's own files: other tests may have left theirs for their end."""
    return {path for path in Path(own_folder()).iterdir() if path.is_dir()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_in_the_same_words(frame: pd.DataFrame, tmp_path: Path, fault: str) -> None:
    """With the row's number in the whole table, wherever its part begins, and nothing is left behind."""
    spoil, config = FAULTS[fault]
    where = write(spoil(frame), tmp_path / "t.csv")
    rule = SplitRule("hash", ("empty",)) if fault == "no features" else None
    said, before = [], folders()
    for memory in (None, 1e9):
        with pytest.raises(DataError) as caught:
            arranged(where, config, memory=memory, rule=rule)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert folders() <= before


@pytest.mark.parametrize("method", ["time", "repeat"])
def test_a_split_that_sees_all_rows_at_once_is_refused(
    frame: pd.DataFrame, tmp_path: Path, method: str
) -> None:
    """In a line that says what would do."""
    where = write(frame, tmp_path / "t.csv")
    config = replace(CONFIG, split=method, time_column="day" if method == "time" else "", memory=1e6)
    with pytest.raises(
        UsageError, match=f"split={method} looks at all rows at once, .*takes more than memory=1MB"
    ):
        arranged(where, config, memory=1e6)


def test_a_table_is_read_in_parts_where_it_takes_more_than_its_memory(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    """And recorded with the memory that it had, so that it is repeated so."""
    source = open_source(write(frame, tmp_path / "t.parquet"))
    held = known_tables.read(source, {}, NO_OPTIONS, None)
    assert known_tables.with_memory(CONFIG, held) == CONFIG
    parts = known_tables.read(source, {}, NO_OPTIONS, 1e5)
    assert (len(parts), len(held)) == (len(frame), len(frame))
    assert known_tables.with_memory(CONFIG, parts).as_params()["memory"] == "0.1MB"
