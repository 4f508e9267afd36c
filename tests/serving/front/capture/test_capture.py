"""A worker writes what it keeps: what it does where the disk refuses, and with files that others left."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

from data.captures import Frame, FrameLayout, Places, RecordFile, record
from data.own_files import own_file
from serving.front import Backend
from serving.front.capture import frame_writer
from serving.front.capture.capture_figures import CaptureFigures
from serving.front.capture.frame_writer import Writer
from serving.front.capture.kept_columns import KeptColumns
from serving.front.capture.kept_requests import Capture
from serving.runtimes import load
from serving.settings import CaptureRules, Model, Settings
from serving.worker import draining_server as worker
from tests.serving.front.capture.captures import kept_in
from tests.serving.front.capture.made import (
    COLUMNS,
    NOTHING_SAID,
    Held,
    capture_in,
    predicted,
    version,
)
from tests.serving.processes import until
from training.archive import compact


@pytest.fixture()
def room(tmp_path, monkeypatch):
    """A folder, and how much of its disk is free."""
    free = SimpleNamespace(folder=tmp_path / "captures", is_nearly_full=False)
    monkeypatch.setattr(frame_writer, "is_nearly_full", lambda _: free.is_nearly_full)
    monkeypatch.setattr(frame_writer, "LOOK_SECONDS", 0.02)
    (free.folder / "frames").mkdir(parents=True)
    return free


class Counted(CaptureFigures):
    """Figures that can be asked."""

    def __init__(self):
        super().__init__()
        self.reasons = {}

    def dropped(self, reason, rows):
        """Count, here too."""
        super().dropped(reason, rows)
        self.reasons[reason] = self.reasons.get(reason, 0) + rows


def writing_in(room, **rules):
    """Return a capture that writes, its figures, its writer, and what is due."""
    due, figures = [], Counted()
    rules = CaptureRules(folder=str(room.folder), **rules)
    writer = Writer(rules, figures)
    capture = Capture(rules, writer, figures, later=lambda _, work: due.append(work))
    return SimpleNamespace(capture=capture, figures=figures, writer=writer, due=due)


def keep(made, *, caller=""):
    """Keep a row and close its frame; return its id, once it is written or given up."""
    said = {b"x-request-id": caller.encode()}
    first = made.capture.keep(version(), predicted(2), said, time.perf_counter()).decode()
    if made.due:
        made.due.pop()()
    until(lambda: made.writer.released == made.capture._taken, seconds=10)
    return first


def test_below_a_tenth_of_the_disk_nothing_is_kept_until_there_is_room(room):
    """Serving goes on; what was promised before is written."""
    made = writing_in(room)
    before = keep(made)
    room.is_nearly_full = True
    until(lambda: made.writer.stopped == "disk", seconds=10)
    assert keep(made) == ""
    assert made.capture.status() == {"on": False, "reason": "the disk has too little room left"}
    room.is_nearly_full = False
    until(lambda: not made.writer.stopped, seconds=10)
    after_it = keep(made)
    assert made.capture.status()["on"]
    made.capture.close()
    assert {before, after_it} <= kept_in(room.folder).keys()
    assert made.figures.reasons == {"disk": 2}


@pytest.mark.parametrize("how", ["short", "no room", "broken", "not cut"])
def test_a_write_that_fails_leaves_whole_records(room, monkeypatch, how):
    """What is half written would hide all behind it; the rows are counted, and the next are kept."""
    made = writing_in(room)
    before, real, failing = keep(made), os.write, [True]

    def write(handle, content):
        if not failing:
            return real(handle, content)
        if how == "short":
            return real(handle, content[: len(content) // 2])
        real(handle, content[:7])
        raise OSError(errno.ENOSPC if how == "no room" else errno.EIO, "refused")

    def probe(file):
        if failing:
            raise OSError(errno.EIO, "refused")

    def cut(handle, size):
        if failing:
            raise OSError(errno.EIO, "refused")

    monkeypatch.setattr(own_file.os, "write", write)
    monkeypatch.setattr(own_file.OwnFile, "probe", probe)
    if how == "not cut":
        monkeypatch.setattr(own_file.os, "ftruncate", cut)
    lost = keep(made)
    assert lost
    reason = "error" if how in ("broken", "not cut") else "disk"
    assert made.writer.stopped
    assert keep(made) == "", "no id where it is known that nothing can be written"
    failing.clear()
    until(lambda: not made.writer.stopped, seconds=10)
    behind = keep(made)
    made.capture.close()
    found = kept_in(room.folder)
    assert {before, behind} <= found.keys()
    assert lost not in found
    assert made.figures.reasons[reason] >= 2
    assert sum(made.figures.reasons.values()) == 4
    files = [RecordFile(path) for path in sorted((room.folder / "frames").iterdir())]
    assert [len(list(file)) for file in files] == [2, 2], (
        "each has its layout, and nothing follows what failed"
    )
    assert [file.torn for file in files] == [7 if how == "not cut" else 0, 0]


def test_a_file_that_was_deleted_is_followed_by_another(room):
    """Who cleans up with rm while the server runs would lose all that comes, without a word."""
    made = writing_in(room)
    keep(made)
    for path in (room.folder / "frames").iterdir():
        path.unlink()
    (room.folder / "frames").rmdir()
    later = keep(made)
    made.capture.close()
    assert next(iter(kept_in(room.folder))) == later


def test_a_folder_that_is_deleted_while_nothing_comes_is_made_again(room, monkeypatch):
    """The disk is looked at each second: what is not there cannot be, and must not end captures for good."""
    monkeypatch.setattr(frame_writer, "is_nearly_full", lambda folder: folder.stat().st_size < 0)
    made = writing_in(room)
    keep(made)
    shutil.rmtree(room.folder)
    time.sleep(0.2)  # ten looks at nothing
    until(lambda: not made.writer.stopped, seconds=2)
    later = keep(made)
    made.capture.close()
    assert later in kept_in(room.folder)


def test_a_disk_that_loses_what_was_written_stops_captures_until_another_file_can_be_begun(room, monkeypatch):
    """A failed fdatasync is said once by the kernel, and its pages are gone: what may be lost is counted."""
    real, failing = os.fdatasync, [True]

    def sync(handle):
        if failing:
            failing.clear()
            raise OSError(errno.EIO, "lost")
        real(handle)

    monkeypatch.setattr(own_file.os, "fdatasync", sync)
    monkeypatch.setattr(frame_writer, "LOOK_SECONDS", 0.5)
    made = writing_in(room, sync=0.05)
    keep(made)
    until(lambda: made.writer.stopped == "error", seconds=10)
    assert made.figures.reasons == {"error": 2}
    until(lambda: not made.writer.stopped, seconds=10)
    behind = keep(made)
    made.capture.close()
    assert behind in kept_in(room.folder)
    assert len(list((room.folder / "frames").iterdir())) == 2
    assert made.figures.reasons == {"error": 2}, "counted once"


def test_files_that_end_in_between_do_not_put_off_the_disk(room, monkeypatch):
    """What was written stands on the disk after the seconds that were asked for, however often a file is full."""
    disk, synced = frame_writer.Disk(0.3, lambda *_: None), []
    disk.file = frame_writer.FileOfFrames(SimpleNamespace(sync=lambda: synced.append(1), path=""))
    monkeypatch.setattr(own_file.OwnFile, "sync", lambda own: own.sync())
    monkeypatch.setattr(own_file.OwnFile, "finish", lambda _: None)
    ended = frame_writer.FileOfFrames(SimpleNamespace(path=""))
    for _ in range(20):
        disk._ended.put(ended)
        time.sleep(0.05)
    assert synced
    disk.close()


def test_a_version_that_is_registered_again_has_rows_of_its_own(room):
    """The same files under another number: its rows would be compacted as those of the number before."""
    made = writing_in(room)
    for label in ("3", "4"):
        made.capture.keep(version(label=label), predicted(2), NOTHING_SAID, time.perf_counter())
        made.due.pop()()
    made.capture.close()
    assert sorted(row.layout.version for row in kept_in(room.folder).values()) == ["3", "3", "4", "4"]
    compact(Places(room.folder), lambda *_: None)
    (number,) = {path.name for path in (room.folder / "predictions" / "slipway_model=m").glob("*=4")}
    assert number == "slipway_version=4"


def test_what_fails_in_a_capture_never_fails_an_answer(caplog):
    """It was scored: the client gets it, the rows are counted, and no room is lost for good."""
    held = Held()
    capture, due = capture_in(held)
    assert capture.keep(version(), predicted(2), NOTHING_SAID, 0.0)
    broken = predicted(3)._replace(predictions=[0.0] * 3)
    assert capture.keep(version(), broken, NOTHING_SAID, 0.0) == b""
    assert "a prediction is not kept" in caplog.text
    due.pop()()
    assert held.counts == {"error": 5}, "those of the frame that it may have spoilt, too"
    assert capture._taken == held.released == 0
    assert capture.keep(version(), predicted(2), NOTHING_SAID, 1.0)


def test_what_is_not_drawn_is_not_looked_at():
    """A request of many unseen categories would be walked through for nothing."""
    held = Held()
    capture, due = capture_in(held, share=1e-12)
    assert capture.keep(version(), predicted(texts=["no text"]), NOTHING_SAID, 0.0) == b""
    due[0]()
    assert held.counts == {}


def test_columns_are_ready_before_a_version_serves(line, monkeypatch, tmp_path):
    """Hashing 50,000 categories takes 0.14 s, in which the event loop would answer nobody."""
    settings = Settings(models=(Model(str(line / "scorer")),), capture=CaptureRules(folder=str(tmp_path)))
    runtime = load(settings.models[0], settings)
    backend = Backend([], settings)
    worker._load_again(settings.models[0], backend)
    monkeypatch.setattr(KeptColumns, "of", None)

    async def keep_one():
        return backend.capture.keep(runtime, predicted(), NOTHING_SAID, 0.0)

    assert asyncio.run(keep_one())
    backend.close()


def test_a_file_is_closed_by_its_size_and_each_has_its_layout(room, monkeypatch):
    """Each file can be read, moved or deleted by itself."""
    monkeypatch.setattr(own_file, "FILE_BYTES", 1)
    made = writing_in(room, sync=0.01)
    ids = [keep(made) for _ in range(4)]
    made.capture.close()
    assert len(list((room.folder / "frames").glob("*.frames"))) == 4
    assert set(ids) <= kept_in(room.folder, endings=(".frames",)).keys()


def test_an_old_file_is_closed_without_another_row(room):
    """The last rows of an evening are not kept back until the morning."""
    made = writing_in(room, rotate=0.1)
    keep(made)
    until(lambda: list((room.folder / "frames").glob("*.frames")), seconds=10)
    made.capture.close()


def test_files_that_are_too_old_go_whoever_wrote_them(room):
    """Of frames and of labels, where nobody makes Parquet of them; never one that is open, nor one of today."""
    made = {}
    for folder, ending in (("frames", ".frames"), ("labels", ".labels"), ("frames", ".open")):
        for days in (0, 3):
            path = room.folder / folder / f"{days}{ending}"
            path.parent.mkdir(exist_ok=True)
            path.touch()
            os.utime(path, (then := time.time() - days * 86_400 - 60, then))
            made[path] = days and ending != ".open"
    writing_in(room, keep=2 * 86_400.0).capture.close()
    assert {path for path in made if not path.exists()} == {path for path, goes in made.items() if goes}


def test_a_server_that_was_asked_nothing_leaves_no_file(room):
    """Empty files would have to be read, and explained."""
    writing_in(room).capture.close()
    assert list((room.folder / "frames").iterdir()) == []


def test_only_the_owner_reads_them(room):
    """Rows may be of persons."""
    made = writing_in(room)
    keep(made)
    made.capture.close()
    (path,) = (room.folder / "frames").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_hostile_ids_come_back_as_they_were(room):
    """Quotes, line ends, zero bytes, letters of any kind: they stand in JSON."""
    made = writing_in(room)
    ids = {caller: keep(made, caller=caller) for caller in ('"', "\x00\n", "\u202e\U0001f600", "]}, {" * 20)}
    made.capture.close()
    found = kept_in(room.folder)
    assert {caller: found[first].caller for caller, first in ids.items()} == {
        caller: caller for caller in ids
    }


def left_by_a_dead_worker(folder, *, torn):
    """Write a file as a worker does that is killed within its second frame."""
    places = Places(folder)
    places.frames.mkdir(parents=True)
    layout = FrameLayout("m", "3", "ab" * 32, COLUMNS)
    frame = Frame("0" * 30, "m", "3", "ab" * 32, 0, 1.0, *[np.zeros((1, 3)), np.zeros(1), np.zeros(1)], ())
    path = places.frames / "1-a.open"
    path.write_bytes(record(layout.head()) + record(frame.head(), frame.parts()) * 2)
    whole = path.stat().st_size
    os.truncate(path, whole - torn)
    return path


@pytest.mark.parametrize("torn", [0, 5])
def test_what_a_dead_worker_left_is_renamed_as_it_is(tmp_path, torn):
    """Nobody else may close it; a torn end stays behind what is whole, where readers stop and count."""
    path = left_by_a_dead_worker(tmp_path, torn=torn)
    before = path.read_bytes()
    assert Places(tmp_path).close_dead() == 1
    assert not path.exists()
    assert path.with_suffix(".frames").read_bytes() == before
    assert len(list(RecordFile(path.with_suffix(".frames")))) == (2 if torn else 3)


def test_what_stands_behind_a_spoilt_record_is_not_destroyed(tmp_path):
    """A disk flipped a bit: the compactor sets aside what it cannot read, and it can still be looked at."""
    path = left_by_a_dead_worker(tmp_path, torn=0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert Places(tmp_path).close_dead() == 1
    assert path.with_suffix(".frames").read_bytes() == content


def test_what_a_living_worker_writes_is_left_alone(tmp_path):
    """Its lock says so, whatever its process is called."""
    path = left_by_a_dead_worker(tmp_path, torn=5)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert Places(tmp_path).close_dead() == 0
        assert path.exists()


def test_what_is_none_of_ours_is_left_alone(tmp_path):
    """A foreign file of that name, a link to one elsewhere, and a file whose owner is about to lock it."""
    frames = Places(tmp_path).frames
    frames.mkdir()
    (tmp_path / "notes").write_text("mine")
    (frames / "a.open").write_text("somebody's notes")
    (frames / "b.open").symlink_to(tmp_path / "notes")
    (frames / "c.open").touch()
    (frames / "d.open").touch()
    os.utime(frames / "d.open", (0, 0))
    (frames / "e.open").mkdir()
    assert Places(tmp_path).close_dead() == 0
    assert {path.name for path in frames.iterdir()} == {"a.open", "b.open", "c.open", "e.open"}
    assert (frames / "a.open").read_text() == "somebody's notes"
