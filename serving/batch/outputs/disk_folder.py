"""A folder on a disk: a file gets its name when it is whole and on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data.own_files import sync_folder
from serving.batch.outputs.part_folder import refuse_input, refuse_name, room_for
from serving.errors import BadOutput

PARTIAL = ".partial"
"""How a file ends that is written; it begins with a point, so that readers of a folder leave it out."""
LOCK = ".lock"
"""What is locked by who has the folder alone; it is there as long as somebody has."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EINVAL)


@dataclass(frozen=True)
class DiskFolder:
    """A `PartFolder` on a disk, which may be one that many machines share."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def check(self, read: str) -> None:
        """Raise BadOutput."""
        refuse_name(str(self))
        if not self.path.absolute().parent.is_dir():
            raise BadOutput(reason=f"there is no folder {self.path.parent}", repair="make it")
        if "://" not in read:
            refuse_input(str(self.path.resolve()), str(Path(read).resolve()), said=str(self))
        if self.path.is_symlink() and not self.path.exists():
            raise BadOutput(reason=f"{self} is a link to what is not there", repair="make that folder")
        if self.path.exists() and not self.path.is_dir():
            raise BadOutput(reason=f"{self} is a file", repair="name a folder")

    def make(self) -> None:
        """Make it, in a folder that is there."""
        self.path.mkdir(exist_ok=True)

    def names(self) -> list[str]:
        """Return what is in it."""
        return [path.name for path in self.path.iterdir()] if self.path.is_dir() else []

    def size(self, name: str) -> int | None:
        """Return how many bytes a file has."""
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def opened(self, name: str) -> BinaryIO:
        """Open a file to read it."""
        return (self.path / name).open("rb")

    @contextmanager
    def whole(self, name: str, allow: Callable[[], None] | None = None) -> Iterator[Path]:
        """Yield a path beside the one that it will have."""
        mark = f"{os.getpid()}-{secrets.token_hex(4)}"  # two machines may have processes of one number
        partial = self.path / f".{name}.{mark}{PARTIAL}"
        try:
            with room_for(str(self.path / name)):
                yield partial
                with partial.open("rb") as file:
                    os.fsync(file.fileno())
            with self.held() if allow else nullcontext():
                if allow:
                    allow()
                partial.replace(self.path / name)
            sync_folder(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def rename(self, name: str, other: str) -> None:
        """Give a file another name."""
        with suppress(FileNotFoundError):
            (self.path / name).rename(self.path / other)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock a file in it, of which nothing stays; the kernel lets go of the lock of who is killed.

        A disk that knows no locks has none: two scorings that end at the same moment may hinder each other there.
        """
        path = self.path / LOCK
        handle = _locked(path)
        try:
            yield
        finally:
            with suppress(OSError):  # one that stays does no harm
                path.unlink()
            os.close(handle)


def _locked(path: Path) -> int:
    """Return an open file that is locked, and is still the one of that name; raises OSError."""
    while True:
        handle = _opened(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return handle
            if error.errno != errno.ESTALE:  # of a file that went on another machine
                os.close(handle)
                raise
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # it is another user's, who was killed
        return os.open(path, os.O_RDONLY)
