"""A worker's own file of frames, or of labels: whole records are appended, it is locked meanwhile, renamed at its end.

A write that fails leaves nothing behind: the file is cut where the last record ended. Whoever reads it while it is
written, or after a crash, finds whole records (`data.captures.records`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

OPEN, CLOSED = ".open", ".frames"
PROBE_BYTES = 2**18
FILE_BYTES = 64 * 2**20
"""After which a file is closed, and the next one begun."""


class FrameFile:
    """An open file, which is to be closed after some seconds; raises OSError where none can be made.

    Attributes
    ----------
    size : int
        Bytes of whole records.
    layouts : set
        Which layouts it has.
    """

    def __init__(self, folder: Path, seconds: float, closed: str = CLOSED) -> None:
        self._seconds, self._closed = seconds, closed
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.layouts: set[tuple[str, str]] = set()
        self._began, self.size = time.monotonic(), 0
        self._is_written = self._is_known = False
        self.path, self._handle = _locked(folder)

    @property
    def is_gone(self) -> bool:
        """Whether somebody deleted it."""
        return not os.fstat(self._handle).st_nlink

    @property
    def is_due(self) -> bool:
        """Whether it is large or old enough to be closed."""
        return self.size >= FILE_BYTES or time.monotonic() - self._began >= self._seconds

    def append(self, records: bytes) -> None:
        """Write records in one call; raises OSError where they do not fit, and leaves nothing of them."""
        try:
            written = os.write(self._handle, records)
            if written < len(records):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise
        self.size += written
        self._is_written = True

    def cut(self, size: int) -> None:
        """Take back what was appended behind so many bytes; raises OSError."""
        os.ftruncate(self._handle, size)
        self.size = size

    def probe(self) -> None:
        """See whether a frame would fit; raises OSError."""
        try:
            os.posix_fallocate(self._handle, self.size, PROBE_BYTES)
        finally:
            os.ftruncate(self._handle, self.size)

    def sync(self) -> None:
        """Have what was written stand on the disk, and the file's name at the first time; raises OSError."""
        if not self._is_written:
            return
        self._is_written = False
        os.fdatasync(self._handle)
        if not self._is_known:
            _sync_folder(self.path.parent)
            self._is_known = True

    def finish(self) -> None:
        """Close it under its last name; one that holds nothing goes. Raises OSError."""
        try:
            if not self.size:
                self.path.unlink(missing_ok=True)
                return
            os.fsync(self._handle)
            with suppress(FileNotFoundError):  # it was deleted
                self.path.rename(self.path.with_suffix(self._closed))
                _sync_folder(self.path.parent)
        finally:
            os.close(self._handle)


def _locked(folder: Path) -> tuple[Path, int]:
    """Make and lock a file; another name where somebody takes it for a dead one in between."""
    while True:
        path = folder / f"{time.time_ns() // 10**6:013d}-{secrets.token_hex(6)}{OPEN}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return path, handle
        except BlockingIOError:
            path.unlink(missing_ok=True)
        except OSError:
            os.close(handle)
            raise
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_share(folder: Path) -> float:
    """Return which share of a disk is free; raises OSError. 1 where its size is not known."""
    found = os.statvfs(folder)
    return found.f_bavail / found.f_blocks if found.f_blocks else 1.0
