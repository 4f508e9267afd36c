"""A version that exists is judged and calibrated on a table that memory does not hold as on one that it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cells import NO_OPTIONS
from data.errors import DataError, LargerThanMemory
from data.schema import Schema
from data.sources import Source, open_source
from data.splits import SplitRule, split_table
from data.tables import describe, fingerprint, load_kept
from data.tables.streams import form_of
from training.rows import parts
from training.rows.known import known_parts, load_known
from training.rows.parts import Sampled, sampling

ROOM = 1e6
RULE = SplitRule("hash", ("a", "shop"), salt="t")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """A category of digits, prices, gaps in the target, and words that mean nothing elsewhere."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": random.normal(size=600).round(3), "shop": random.choice(["7", "08", "NA"], 600)}
    )
    frame["cost"] = [f"${value:,}" for value in random.integers(1_000, 9_000, 600)]
    frame["w"] = random.integers(0, 3, 600).astype(float)
    frame["y"] = (2.0 * frame["a"] + random.normal(size=600)).where(frame.index % 9 > 0)
    return frame


@pytest.fixture(scope="module")
def schema(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """What the first training found: the shop was a category, for one was 08."""
    table = load_kept(source_of(frame, tmp_path_factory.mktemp("t") / "t.csv"), {})
    return describe(table, ["a", "shop", "cost"], target="y")


def source_of(frame: pd.DataFrame, path: Path) -> Source:
    """Write a table, Parquet in groups of a few rows."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=37, index=False)
    else:
        frame.to_csv(path, index=False)
    return open_source(str(path))


def judged(source: Source, schema: Schema, rule: SplitRule = RULE, weight: str = "") -> Sampled:
    """Return the rows of each side that a version is judged by, read in parts."""
    form = known_parts.form_for(source, schema, rule.kinds, NO_OPTIONS, ROOM)
    return known_parts.judged(form, rule, "y", weight, otherwise="pass a part of it")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_all_rows_of_a_small_table_are_those_that_memory_would_hold(
    frame: pd.DataFrame, schema: Schema, tmp_path: Path, ending: str
) -> None:
    """The same cells: digits stay the category that they were, and prices are numbers."""
    part = (
        frame[frame["shop"] != "08"] if ending == "csv" else frame
    )  # this month's are all digits, or missing words
    source = source_of(part, tmp_path / f"t.{ending}")
    held, some = load_known(source, schema), judged(source, schema)
    expected = held.take(~np.isnan(held.numbers("y"))).frame
    columns = list(expected)
    pd.testing.assert_frame_equal(
        some.table.frame.sort_values(columns, ignore_index=True),
        expected.sort_values(columns, ignore_index=True),
    )
    assert some.taken == some.counts == split_table(held.take(~np.isnan(held.numbers("y"))), RULE).counts


def test_a_sample_has_rows_of_each_side_whatever_their_order(
    frame: pd.DataFrame, schema: Schema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out rows are few among all: they are counted by themselves, and stay held out."""
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)
    monkeypatch.setattr(sampling, "BYTES_A_CELL", ROOM / 2_500)
    source = source_of(frame, tmp_path / "t.parquet")
    other = source_of(frame.sample(frac=1.0, random_state=1), tmp_path / "other.parquet")
    some, again = judged(source, schema), judged(other, schema)
    pd.testing.assert_frame_equal(some.table.frame, again.table.frame)
    assert split_table(some.table, RULE).counts == some.taken
    assert 10 <= some.taken["holdout"] < some.counts["holdout"]
    assert f"{some.taken['holdout']} of {some.counts['holdout']} holdout" in some.in_words


def test_the_fingerprint_is_that_of_the_whole_table(frame: pd.DataFrame, tmp_path: Path) -> None:
    """By it a recalibration refuses the rows of the training."""
    source = source_of(frame, tmp_path / "t.parquet")
    form = form_of(source, {}, NO_OPTIONS, most_bytes=1e9)
    assert parts.fingerprint_of(form) == fingerprint(load_kept(source, {}))


@pytest.mark.parametrize("spoilt", ["infinite", "negative weight", "text", "absent"])
def test_a_fault_far_down_is_said_with_its_row(
    frame: pd.DataFrame, schema: Schema, tmp_path: Path, spoilt: str
) -> None:
    """A sample would pass by most of them."""
    changed = frame.astype({"y": object})
    if spoilt == "absent":
        changed = changed.drop(columns="y")
    else:
        column, value = {"negative weight": ("w", -1.0)}.get(
            spoilt, ("y", {"infinite": np.inf}.get(spoilt, "n0ne"))
        )
        changed.loc[590, column] = value
    with pytest.raises(DataError, match="'y': it has a, shop" if spoilt == "absent" else "row 591"):
        judged(source_of(changed, tmp_path / "t.csv"), schema, weight="w")


def test_a_split_that_sees_all_rows_at_once_is_refused(
    frame: pd.DataFrame, schema: Schema, tmp_path: Path
) -> None:
    """In the words of the command that asked."""
    with pytest.raises(LargerThanMemory, match="pass a part of it"):
        judged(source_of(frame, tmp_path / "t.csv"), schema, replace(RULE, method="time", columns=("a",)))


def test_memory_that_is_asked_for_decides_what_is_read_in_parts(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is free does, of which a half is taken."""
    source = source_of(frame, tmp_path / "t.parquet")
    assert parts.room_for(source, None) is None
    assert parts.room_for(source, 1e4) == 1e4
    monkeypatch.setattr(parts.seeing, "free_memory", lambda: 1e4)
    assert parts.room_for(source, None) == 5e3
    assert parts.room_for(source, 1e9) is None
