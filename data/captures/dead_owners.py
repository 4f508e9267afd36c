"""Files that somebody appended to and left open when he died are given their name.

What stands in them stays as it is: readers stop at a torn end, and behind a spoilt record there may be whole ones.
Nobody is asked who lives: an owner holds the lock of his file. It knows no folders, and not what records say.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from data.captures.records import RecordFile

YOUNG_SECONDS = 60.0
"""An empty file may be one whose owner is about to lock it."""

logger = logging.getLogger(__name__)


def closed(path: Path, ending: str) -> bool:
    """Close one file if its owner is dead; a file without a single record of ours stays as it is."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # it was closed meanwhile, or is none of ours
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(handle).st_ino and _closed(handle, path, ending)
    except OSError as error:
        if not isinstance(error, BlockingIOError | FileNotFoundError):
            logger.warning("%s, which a dead process left, cannot be closed: %s", path, error.strerror)
        return False
    finally:
        os.close(handle)


def _closed(handle: int, path: Path, ending: str) -> bool:
    if not os.fstat(handle).st_size:
        return _without_empty(handle, path)
    if not any(True for _ in RecordFile(path)):
        return False
    os.fsync(handle)
    path.rename(path.with_suffix(ending))
    return True


def _without_empty(handle: int, path: Path) -> bool:
    if time.time() - os.fstat(handle).st_mtime > YOUNG_SECONDS:
        with suppress(FileNotFoundError):
            path.unlink()
    return False
