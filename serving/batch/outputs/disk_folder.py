"""A folder on a disk: a file gets its name when it is whole and on the disk."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data.own_files import sync_folder
from serving.batch.outputs.part_folder import is_in
from serving.errors import BadOutput

PARTIAL = ".partial"
"""How a file ends that is written; it begins with a point, so that readers of a folder leave it out."""


@dataclass(frozen=True)
class DiskFolder:
    """A `PartFolder` on a disk, which may be one that many machines share."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def check(self, read: str) -> None:
        """Raise BadOutput."""
        if not self.path.absolute().parent.is_dir():
            raise BadOutput(reason=f"there is no folder {self.path.parent}", repair="make it")
        if "://" not in read and is_in(str(self.path.resolve()), str(Path(read).resolve())):
            raise BadOutput(reason=f"{self} is in the input", repair="write the parts to another folder")
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

    def whole(self, name: str) -> AbstractContextManager[Path]:
        """Yield a path beside the one that it will have."""
        return whole(self.path / name)

    def rename(self, name: str, other: str) -> None:
        """Give a file another name."""
        with suppress(FileNotFoundError):
            (self.path / name).rename(self.path / other)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield where to write what appears under a name once it is whole and on the disk, and not at all otherwise."""
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"  # two machines may have processes of one number
    partial = path.with_name(f".{path.name}.{mark}{PARTIAL}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
