"""A folder in a bucket of S3: an object appears when the last byte of it has come, and not at all before.

A file is made on this disk, and sent when it is whole. What was sent of one before its process was killed is in no
list and no folder; the bucket keeps it, and charges for it, until its rule for unfinished uploads takes it away.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import fs

from data.errors import OutOfReach
from data.own_files import own_folder
from data.sources import asked_of, opened
from serving.batch.outputs.part_folder import is_in
from serving.errors import BadOutput


@dataclass(frozen=True)
class BucketFolder:
    """A `PartFolder` in a bucket.

    Attributes
    ----------
    where : str
        Its address, without a / at the end; keys come from the environment of who writes.
    """

    where: str

    def __str__(self) -> str:
        return self.where

    def check(self, read: str) -> None:
        """Raise BadOutput or OutOfReach; whether parts can be written there, the first one tells."""
        if is_in(self.where, read):
            raise BadOutput(reason=f"{self} is in the input", repair="write the parts to another folder")
        if not self.names():
            asked_of(self.where, _refuse_no_bucket)

    def make(self) -> None:
        """Do nothing: a folder is there when something is in it."""

    def names(self) -> list[str]:
        """Return what is in it."""

        def listed(store: Any) -> list[str]:
            chosen = fs.FileSelector(store.path(self.where), allow_not_found=True)
            return [info.base_name for info in store.files.get_file_info(chosen)]

        return asked_of(self.where, listed)

    def size(self, name: str) -> int | None:
        """Return how many bytes an object has."""
        where = self._address(name)
        info = asked_of(where, lambda store: store.files.get_file_info(store.path(where)))
        return int(info.size) if info.is_file else None

    def opened(self, name: str) -> BinaryIO:
        """Open an object to read it."""
        return opened(self._address(name))

    @contextmanager
    def whole(self, name: str) -> Iterator[Path]:
        """Yield a path on this disk, and send what is there."""
        with tempfile.TemporaryDirectory(dir=own_folder()) as made:
            path = Path(made) / name
            yield path
            size = path.stat().st_size
            _send(path, self._address(name))
        if self.size(name) != size:
            raise OutOfReach(
                where=self._address(name),
                reason="is not what was sent",
                repair="another one may write there, or answer for the store: check that, and run the same again",
            )

    def rename(self, name: str, other: str) -> None:
        """Copy an object, and remove it then."""

        def moved(store: Any) -> None:
            with suppress(FileNotFoundError):
                store.files.move(store.path(self._address(name)), store.path(self._address(other)))

        asked_of(self._address(name), moved)

    def remove(self, name: str) -> None:
        """Remove an object."""

        def removed(store: Any) -> None:
            with suppress(FileNotFoundError):
                store.files.delete_file(store.path(self._address(name)))

        asked_of(self._address(name), removed)

    def _address(self, name: str) -> str:
        return f"{self.where}/{name}"


def _refuse_no_bucket(store: Any) -> None:
    if store.files.get_file_info(store.root.rstrip("/")).type == fs.FileType.NotFound:
        raise OSError("NO_SUCH_BUCKET")


def _send(path: Path, where: str) -> None:
    """Send a file in one call, and in a thread, where no Ctrl-C comes in between.

    A stream of pyarrow's that is dropped before it is closed ends as if all had been written.
    """
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()

    def send(store: Any) -> None:
        stream = store.files.open_output_stream(store.path(where), compression=None)
        stream.write(content)
        stream.close()

    with ThreadPoolExecutor(1) as beside:
        beside.submit(asked_of, where, send).result()
