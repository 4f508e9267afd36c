"""A file that one process appends records to, and nobody else: locked as long as it is open, renamed at its end.

A write that fails is cut off again, and nothing is written behind it: whatever stands at the end of a file of which the
disk refused something, all before it is whole. What is in a record is not known here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OPEN = ".open"
"""How a file ends that is written."""
PROBE_BYTES = 2**18
FILE_BYTES = 64 * 2**20
"""After which a file is closed, and the next one begun."""
LOOK_SECONDS = 1.0
"""After which an owner looks at his file without having anything to write."""
CLOSE_SECONDS = 20.0
"""That the end of a process waits for the disk."""
LEAST_SHARE, LEAST_BYTES = 0.1, 4 * 2**30
"""Of a disk: the smaller of the two, since a tenth of a large one lasts for years."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OwnFile:
    """An open file, which is to be closed after some seconds; raises OSError where none can be made.

    Attributes
    ----------
    size : int
        Bytes of whole records.
    """

    def __init__(self, folder: Path, seconds: float, closed: str) -> None:
        self._seconds, self._closed = seconds, closed
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._began, self.size = time.monotonic(), 0
        self._synced, self._is_known, self._is_in_doubt = 0, False, False
        self.path, self._handle = _locked(folder)

    @property
    def is_over(self) -> bool:
        """Whether nothing may be appended: it was deleted, or the disk refused something and its end is in doubt."""
        return self._is_in_doubt or not os.fstat(self._handle).st_nlink

    @property
    def is_due(self) -> bool:
        """Whether it is large or old enough to be closed."""
        return self.size >= FILE_BYTES or time.monotonic() - self._began >= self._seconds

    def append(self, records: bytes) -> None:
        """Write records in one call; raises OSError where they do not fit, and the file is over then."""
        with self._doubted():
            try:
                written = os.write(self._handle, records)
                if written < len(records):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                with suppress(OSError):  # a reader stops before what is left
                    os.ftruncate(self._handle, self.size)
                raise
        self.size += written

    def cut(self, size: int) -> None:
        """Take back what was appended behind so many bytes; raises OSError."""
        with self._doubted():
            os.ftruncate(self._handle, size)
        self.size = size

    def probe(self) -> None:
        """See whether a frame would fit; raises OSError."""
        try:
            os.posix_fallocate(self._handle, self.size, PROBE_BYTES)
        finally:
            self.cut(self.size)

    def sync(self) -> None:
        """Have what was written stand on the disk, and the file's name at the first time.

        Raises OSError, and the file is over then: the kernel may have let go of what it could not write.
        """
        size = self.size
        if size == self._synced:
            return
        with self._doubted():
            os.fdatasync(self._handle)
            if not self._is_known:
                sync_folder(self.path.parent)
        self._synced, self._is_known = size, True

    def finish(self) -> None:
        """Close it under its last name; one that holds nothing goes. Raises OSError."""
        try:
            if not self.size:
                self.path.unlink(missing_ok=True)
                return
            os.fsync(self._handle)
            with suppress(FileNotFoundError):  # it was deleted
                self.path.rename(self.path.with_suffix(self._closed))
                sync_folder(self.path.parent)
        finally:
            os.close(self._handle)

    @contextmanager
    def _doubted(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._is_in_doubt = True
            raise


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


def sync_folder(folder: Path) -> None:
    """Have the names in a folder stand on the disk; raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_nearly_full(folder: Path) -> bool:
    """Say whether a disk has less room than a tenth of it and than 4 GiB; raises OSError. No if its size is unknown."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < min(LEAST_SHARE * disk.f_blocks * disk.f_frsize, LEAST_BYTES)
