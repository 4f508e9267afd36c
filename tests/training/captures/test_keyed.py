"""Outcomes of a table without ids: joined by what the captured rows hold, or counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.captures import Places
from tests.training.archive.kept import LAYOUT, NOON, frame_at, ids, written
from training import archive
from training.__main__ import main
from training.captures import captured_days

KEYS = ["dep_delay", "carrier"]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Two frames of four rows each; the first row of each has gaps."""
    places = Places(tmp_path / "captures")
    frames = [frame_at(NOON, 4), frame_at(NOON + timedelta(hours=1), 4, number=2)]
    written(places.frames / "1.frames", frames)
    return places


def captured(places: Places) -> pd.DataFrame:
    """The captured rows, with their ids."""
    archive.compact(places, lambda *_: None)
    days = list(captured_days(places, "flights", "3"))
    return pd.concat([day.frame.assign(id=day.ids, actual=day.actual) for day in days])


def told(places: Places, table: pd.DataFrame, *key: str, ending: str = "csv") -> int:
    """Send a table by the command; return its exit code."""
    path = places.folder.parent / f"outcomes.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    words = ["--name", "flights", "--captures", str(places.folder), "--data", str(path)]
    return main(["feedback", *words, "--key", ",".join(key)])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_outcome_goes_to_the_row_with_its_key(ending: str, places: Places, capfd) -> None:
    """Numbers to the last digit, categories as text; other columns of the table mean nothing."""
    rows = captured(places).dropna(subset=KEYS)
    table = rows[KEYS].assign(actual=np.arange(len(rows)) + 0.5, remark="late").sample(frac=1, random_state=0)
    assert told(places, table, *KEYS, ending=ending) == 0, capfd.readouterr()
    again = captured(places).set_index("id")["actual"]
    assert again.dropna().to_dict() == dict(zip(rows["id"], np.arange(len(rows)) + 0.5, strict=True))
    assert f"{len(rows)} labels of flights kept" in capfd.readouterr().out


def test_what_names_no_single_row_is_counted_and_not_guessed(places: Places, capfd) -> None:
    """No such prediction, several of one key, one key twice, no outcome: each is said, and the one left is kept."""
    rows = captured(places).dropna(subset=KEYS)
    first, second = rows["dep_delay"].iloc[:2]
    table = pd.DataFrame(
        {
            "dep_delay": [first, second, second, 99.0, None, rows["dep_delay"].iloc[2]],
            "actual": [1.0, 2.0, 3.0, 4.0, 5.0, None],
        }
    )
    assert told(places, table, "dep_delay") == 0
    said = capfd.readouterr().out
    assert (
        "1 rows have the key of no prediction, 2 rows a key that stands in the table twice, 2 rows no" in said
    )
    assert captured(places)["actual"].dropna().tolist() == [1.0]
    assert told(places, pd.DataFrame({"hour": [7], "actual": [1.0]}), "hour") == 0
    said = capfd.readouterr().out
    assert "1 rows that of several" in said
    assert "0 labels of flights kept" in said


def test_moments_and_booleans_are_compared_as_what_they_are(places: Places, tmp_path: Path) -> None:
    """A moment is written in many ways; the captured one has microseconds."""
    frame = frame_at(NOON + timedelta(days=1), 3, number=3)
    frame.matrix[1, 3:], frame.matrix[2, 3:] = (1.0, 1_764_288_001.5), (0.0, 1_764_288_002.25)
    written(places.frames / "2.frames", [frame])
    table = pd.DataFrame(
        {
            "planned": ["2025-11-28T01:00:01.5+01:00", "2025-11-28 00:00:02.250"],
            "weekend": ["true", "false"],
            "actual": [1.0, 2.0],
        }
    )
    assert told(places, table, "planned", "weekend") == 0
    assert captured(places).set_index("id")["actual"].dropna().to_dict() == dict(
        zip(ids(frame)[1:], [1.0, 2.0], strict=True)
    )


def test_a_models_columns_may_be_called_as_ours_are(tmp_path: Path) -> None:
    """A table of ours, from which somebody trained: the join's own columns stand beside them."""
    places, own = Places(tmp_path / "captures"), ("slipway_row", "slipway_id")
    columns = [replace(each, name=name) for each, name in zip(LAYOUT.columns, own, strict=False)]
    layout = replace(LAYOUT, columns=(*columns, *LAYOUT.columns[2:]))
    frame = frame_at(NOON, 4, layout=layout)
    written(places.frames / "1.frames", [frame], [layout])
    table = pd.DataFrame(frame.matrix[1:, :2], columns=list(own)).assign(actual=[1.0, 2.0, 3.0])
    assert told(places, table, *own) == 0
    assert captured(places).set_index("id")["actual"].dropna().to_dict() == dict(
        zip(ids(frame)[1:], [1.0, 2.0, 3.0], strict=True)
    )


@pytest.mark.parametrize("way", ["left out", "hashed", "unknown"])
def test_a_column_that_was_not_kept_as_it_was_sent_is_no_key(way: str, places: Places, capfd) -> None:
    """In one line, with those that are; nothing is kept."""
    layout = replace(LAYOUT, hashed=("carrier",)) if way == "hashed" else LAYOUT
    if way == "left out":
        layout = replace(LAYOUT, columns=tuple(each for each in LAYOUT.columns if each.name != "carrier"))
    frame = frame_at(NOON + timedelta(days=1), 3, number=3, layout=layout)
    if way == "left out":
        frame = replace(frame, matrix=np.delete(frame.matrix, 2, axis=1), unseen=())
    written(places.frames / "2.frames", [frame], [layout])
    key = "tail" if way == "unknown" else "carrier"
    assert told(places, pd.DataFrame({key: ["AA"], "actual": [1.0]}), key) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"have no column '{key}' of 'flights' as it was sent" in line
    assert "name a key of " in line
    assert not list(places.folder.glob("labels/*"))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"carrier": ["AA"], "actual": [1.0]}, "no key column 'dep_delay'"),
        ({"dep_delay": [1.0]}, "no outcome column 'actual'"),
        ({"dep_delay": ["soon"], "actual": [1.0]}, "dep_delay"),
        ({"dep_delay": [1.0], "actual": ["late"]}, "actual"),
    ],
    ids=["no key", "no outcome", "a text for a number", "a text for an outcome"],
)
def test_a_table_that_cannot_be_joined_is_one_line(
    table: dict[str, list[object]], says: str, places: Places, capfd
) -> None:
    """What, where, and how to mend it."""
    assert told(places, pd.DataFrame(table), "dep_delay") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert says in line
    assert not list(places.folder.glob("labels/*.labels"))
