"""A folder for what lives as long as one process: a server's figures, a training's downloads and scratch files.

A process that was killed leaves its folder behind; the next one throws it away. It knows by a lock, which
the kernel lets go of whenever a process ends. Who uses the folder, and for what, it does not know.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PREFIX, LOCK = "slipway-", "in-use"


@contextmanager
def scratch(*, otherwise: str | None = None) -> Iterator[Path | None]:
    """Give a folder until the block ends, in another place where there is no room for temporary files, or None."""
    made = _make(otherwise)
    if made is None:
        yield None
        return
    folder, lock = made
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@cache
def own_folder() -> str:
    """Return this process's own folder, which goes when it ends; raises OSError.

    Others' temporary files stay where they were: MLflow's processes find each other's locks there.
    """
    made = _make(None)
    folder = str(made[0]) if made else tempfile.mkdtemp(prefix=PREFIX)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _make(otherwise: str | None) -> tuple[Path, int] | None:
    for parent in (None, otherwise) if otherwise else (None,):
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
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
    """Remove folders of this user's processes that have ended without a chance to."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, or none of ours
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if folder.lstat().st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(lock)
