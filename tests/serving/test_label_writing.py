"""The thread that writes labels: what it says is written is on the disk, and what failed left nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time

import pytest

from data.captures import Places, RecordFile, record
from serving.errors import NotKept, TooSlow
from serving.front.capture import frame_files
from serving.front.feedback import Sent
from serving.front.feedback.label_requests import Feedback
from serving.front.feedback.label_writing import LabelWriter
from serving.rows import budget
from serving.settings import CaptureRules, Limits
from tests.serving.processes import until

BODY = b'[{"client_id": "a", "actual": 1}]'


@pytest.fixture()
def writer(tmp_path):
    """A writer, which is closed at the end."""
    made = LabelWriter(CaptureRules(folder=str(tmp_path)))
    yield made
    made.close()


def numbered(number):
    """Return a record with a number."""
    return record({"kind": "labels", "number": number})


def numbers_in(folder, ending="*"):
    """Return the numbers of the records of a folder, in order."""
    paths = sorted(Places(folder).labels.glob(f"*.{ending}"))
    return [each.head["number"] for path in paths for each in RecordFile(path)]


def test_what_waits_for_the_disk_together_shares_one_wait(writer, tmp_path, monkeypatch):
    """A disk takes milliseconds: one wait for each label would allow a hundred a second."""
    gate, real, syncs = threading.Event(), os.fdatasync, []

    def sync(handle):
        syncs.append(handle)
        gate.wait(10)
        real(handle)

    monkeypatch.setattr(frame_files.os, "fdatasync", sync)
    first = writer.write(numbered(0))
    until(lambda: syncs, seconds=10)
    others = [writer.write(numbered(number)) for number in range(1, 50)]
    assert not first.done(), "nobody is thanked before the disk has it"
    gate.set()
    for each in (first, *others):
        each.result(10)
    assert numbers_in(tmp_path) == list(range(50))
    assert len(syncs) == 2


def test_a_disk_that_fails_to_keep_what_was_written_leaves_nothing_of_it(writer, tmp_path, monkeypatch):
    """Who is told that it failed sends it again: it would be there twice."""
    writer.write(numbered(0)).result(10)
    real, failing = os.fdatasync, [True]

    def sync(handle):
        if failing:
            raise OSError(errno.EIO, "broken")
        real(handle)

    monkeypatch.setattr(frame_files.os, "fdatasync", sync)
    with pytest.raises(OSError, match="broken"):
        writer.write(numbered(1)).result(10)
    assert numbers_in(tmp_path) == [0]
    failing.clear()
    writer.write(numbered(2)).result(10)
    assert numbers_in(tmp_path) == [0, 2]


def test_one_that_does_not_fit_is_refused_alone(writer, tmp_path, monkeypatch):
    """A large body of labels does not lose the small ones that came with it."""
    gate, real = threading.Event(), os.write

    def write(handle, content):
        gate.wait(10)
        return real(handle, content[:1_000])

    monkeypatch.setattr(frame_files.os, "write", write)
    first = writer.write(numbered(0))
    time.sleep(0.1)  # it waits at the gate, and the others behind it
    large, small = writer.write(numbered(1) + bytes(2_000)), writer.write(numbered(2))
    gate.set()
    first.result(10)
    small.result(10)
    with pytest.raises(OSError, match="No space"):
        large.result(10)
    assert numbers_in(tmp_path) == [0, 2]


def test_a_folder_that_was_deleted_is_made_again(writer, tmp_path):
    """Who cleans up with rm while the server runs would lose all that comes, with thanks."""
    writer.write(numbered(0)).result(10)
    for path in Places(tmp_path).labels.iterdir():
        path.unlink()
    Places(tmp_path).labels.rmdir()
    writer.write(numbered(1)).result(10)
    assert numbers_in(tmp_path) == [1]


@pytest.mark.parametrize(("size", "seconds"), [(10, 300.0), (2**20, 0.1)], ids=["large", "old"])
def test_a_file_that_is_large_or_old_is_closed(tmp_path, monkeypatch, size, seconds):
    """Who makes Parquet of labels takes closed files alone; labels that come seldom are taken too."""
    monkeypatch.setattr(frame_files, "FILE_BYTES", size)
    writer = LabelWriter(CaptureRules(folder=str(tmp_path), rotate=seconds))
    writer.write(numbered(0)).result(10)
    until(lambda: numbers_in(tmp_path, "labels") == [0], seconds=10)
    writer.write(numbered(1)).result(10)
    writer.close()
    assert numbers_in(tmp_path) == [0, 1]


class Counted:
    """Figures."""

    def kept(self, labels):
        """Count."""


def take(writer, seconds=10.0):
    """Send a body to a worker that has so many seconds."""
    sent = Sent("m", BODY, {}, budget.Held(budget.MemoryBudget(2**30)), time.perf_counter() + seconds)
    return asyncio.run(Feedback(Limits(), writer, Counted()).take(sent))


def test_a_disk_that_hangs_or_breaks_is_a_failure_of_ours(writer, monkeypatch):
    """The client is told to come again, within the time that a request may take, and the server goes on."""
    assert take(writer).status == 202
    gate, real = threading.Event(), os.fdatasync
    monkeypatch.setattr(frame_files.os, "fdatasync", lambda handle: (gate.wait(10), real(handle)))
    with pytest.raises(TooSlow, match="send them again"):
        take(writer, seconds=0.3)
    gate.set()
    assert take(writer).status == 202

    def refuse(_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(frame_files.os, "fdatasync", refuse)
    with pytest.raises(NotKept, match="none of them was kept"):
        take(writer)
