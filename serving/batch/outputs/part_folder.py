"""What a folder of parts can do, wherever it is; and where none can be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO, Protocol

from data.own_files import NO_ROOM
from serving.errors import BadOutput

_VERSION = re.compile(r"/?@v?\d+$")
ANY = "part-00000-0123456789abcdef.parquet"
"""A name as parts have it."""


class PartFolder(Protocol):
    """A folder that all who write into it see under one name; it may be sent to another process.

    All of it raises OSError of a disk, and OutOfReach of a store; what is read and is not there is a
    FileNotFoundError of both.
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

    def whole(self, name: str, allow: Callable[[], None] | None = None) -> AbstractContextManager[Path]:
        """Yield where to write what appears under a name once the block has ended well, and not at all otherwise.

        `allow` raises where the name may not be given now. It is asked while the folder is held; in a bucket when the
        file has come, which is taken away again then.
        """

    def rename(self, name: str, other: str) -> None:
        """Give a file that may be gone another name."""

    def remove(self, name: str) -> None:
        """Remove a file that may be gone."""

    def held(self) -> AbstractContextManager[None]:
        """Have the folder alone: who else asks for it waits until the block ends, or its process."""


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


def refuse_input(folder: str, read: str, *, said: str = "") -> None:
    """Raise BadOutput where parts would be among what is read, or it among them, which are taken away in the end."""
    for is_so, how in ((is_in(folder, read), "is in"), (read.rpartition("/")[0] == folder, "holds")):
        if is_so:
            repair = "write the parts to another folder"
            raise BadOutput(reason=f"{said or folder} {how} the input", repair=repair)


def refuse_name(output: str) -> None:
    """Raise BadOutput for a name whose bytes are no UTF-8: pyarrow opens no such file."""
    shown = output.encode("utf-8", "backslashreplace").decode()
    if shown != output:
        raise BadOutput(reason=f"output {shown} is not UTF-8", repair="name it otherwise")


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """Raise BadOutput in place of what a full disk says, which names no file."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        reason = f"{what} does not fit: {os.strerror(error.errno)}"
        raise BadOutput(reason=reason, repair="make room, and run the same again") from error
