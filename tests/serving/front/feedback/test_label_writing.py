"""The thread that writes labels: what it says is written is on the disk, and what failed left nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time

import pytest

from data.captures import Places, RecordFile, record
from data.own_files import own_file
from serving.errors import Busy, NotKept, TooLarge, TooSlow
from serving.front.feedback import Sent, label_requests
from serving.front.feedback.label_bodies import labels_in
from serving.front.feedback.label_requests import MOST_IN_WORK, Feedback
from serving.front.feedback.label_writing import LabelWriter
from serving.front.work import WorkInFlight
from serving.settings import CaptureRules, Limits
from tests.serving.processes import until

JSON = {b"content-type": b"application/json"}
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

    monkeypatch.setattr(own_file.os, "fdatasync", sync)
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

    monkeypatch.setattr(own_file.os, "fdatasync", sync)
    with pytest.raises(OSError, match="broken"):
        writer.write(numbered(1)).result(10)
    assert numbers_in(tmp_path) == [0]
    failing.clear()
    writer.write(numbered(2)).result(10)
    assert numbers_in(tmp_path) == [0, 2]


@pytest.mark.parametrize("fails", ["write", "fdatasync"])
def test_labels_never_follow_an_end_that_could_not_be_cut_off(writer, tmp_path, monkeypatch, fails):
    """A file system that is gone for a moment (NFS) refuses the cut too: what is thanked later stands elsewhere."""
    writer.write(numbered(0)).result(10)
    real, failing = os.write, [True]

    def write(handle, content):
        if not failing or fails != "write":
            return real(handle, content)
        real(handle, content[:7])
        raise OSError(errno.EIO, "gone")

    def unless_failing(work):
        def refuse(*given):
            if failing:
                raise OSError(errno.EIO, "gone")
            return work(*given)

        return refuse

    monkeypatch.setattr(own_file.os, "write", write)
    for name in ("ftruncate", "fdatasync"):
        monkeypatch.setattr(own_file.os, name, unless_failing(getattr(os, name)))
    with pytest.raises(OSError, match="gone"):
        writer.write(numbered(1)).result(10)
    failing.clear()
    writer.write(numbered(2)).result(10)
    paths = sorted(Places(tmp_path).labels.iterdir())
    assert [[each.head["number"] for each in RecordFile(path)] for path in paths] == [
        [0] if fails == "write" else [0, 1],
        [2],
    ]


def test_one_that_does_not_fit_is_refused_alone(writer, tmp_path, monkeypatch):
    """A large body of labels does not lose the small ones that came with it."""
    gate, real = threading.Event(), os.write

    def write(handle, content):
        gate.wait(10)
        return real(handle, content[:1_000])

    monkeypatch.setattr(own_file.os, "write", write)
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
    monkeypatch.setattr(own_file, "FILE_BYTES", size)
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
    return asyncio.run(Feedback(Limits(), writer, Counted()).take(sent_within(seconds)))


def sent_within(seconds):
    """Return a request that is to be answered within so many seconds."""
    return Sent("m", BODY, JSON, WorkInFlight(Limits(), None).reserved, time.perf_counter() + seconds)


def test_a_disk_that_hangs_or_breaks_is_a_failure_of_ours(writer, monkeypatch):
    """The client is told to come again, within the time that a request may take, and the server goes on."""
    assert take(writer).status == 202
    gate, real = threading.Event(), os.fdatasync
    monkeypatch.setattr(own_file.os, "fdatasync", lambda handle: (gate.wait(10), real(handle)))
    with pytest.raises(TooSlow, match="send them again"):
        take(writer, seconds=0.3)
    gate.set()
    assert take(writer).status == 202

    def refuse(_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(own_file.os, "fdatasync", refuse)
    with pytest.raises(NotKept, match="none of them was kept"):
        take(writer)


def test_a_disk_that_hangs_holds_a_few_requests_and_one_more_is_sent_away(writer, monkeypatch):
    """Those that gave up hold their place until the disk has answered: what waits for it is bounded."""
    gate, real = threading.Event(), os.fdatasync
    monkeypatch.setattr(own_file.os, "fdatasync", lambda handle: (gate.wait(20), real(handle)))

    async def story():
        feedback = Feedback(Limits(), writer, Counted())
        waiting = [feedback.take(sent_within(0.5)) for _ in range(MOST_IN_WORK)]
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(each) for each in told} == {TooSlow}
        with pytest.raises(Busy):
            await feedback.take(sent_within(10.0))
        gate.set()
        while True:
            try:
                return await feedback.take(sent_within(10.0))
            except Busy:
                await asyncio.sleep(0.01)

    assert asyncio.run(story()).status == 202


def test_labels_that_wait_for_the_disk_hold_their_memory(writer, monkeypatch):
    """Sixteen bodies of a hundred thousand labels behind a disk that hangs are memory that rows cannot have."""
    gate, real, work = threading.Event(), os.fdatasync, WorkInFlight(Limits(), None)
    monkeypatch.setattr(own_file.os, "fdatasync", lambda handle: (gate.wait(20), real(handle)))

    async def story():
        feedback = Feedback(Limits(), writer, Counted())
        with pytest.raises(TooSlow):
            await feedback.take(Sent("m", BODY, JSON, work.reserved, time.perf_counter() + 0.3))
        assert work.budget.taken > 2 * len(BODY)
        gate.set()
        while work.budget.taken:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 10))


def test_reading_and_writing_share_one_deadline(writer, monkeypatch):
    """A body that is read slowly, or waits for others, must not take longer than a request may."""
    monkeypatch.setattr(label_requests, "labels_in", lambda *_: time.sleep(1.0) or [])
    began = time.perf_counter()
    with pytest.raises(TooSlow):
        asyncio.run(timed(Feedback(Limits(), writer, Counted()).take(sent_within(0.2)), began))


async def timed(work, began):
    """Wait for work, and see that it did not take long."""
    try:
        await work
    finally:
        assert time.perf_counter() - began < 0.8


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_one_body_has_a_bounded_number_of_labels(kind):
    """Whatever the limit on rows is: reading JSON holds all threads of a worker."""
    rows = ['{"client_id": "a", "row": 1, "actual": 1}'] * 100_001
    body = (
        f"[{','.join(rows)}]"
        if kind == "application/json"
        else "client_id,row,actual\n" + "a,1,1\n" * 100_001
    )
    with pytest.raises(TooLarge, match="more than 100000 labels"):
        labels_in(body.encode(), {b"content-type": kind.encode()}, Limits())
