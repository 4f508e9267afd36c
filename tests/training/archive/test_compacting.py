"""Frames and labels become Parquet: each row once, as it was answered, wherever a process dies."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data.captures import FrameLayout, KeptRequest, Places, record
from data.schema import Column
from tests.conftest import ROOT
from tests.training.archive.kept import (
    LAYOUT,
    NOON,
    frame_at,
    ids,
    labelled,
    milliseconds,
    predictions,
    written,
)
from training.archive import compact, found_at, segments, sources
from training.archive.errors import NoCaptures
from training.errors import CapturesBusy


class Killed(BaseException):
    """What stands for kill -9 between two calls."""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A folder of captures."""
    (tmp_path / "frames").mkdir()
    return Places(tmp_path)


def silent(_step: str, _outcome: str) -> None:
    """Tell nobody."""


def test_rows_come_back_as_they_were_answered(places: Places) -> None:
    """Times, ids, kinds, gaps and the text of a category that training never saw."""
    frame = frame_at(NOON)
    written(places.frames / "1.frames", [frame])
    result = compact(places, silent)
    assert (result.rows, result.files, result.torn, result.aside) == ({"flights 3": 3}, 1, 0, 0)
    rows = predictions(places)
    assert rows["slipway_id"].tolist() == ids(frame)
    assert rows["slipway_time"].tolist() == [
        pd.Timestamp(NOON) + timedelta(seconds=each) for each in (0, 0.125, 0.125)
    ]
    assert rows["slipway_caller_id"].fillna("").tolist() == ["mine-1", "", ""]
    assert rows["slipway_row"].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(rows["slipway_prediction"], frame.predictions)
    np.testing.assert_array_equal(rows["slipway_scale"], frame.scale)
    np.testing.assert_array_equal(rows["dep_delay"], frame.matrix[:, 0])
    assert rows["carrier"][0] == "ÜX"
    assert set(rows["carrier"][1:]) <= {"AA", "EV"}
    assert rows["weekend"][0] is None
    assert pd.isna(rows["planned"][0])
    assert rows["planned"][1] == pd.Timestamp(1_764_288_000_123_456, unit="us", tz="UTC")
    assert not list(places.frames.iterdir())


def test_pandas_reads_the_folder_as_it_is(places: Places) -> None:
    """A model's own column `hour` beside the hour of the folders; so do DuckDB and Spark with their Hive readers."""
    written(places.frames / "1.frames", [frame_at(NOON), frame_at(NOON + timedelta(hours=13), number=2)])
    compact(places, silent)
    rows = pd.read_parquet(places.predictions)
    assert rows.groupby("slipway_date", observed=True).size().to_dict() == {"2026-11-26": 3, "2026-11-27": 3}
    assert set(rows["slipway_hour"]) == {12, 1}
    assert set(rows["hour"].dropna()) == {7.0}


def test_a_row_lies_in_the_hour_that_its_caller_names(places: Places) -> None:
    """A replay is of other days than the moment of its answer; its neighbours in the frame stay where they are."""
    frame = frame_at(NOON, rows=5)
    week = 7 * 86_400.0
    requests = (KeptRequest(0, 0.0), KeptRequest(1, -week, "late"), KeptRequest(3, 0.25))
    written(places.frames / "1.frames", [replace(frame, requests=requests)])
    compact(places, silent)
    files = {path.parent.parent.name: pq.read_table(path) for path in places.predictions.rglob("*.parquet")}
    assert {day: len(table) for day, table in files.items()} == {
        f"slipway_date={NOON:%Y-%m-%d}": 3,
        f"slipway_date={NOON - timedelta(seconds=week):%Y-%m-%d}": 2,
    }
    (late,) = (table for day, table in files.items() if not day.endswith(f"{NOON:%Y-%m-%d}"))
    assert late["slipway_caller_id"].to_pylist() == ["late", "late"]


def test_two_digests_under_one_version_are_two_files(places: Places) -> None:
    """A version that was registered anew elsewhere must not be mixed with ours silently."""
    other = FrameLayout("flights", "3", "cd" * 32, LAYOUT.columns)
    frames = [frame_at(NOON), frame_at(NOON, number=2, layout=other)]
    written(places.frames / "1.frames", frames, [LAYOUT, other])
    compact(places, silent)
    said = [
        pq.read_schema(path).metadata[b"slipway"] for path in sorted(places.predictions.rglob("*.parquet"))
    ]
    assert len(said) == 2
    assert b"ab" * 32 in said[0]
    assert b"cd" * 32 in said[1]


def test_a_column_of_our_name_is_kept_beside_ours(places: Places) -> None:
    """Two columns of one name are a file that nobody reads."""
    layout = FrameLayout("flights", "3", "ab" * 32, (*LAYOUT.columns[:4], Column("slipway_id", "number")))
    written(places.frames / "1.frames", [frame_at(NOON, layout=layout)], [layout])
    compact(places, silent)
    assert "slipway_column_slipway_id" in predictions(places)


def close_alone(segment: segments.Segment) -> None:
    """Close what is open, as the kernel would, and clean nothing up."""
    for part in segment._parts.values():
        if part.file is not None:
            part.file.close()


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Die before the call of that number that changes the disk, and clean nothing up: as kill -9."""
    calls: list[str] = []

    def dying(name: str, real: Callable) -> Callable:
        def call(*words, **named):
            if len(calls) == step:
                raise Killed
            calls.append(name)
            return real(*words, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(segments.Segment, "drop", close_alone)
        for owner, name in (
            *((os, name) for name in ("fsync", "open")),
            *((Path, name) for name in ("replace", "unlink", "mkdir", "rmdir", "rename")),
        ):
            patch.setattr(owner, name, dying(name, getattr(owner, name)))
        yield calls


def test_a_death_between_any_two_steps_costs_no_row_and_doubles_none(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that changes the disk is a place to die; the next compaction ends what was begun."""
    frames = [frame_at(NOON + timedelta(hours=hour), number=hour) for hour in range(3)]
    expected = sorted(each for frame in frames for each in ids(frame))
    step, died = 0, True
    while died:
        written(places.frames / f"{step}.open", frames)
        with (places.frames / f"{step}.open").open("ab") as file:
            file.write(b"slw1 torn")
        with killed_at(step, monkeypatch) as calls:
            try:
                compact(places, silent)
                died = False
            except Killed:
                pass
        compact(places, silent)
        assert predictions(places)["slipway_id"].tolist() == expected, f"step {step} after {calls[-1:]}"
        assert [path.name for path in places.frames.iterdir()] == [f"{step}.open.aside"]
        for path in (*places.predictions.rglob("*.parquet"), *places.frames.iterdir()):
            path.unlink()
        step += 1
    assert step > 15, "each step was one at which it died"


def test_a_source_that_was_closed_by_another_is_the_same_source(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead after writing; then somebody cuts the torn end off and closes the file: its rows are not there twice."""
    path = written(places.frames / "1.open", [frame_at(NOON)])
    whole = path.read_bytes()
    path.write_bytes(whole + b"torn")
    with monkeypatch.context() as patch:
        patch.setattr(sources.CaptureFile, "done", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            compact(places, silent)
    path.unlink()
    (places.frames / "1.frames").write_bytes(whole)
    compact(places, silent)
    assert predictions(places)["slipway_id"].tolist() == ids(frame_at(NOON))


def test_what_a_living_worker_writes_is_left_to_it(places: Places) -> None:
    """It holds its file's lock; so is an empty file that was born this moment, before its lock is had."""
    path = written(places.frames / "1.open", [frame_at(NOON)])
    (places.frames / "2.open").touch()
    with path.open() as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        result = compact(places, silent)
    assert (result.files, result.left.written) == (0, 2)
    assert path.exists()
    os.utime(places.frames / "2.open", (0, 0))
    assert compact(places, silent).files == 2


def test_a_torn_end_is_counted_and_kept_aside(places: Places) -> None:
    """Nothing is deleted that nobody could read."""
    path = written(places.frames / "1.open", [frame_at(NOON)])
    path.write_bytes(path.read_bytes() + b"half a record")
    result = compact(places, silent)
    assert (result.torn, result.aside) == (13, 0)
    assert (places.frames / "1.open.aside").read_bytes() == b"half a record"
    assert "13 bytes of torn ends" in " ".join(result.sentences())
    assert compact(places, silent).files == 0, "and is not read again"


def bad(rows: int = 3) -> dict[str, bytes]:
    """Whole records that are not ours, each for a reason of its own."""
    frame = frame_at(NOON, rows)
    head, parts = frame.head(), list(frame.parts())
    return {
        "another kind": record({"kind": "song"}),
        "no kind": record({}),
        "no layout": record(head | {"digest": "ee" * 32}, parts),
        "too few columns": record(head, [parts[0][: rows * 8], *parts[1:]]),
        "too few rows": record(head | {"rows": 9}, parts),
        "no request": record(head | {"requests": []}, parts),
        "requests of text": record(head | {"requests": [["a", "b", "c"]]}, parts),
        "a code beyond": record(head, [np.full((rows, 5), 9.0).tobytes(), *parts[1:]]),
        "a year beyond": record(head | {"at": 10**18}, parts),
        "no time": record(head | {"at": None}, parts),
        "a name of many": record(head | {"id": ["x"]}, parts[:1]),
    }


@pytest.mark.parametrize("which", bad())
def test_a_record_that_is_not_ours_costs_no_other(which: str, places: Places) -> None:
    """Its file stays aside as it was, and the rows around it are taken."""
    first, last = frame_at(NOON), frame_at(NOON, number=2)
    path = written(places.frames / "1.frames", [first])
    content = path.read_bytes() + bad()[which] + record(last.head(), last.parts())
    path.write_bytes(content)
    result = compact(places, silent)
    assert (result.rows, result.aside) == ({"flights 3": 6}, 1)
    assert (places.frames / "1.frames.aside").read_bytes() == content
    assert compact(places, silent).files == 0


def test_foreign_files_stay(places: Places) -> None:
    """Notes, folders, links, and a file with our ending that holds a picture."""
    (places.frames / "notes.txt").write_text("mine")
    (places.frames / "old.frames").mkdir()
    (places.frames / "link.frames").symlink_to(places.frames / "notes.txt")
    (places.frames / "picture.frames").write_bytes(b"\x89PNG")
    result = compact(places, silent)
    assert sorted(result.left.foreign) == ["link.frames", "notes.txt", "old.frames"]
    assert result.aside == 1
    assert (places.frames / "picture.frames.aside").read_bytes() == b"\x89PNG"


def test_labels_become_parquet_by_day_of_receipt(places: Places) -> None:
    """With what they are of, and an empty one that withdraws."""
    one = ids(frame_at(NOON))[0]
    rows = [[one.upper(), None, None, 5, None], [None, "mine", 2, None, milliseconds(NOON)]]
    labelled(places.labels / "1.labels", NOON, rows)
    assert compact(places, silent).labels == 2
    (path,) = places.outcomes.rglob("*.parquet")
    assert path.parent.relative_to(places.outcomes) == Path(
        "slipway_model=flights/slipway_received=2026-11-26"
    )
    known = pq.read_table(path).to_pylist()
    assert known == [
        {"id": one, "caller_id": None, "row": None, "actual": 5.0, "at": None, "received": NOON},
        {"id": None, "caller_id": "mine", "row": 2, "actual": None, "at": NOON, "received": NOON},
    ]


@pytest.mark.parametrize(
    "label",
    [
        ["x", None, None, "5", None],
        [None, None, None, 5.0, None],
        ["x", None, None, True, None],
        ["x"],
        7,
        "abcde",
    ],
    ids=["text", "of nothing", "a boolean", "too short", "a number", "letters"],
)
def test_labels_of_a_wrong_type_are_set_aside(label: object, places: Places) -> None:
    """The door refuses them, so whoever wrote these is not the door."""
    labelled(places.labels / "1.labels", NOON, [["a", None, None, 1.0, None], label])  # type: ignore[list-item]
    result = compact(places, silent)
    assert (result.labels, result.aside) == (0, 1)
    assert (places.labels / "1.labels.aside").exists()


def test_a_second_compaction_waits_for_the_first(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once would take each other's unfinished files; one that does not end is said in a line."""
    monkeypatch.setattr(sources, "PATIENCE", 0.5)
    said: list[str] = []
    with (places.folder / sources.LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CapturesBusy, match="another process has been compacting it"):
            compact(places, lambda step, outcome: said.append(f"{step} {outcome}"))
    assert len(said) == 1
    compact(places, silent)


def test_a_full_disk_leaves_the_source(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no half of a file; with room again all is there."""
    written(places.frames / "1.frames", [frame_at(NOON)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            compact(places, silent)
    assert not list(places.predictions.rglob("*"))
    compact(places, silent)
    assert len(predictions(places)) == 3


def test_many_rows_are_written_a_part_at_a_time(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by what is gathered, not by the file."""
    monkeypatch.setattr(segments, "ROWS", 10)
    frames = [frame_at(NOON, number=number) for number in range(40)]
    written(places.frames / "1.frames", frames)
    compact(places, silent)
    (path,) = places.predictions.rglob("*.parquet")
    assert pq.ParquetFile(path).metadata.num_row_groups == 10
    assert predictions(places)["slipway_id"].is_unique
    assert len(predictions(places)) == 120


def test_hours_that_are_too_old_go_with_their_labels(places: Places) -> None:
    """What is left is what was promised to be kept, and how many went is said."""
    now = datetime.now(tz=UTC)
    moments = [now - timedelta(days=91), now - timedelta(days=89)]
    written(
        places.frames / "1.frames", [frame_at(moment, number=place) for place, moment in enumerate(moments)]
    )
    for place, moment in enumerate(moments):
        labelled(places.labels / f"{place}.labels", moment, [["x", None, None, 1.0, None]])
    result = compact(places, silent, timedelta(days=90))
    assert (result.forgotten.hours, result.forgotten.days_of_labels) == (1, 1)
    assert "deleted as too old: 1 hours, 1 days of labels" in " ".join(result.sentences())
    assert len(predictions(places)) == 3
    assert len(list(places.outcomes.rglob("*.parquet"))) == 1
    assert len(list(places.predictions.glob("*/*/slipway_date=*"))) == 1


def test_only_the_owner_may_read_what_was_written(places: Places) -> None:
    """Rows may be personal."""
    written(places.frames / "1.frames", [frame_at(NOON)])
    compact(places, silent)
    modes = {path.stat().st_mode & 0o777 for path in places.predictions.rglob("*.parquet")}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in places.predictions.glob("*")} == {0o700}


def test_a_folder_without_captures_is_one_line(tmp_path: Path) -> None:
    """A misspelt one must not become a new one."""
    with pytest.raises(NoCaptures, match="has no folder frames, labels or predictions: pass the folder"):
        found_at(str(tmp_path / "kaptures"))
    assert not list(tmp_path.iterdir())


@pytest.mark.soak
def test_kill_at_ten_random_moments_costs_no_row_and_doubles_none(places: Places) -> None:
    """The real thing, with the real signal: after each the next one goes on."""
    random, expected, fell = np.random.default_rng(0), [], 0
    command = [sys.executable, "-m", "training", "compact", "--captures", str(places.folder)]
    for lot in range(10):
        for number in range(lot * 12, lot * 12 + 12):
            frame = frame_at(NOON + timedelta(minutes=number), 2_000, number=number)
            written(places.frames / f"{number}.frames", [frame])
            expected += ids(frame)
        there = len(list(places.frames.iterdir()))
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list(places.frames.iterdir())) == there:
                time.sleep(0.002)
            time.sleep(float(random.uniform(0.0, 0.1)))
            fell += process.poll() is None and any(places.frames.iterdir())
            process.kill()
    assert fell >= 5, "while files were taken"
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert predictions(places)["slipway_id"].tolist() == sorted(expected)
    assert not list(places.frames.iterdir())
