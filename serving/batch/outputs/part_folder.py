"""What a folder of parts can do, wherever it is; and whether it is in what is read."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO, Protocol

_VERSION = re.compile(r"/?@v?\d+$")
ANY = "part-00000-0123456789abcdef.parquet"
"""A name as parts have it."""


class PartFolder(Protocol):
    """A folder that all who write into it see under one name; it may be sent to another process.

    All of it raises OSError of a disk, and OutOfReach of a store.
    """

    def check(self, read: str) -> None:
        """Raise BadOutput or OutOfReach where nothing can be written there, as where it is in what is `read`."""

    def make(self) -> None:
        """Make it, where it is not there."""

    def names(self) -> list[str]:
        """Return what is in it, hidden or not; nothing where it is not there."""

    def size(self, name: str) -> int | None:
        """Return how many bytes a file has, None where there is none."""

    def opened(self, name: str) -> BinaryIO:
        """Open a file to read it."""

    def whole(self, name: str) -> AbstractContextManager[Path]:
        """Yield where to write what appears under a name once the block has ended well, and not at all otherwise."""

    def rename(self, name: str, other: str) -> None:
        """Give a file that may be gone another name."""

    def remove(self, name: str) -> None:
        """Remove a file that may be gone."""


def is_in(folder: str, read: str) -> bool:
    """Return whether parts of a folder would be among what is read: a folder, a glob, or a version of a table.

    >>> is_in("s3://b/in/out", "s3://b/in/"), is_in("s3://b/in/out", "s3://b/in/*.parquet")
    (True, False)
    >>> is_in("s3://b/in/out", "s3://b/in/*/*.parquet"), is_in("s3://b/t", "s3://b/t@3")
    (True, True)
    """
    part = f"{folder}/{ANY}"
    for meant in {read, _VERSION.sub("", read)}:
        if part.startswith(f"{meant.rstrip('/')}/"):
            return True
        if ("**" in meant or meant.count("/") == part.count("/")) and fnmatch(part, meant):
            return True
    return False
