"""Files of records that may be taken: rotated ones, and open ones whose owner is dead.

An owner holds the lock of its open file as long as it lives; the kernel lets go of it. Who takes a file holds the lock
until it is gone, so that nobody takes it twice. Other names are nobody's business here: they stay.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from data.own_files import OPEN
from training.errors import CapturesBusy

ASIDE = ".aside"
YOUNG = 60.0
"""Seconds: an empty open file may be one whose owner is about to lock it."""

LOCK = "compact.lock"
PATIENCE = 600.0
"""Seconds that a compaction waits for another one."""


@dataclass(frozen=True)
class CaptureFile:
    """A file that is ours to take, as long as the block lasts in which it was given."""

    path: Path

    @property
    def stem(self) -> str:
        """What its segment is called after."""
        return self.path.stem

    def done(self, end: int, torn: int, unknown: int) -> None:
        """Let it go, for its rows are elsewhere: a torn end stays aside, all of it where a record was not known."""
        if unknown or (torn and not end):
            self.path.replace(self._aside())
            return
        if torn:
            _keep_end(self.path, end, self._aside())
        self.path.unlink()

    def _aside(self) -> Path:
        return self.path.with_name(f"{self.path.name}{ASIDE}")


@dataclass
class Left:
    """Files that were not taken.

    Attributes
    ----------
    written : int
        Their owners live.
    foreign : list of str
        Nobody here writes such files, or they cannot be opened.
    """

    written: int = 0
    foreign: list[str] = field(default_factory=list)


def taken(folder: Path, closed: str, left: Left) -> Iterator[CaptureFile]:
    """Yield the files of a folder that may be taken, oldest name first, each locked until the next is asked for."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ASIDE:
            continue
        if path.suffix not in (closed, OPEN) or path.is_symlink() or not path.is_file():
            left.foreign.append(path.name)
            continue
        with _locked(path, left) as is_ours:
            if is_ours:
                yield CaptureFile(path)


@contextmanager
def _locked(path: Path, left: Left) -> Iterator[bool]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:  # its owner has rotated it: the next call takes it
        yield False
        return
    except OSError:
        left.foreign.append(path.name)
        yield False
        return
    try:
        yield _is_had(handle, path, left)
    finally:
        os.close(handle)


def _is_had(handle: int, path: Path, left: Left) -> bool:
    """Return whether the lock was had, of the file that has this name still and is no newborn."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        left.written += 1
        return False
    result = os.fstat(handle)
    is_newborn = path.suffix == OPEN and not result.st_size and time.time() - result.st_mtime < YOUNG
    left.written += is_newborn
    with suppress(FileNotFoundError):
        return not is_newborn and path.stat().st_ino == result.st_ino
    return False


def _keep_end(path: Path, end: int, aside: Path) -> None:
    """Copy what is behind the last whole record: if it holds more than a torn record, it can still be looked at."""
    with path.open("rb") as file:
        file.seek(end)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as copy:
            while part := file.read(2**20):
                copy.write(part)
            copy.flush()
            os.fsync(copy.fileno())


@contextmanager
def alone(folder: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Be the only one that compacts a folder; `wait` is told once where another has to end first.

    Raises
    ------
    CapturesBusy
        The other took longer than ten minutes.
    """
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _lock_patiently(handle, folder, wait)
        yield
    finally:
        os.close(handle)


def _lock_patiently(handle: int, folder: Path, wait: Callable[[], None]) -> None:
    until = time.monotonic() + PATIENCE
    while not _is_locked(handle):
        if until - time.monotonic() > PATIENCE - 0.1:
            wait()
        if time.monotonic() > until:
            raise CapturesBusy(where=str(folder), minutes=round(PATIENCE / 60))
        time.sleep(0.2)


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
