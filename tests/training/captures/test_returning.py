"""Labels of a table: the same that a request brings, in a file that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import time
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from data.captures import Places, RecordFile
from data.errors import DuplicateColumns, EmptySource
from data.sources import open_source
from tests.training.archive.kept import NOON, frame_at, ids, written
from training import archive, captures
from training.archive.errors import NoCaptures, NotCaptured, UnusableLabels
from training.captures import captured_days, returning
from training.commands import watches
from training.console.failures import failure_of
from training.jobs.loop.feedback import feedback


@pytest.fixture()
def places(tmp_path):
    """A folder of captures with three rows of the flights; the first has the caller's id `mine-1`."""
    made = Places(tmp_path / "captures")
    written(made.frames / "a.frames", [frame_at(NOON)])
    return made


IDS = ids(frame_at(NOON))


def table(folder, ending, **columns):
    """Write a table and return its place."""
    frame, path = pd.DataFrame(columns), folder / f"labels.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        frame.to_parquet(path, index=False)
    elif ending == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        path = f"sqlite:///{folder}/labels.db"
        frame.to_sql("labels", path, index=False)
    return str(path)


def labels_in(places):
    """Return all labels that lie there."""
    return [
        label
        for path in sorted(places.labels.iterdir())
        for record in RecordFile(path)
        for label in record.head["labels"]
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", "db"])
def test_a_table_of_any_kind_says_the_same(places, tmp_path, ending):
    """What is a gap there is null, and withdraws."""
    where = table(tmp_path, ending, id=IDS, actual=[0.1, None, 2], at=["2026-11-28T10:00:00Z", None, None])
    query = "SELECT * FROM labels" if ending == "db" else ""
    said = []
    config = watches.FeedbackConfig("flights", str(places.folder), where, query=query)
    feedback(config, lambda step, text: said.append((step, text)))
    assert labels_in(places) == [
        [IDS[0], None, None, 0.1, 1795860000000],
        [IDS[1], None, None, None, None],
        [IDS[2], None, None, 2.0, None],
    ]
    assert said[-1] == ("feedback", f"3 labels of flights kept in {places.labels}")
    (path,) = places.labels.iterdir()
    assert (path.suffix, path.stat().st_mode & 0o777) == (".labels", 0o600)


def test_labels_reach_the_rows_that_they_name(places, tmp_path):
    """By ids in the names of the Parquet files, and by the caller's own without an id; the later one counts."""
    for columns in (
        {"slipway_id": IDS[1:], "actual": [5.0, 6.0]},
        {"caller_id": ["mine-1"], "row": [0], "actual": [7.0]},
        {"slipway_caller_id": ["mine-1"], "slipway_row": [0], "actual": [8.0]},
    ):
        captures.keep_labels(places, "flights", open_source(table(tmp_path, "csv", **columns)))
    archive.compact(places, lambda *_: None)
    (day,) = captured_days(places, "flights", "3")
    assert day.actual.tolist() == [8.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": [IDS[0], "x"], "actual": [1, 2]}, "row 2, id: expected a prediction id"),
        ({"id": [IDS[0]] * 2, "actual": ["1", "1,5"]}, "row 2, actual: expected a finite number"),
        ({"id": [IDS[0]] * 2, "actual": [1, "nan"], "row": [1, 2]}, "row 1, row: .* (and 2 more)"),
        ({"id": [IDS[0]], "actal": [1]}, "columns: expected none but id, client_id"),
        ({"client_id": ["a", "a"], "actual": [1, 2]}, "row 2, row: expected the row"),
    ],
)
def test_a_table_that_is_wrong_keeps_nothing(places, tmp_path, columns, says):
    """One line, with the row as a person counts it; what was written by then is gone."""
    with pytest.raises(UnusableLabels, match=says.replace("(", r"\(").replace(")", r"\)")) as refused:
        captures.keep_labels(places, "flights", open_source(table(tmp_path, "csv", **columns)))
    assert "no label was kept" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(places.labels.iterdir())
    assert not list(places.folder.glob(".*"))


def test_a_fault_in_a_late_part_keeps_nothing_of_the_first(places, tmp_path):
    """A table is read in parts of 65,536 rows; rows are counted through."""
    rows = 70_000
    where = table(
        tmp_path,
        "parquet",
        client_id=["a"] * rows,
        row=range(rows),
        actual=[1.0] * (rows - 1) + [float("inf")],
    )
    with pytest.raises(UnusableLabels, match=r"row 70000, actual: .* found infinity"):
        captures.keep_labels(places, "flights", open_source(where))
    assert not list(places.labels.iterdir())


def test_a_table_without_rows_or_with_two_names_for_one_thing_is_refused(places, tmp_path):
    """Two columns may say two things."""
    empty = table(tmp_path, "parquet", id=pa.array([], pa.string()).to_pandas(), actual=[])
    with pytest.raises(EmptySource):
        captures.keep_labels(places, "flights", open_source(empty))
    twice = table(tmp_path, "csv", id=IDS[:1], slipway_id=IDS[:1], actual=[1])
    with pytest.raises(DuplicateColumns, match="slipway_id"):
        captures.keep_labels(places, "flights", open_source(twice))
    assert not list(places.labels.iterdir())


def test_labels_of_a_model_that_was_never_kept_are_refused(places, tmp_path):
    """A misspelt name would keep them where nobody looks; before and after the frames became Parquet."""
    for _ in range(2):
        source = open_source(table(tmp_path, "csv", id=IDS[:1], actual=[1]))
        captures.keep_labels(places, "flights", source)
        with pytest.raises(NotCaptured, match="no predictions of 'flight', but of flights"):
            captures.keep_labels(places, "flight", source)
        assert len(labels_in(places)) == 1
        archive.compact(places, lambda *_: None)
    with pytest.raises(NoCaptures):
        feedback(watches.FeedbackConfig("flights", str(tmp_path), "none.csv"), print)


def test_what_a_dead_process_left_is_swept_a_day_later(places, tmp_path):
    """A kill in the middle leaves a file that nobody reads."""
    places.folder.mkdir(exist_ok=True)
    old, young = (places.folder / f"{returning.PART}{age}" for age in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"x")
    then = time.time() - 2 * returning.STALE_SECONDS
    os.utime(old, (then, then))
    captures.keep_labels(places, "flights", open_source(table(tmp_path, "csv", id=IDS[:1], actual=[1])))
    assert (old.exists(), young.exists()) == (False, True)
    assert len(labels_in(places)) == 1


def test_a_full_disk_keeps_nothing(places, tmp_path, monkeypatch):
    """One line that says where there is no room; the next call has not to clean up."""

    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(returning.os, "fsync", refuse)
    with pytest.raises(OSError, match=f"No space left on device: '{places.labels}'") as refused:
        captures.keep_labels(places, "flights", open_source(table(tmp_path, "csv", id=IDS[:1], actual=[1])))
    assert failure_of(refused.value).code == 2
    assert not list(places.labels.iterdir())
    assert not list(places.folder.glob(".*"))


def test_labels_say_when_they_came(places, tmp_path):
    """The last one received counts, whichever way it came."""
    before = datetime.now(tz=UTC).timestamp() * 1_000
    captures.keep_labels(places, "flights", open_source(table(tmp_path, "csv", id=IDS[:1], actual=[1])))
    (path,) = places.labels.iterdir()
    (record,) = RecordFile(path)
    assert before - 1 <= record.head["received"] <= before + 60_000
