"""A folder for what lives as long as one server: its metrics' files, and versions where there is no better place.

A server that was killed leaves its folder behind; the next one throws it away. It knows by a lock, which
the kernel lets go of whenever a process ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX, LOCK = "slipway-", "in-use"
MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
"""Where a container with a read-only root can still write, though nobody sets TMPDIR."""

logger = logging.getLogger("serving")


@contextmanager
def scratch() -> Iterator[Path | None]:
    """Give a folder until the server ends; None where none can be made."""
    made = _make()
    if made is None:
        logger.warning("no temporary folder can be made: /metrics is off; set TMPDIR to have it")
        yield None
        return
    folder, lock = made
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make() -> tuple[Path, int] | None:
    for place in (None, MEMORY):
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        except OSError:  # no folder at all, a read-only root, no room
            continue
        try:
            lock = _lock(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        _throw_away_abandoned(folder.parent)
        return folder, lock
    return None


def _lock(folder: Path) -> int:
    """Take the folder's lock, which has its name only once it is locked: nobody finds it free in between."""
    taken = os.open(folder / f"{LOCK}.new", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(taken, fcntl.LOCK_EX)
    (folder / f"{LOCK}.new").rename(folder / LOCK)
    return taken


def _throw_away_abandoned(parent: Path) -> None:
    """Remove folders of this user's servers that have ended without a chance to."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, or none of a server
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if folder.lstat().st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(lock)
