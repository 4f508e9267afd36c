"""A folder that one scoring has alone for a moment: on a disk by a lock, in a bucket by a claim."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow import fs

from serving.batch.outputs import PartFolder, bucket_folder, disk_folder
from serving.batch.outputs.bucket_folder import CLAIM, CLAIM_SECONDS, BucketFolder
from serving.batch.outputs.disk_folder import DiskFolder
from tests.conftest import ROOT
from tests.serving.batch.upkeep.stepping import ALL, Actor, Holding, Story, every_order, own_name, step, tell

HOLD = """
import sys, time
from pathlib import Path
from serving.batch.outputs.disk_folder import DiskFolder
with DiskFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(100)
"""


def test_who_is_killed_lets_go_of_a_folder_on_a_disk(tmp_path: Path) -> None:
    """The kernel takes the lock away; nothing of it stays when the next one is through."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        got_in = threading.Event()

        def wait() -> None:
            with DiskFolder(tmp_path).held():
                got_in.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got_in.wait(0.1)
        other.kill()
        waiting.join(20)
    assert got_in.is_set()
    assert list(tmp_path.iterdir()) == []


def all_at_once(folders: list[PartFolder], times: int) -> None:
    """Have each folder held again and again, and raise where two are in it."""
    inside: list[int] = []

    def often(folder: PartFolder) -> None:
        for _ in range(times):
            with folder.held():
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    with ThreadPoolExecutor(len(folders)) as pool:
        list(pool.map(often, folders))


def test_a_lock_whose_file_went_is_none(tmp_path: Path) -> None:
    """Who lets go removes the file; who waited for that file has locked one that nobody else will open."""
    all_at_once([DiskFolder(tmp_path)] * 8, times=100)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems have none."""

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(disk_folder.fcntl, "flock", refused)
    with DiskFolder(tmp_path).held():
        pass
    assert list(tmp_path.iterdir()) == []


class Store:
    """Objects, and when they were put; a stream is one step, as is a list."""

    def __init__(self) -> None:
        self.objects: dict[str, float] = {}
        self.lock = threading.Lock()

    def open_output_stream(self, name: str, compression: None) -> Any:
        step(writes=[name])
        with self.lock:
            self.objects[name] = 0.0
        return SimpleNamespace(write=lambda _: None, close=lambda: None)

    def get_file_info(self, _: fs.FileSelector) -> Any:
        step(reads=[ALL])
        with self.lock:
            found = dict(self.objects)
        tell(tuple(sorted(found)))
        return [SimpleNamespace(base_name=name, mtime_ns=int(when * 1e9)) for name, when in found.items()]

    def delete_file(self, name: str) -> None:
        step(writes=[name])
        with self.lock:
            self.objects.pop(name, None)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket of its own."""
    made = Store()
    there = SimpleNamespace(files=made, path=lambda where: where.rpartition("/")[2])
    monkeypatch.setattr(bucket_folder, "asked_of", lambda _, question: question(there))
    monkeypatch.setattr(bucket_folder, "PAUSE_SECONDS", 1e-4)
    return made


def test_of_claims_to_a_bucket_one_is_heard_at_a_time(store: Store) -> None:
    """And all of them in the end."""
    all_at_once([BucketFolder("s3://b/out")] * 4, times=20)
    assert store.objects == {}


class Tired(Exception):
    """Ends who has waited too often to be followed further."""


@pytest.mark.parametrize("count", [2, 3])
def test_in_any_order_of_steps_two_claims_are_never_heard(
    count: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each puts its own before it lists all: whoever comes second finds the first one's."""
    inside: list[str] = []
    waits: dict[str, int] = {}

    def sleep(_: float) -> None:
        waits[own_name()] += 1
        if waits[own_name()] > 2 * (3 - count):
            raise Tired

    monkeypatch.setattr(bucket_folder, "secrets", SimpleNamespace(token_hex=own_name, randbelow=lambda _: 0))
    monkeypatch.setattr(bucket_folder, "time", SimpleNamespace(sleep=sleep))

    def enter() -> None:
        with BucketFolder("s3://b/out").held():
            step(writes=["inside"])
            inside.append(own_name())
            step(writes=["inside"])
            tell(tuple(inside))
            assert inside == [own_name()], inside
            inside.remove(own_name())

    def begin() -> tuple[list[Actor], Holding]:
        store.objects.clear()
        inside.clear()
        waits.update(dict.fromkeys("ABC", 0))
        return [Actor(name, enter) for name in "ABC"[:count]], Holding()

    def end(actors: Any) -> None:
        assert all(actor.error is None or isinstance(actor.error, Tired) for actor in actors)
        assert store.objects == {}

    assert every_order(Story(begin, lambda: tuple(sorted(store.objects)), lambda: None, end)) > 100


def test_a_claim_of_who_was_killed_counts_no_longer_than_it_is_young(store: Store) -> None:
    """By the store's own clock, which says when either was put."""
    store.objects[f"{CLAIM}0"] = -CLAIM_SECONDS - 1
    with BucketFolder("s3://b/out").held():
        assert len(store.objects) == 1
    assert store.objects == {}
