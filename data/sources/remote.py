"""Files that are not on this machine: found, listed and read in a store (`data.sources.stores`).

A file is read by ranges of some megabytes as its rows are needed, and more than once where its layout has to be found
out first. What it knows of a file is what the store says: its size and when it was written.
"""

from __future__ import annotations

import fnmatch
import io
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
from pyarrow import fs

from data.errors import OutOfReach
from data.sources.hidden import is_hidden
from data.sources.stores import IN_BETWEEN, NO_BUCKET, FileStore, Result, asked_of, without_secrets

AHEAD = 8 * 2**20
"""Bytes that are asked for at once where a file is read from its beginning to its end."""

AT_ONCE = 16
"""Files that are asked about at the same time."""

MARKS = b"\xa5\x5a"
"""What stands where the last byte of a part belongs, before it is asked for: no byte of a file is both."""

SHOWN = 40
"""Letters of an answer that is not the store's."""

_MAGIC = re.compile(r"[*\[]")

Item = TypeVar("Item")


def about(where: str) -> fs.FileInfo:
    """Return what a store says of a file: its kind, size and when it was written; raises OutOfReach."""
    return asked_of(where, lambda place: place.files.get_file_info(place.path(where).rstrip("/") or "/"))


def base_of(where: str) -> str:
    """Return the folder below which folders are partitions: what is named, up to the first wildcard."""
    kind = about(where).type
    if kind == fs.FileType.File:
        return where.rpartition("/")[0]
    return where.rstrip("/") if kind == fs.FileType.Directory else _unmagical(where)


def _unmagical(where: str) -> str:
    found = _MAGIC.search(where, where.index("://") + 3)
    return where[: where.rindex("/", 0, found.start())] if found else where.rstrip("/")


def matching(where: str) -> list[str]:
    """Return the addresses of the files that are meant, in order; raises OutOfReach."""
    place, kind = FileStore.of(where), about(where).type
    if kind == fs.FileType.File:
        return [where]
    base = where.rstrip("/") if kind == fs.FileType.Directory else _unmagical(where)
    words = "" if kind == fs.FileType.Directory else where.removeprefix(f"{base}/")
    is_meant = re.compile(_pattern(words or "**")).fullmatch
    names = (each.removeprefix(f"{base}/") for each in listed(base))
    found = sorted(f"{base}/{name}" for name in names if is_meant(name) and not is_hidden(name, words))
    if not found:
        _refuse_no_bucket(place)
        raise OutOfReach(
            where=where,
            reason="there is no such file or folder, and nothing like it",
            repair="check the name",
        )
    return found


def listed(where: str) -> list[str]:
    """Return the addresses of all files below a folder; raises OutOfReach."""
    place = FileStore.of(where)
    return [place.named(path) for path in _below(place, where)]


def _below(place: FileStore, base: str) -> list[str]:
    """Return the paths of all files below a folder."""
    chosen = fs.FileSelector(place.path(base), recursive=True, allow_not_found=True)
    infos = asked_of(base, lambda place: place.files.get_file_info(chosen))
    return [info.path for info in infos if info.is_file]


def _refuse_no_bucket(place: FileStore) -> None:
    """Raise OutOfReach where not even the bucket is there: S3 says of any file in it that it is not."""
    if place.scheme != "hdfs" and about(place.address).type == fs.FileType.NotFound:
        raise OutOfReach(where=place.address.rstrip("/"), reason=NO_BUCKET[0], repair=NO_BUCKET[1])


def _pattern(glob: str) -> str:
    """Return a regular expression for a glob, whose `*` ends at a `/` and whose `**` does not.

    >>> bool(re.fullmatch(_pattern("**/*.csv"), "2012/01/a.csv")), bool(re.fullmatch(_pattern("*.csv"), "1/a.csv"))
    (True, False)
    """
    parts = []
    for segment in glob.split("/"):
        if segment == "**":
            parts.append("(?:[^/]+/)*")
        else:
            inside = fnmatch.translate(segment.replace("**", "*"))
            parts.append(re.sub(r"^\(\?s:(.*)\)\\[zZ]$", r"\1", inside).replace(".*", "[^/]*") + "/")
    return "".join(parts).removesuffix("/") + ("" if not glob.endswith("**") else "[^/]+")


def opened(where: str, ahead: int = AHEAD) -> BinaryIO:
    """Open a file, of which so many bytes are asked for at once, 0 for those alone that are read; raises OutOfReach."""
    place = FileStore.of(where)
    file = asked_of(where, lambda place: place.files.open_input_file(place.path(where)))
    raw = _StoredBytes(place, where, file)
    return cast("BinaryIO", io.BufferedReader(cast("Any", raw), ahead) if ahead else raw)


class _StoredBytes(io.RawIOBase):
    """The bytes of a file far away, whose store is at fault where fewer come than it said.

    Of S3 pyarrow says that all came that was asked for. Where less did, as from a proxy that answers with a page of its
    own, the rest of the buffer is what was in memory. So the last byte is set before, and has to be another one after.
    """

    def __init__(self, place: FileStore, where: str, file: pa.NativeFile) -> None:
        super().__init__()
        self._place, self._where, self._file = place, where, file
        self._size = file.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._read(memoryview(buffer).cast("B"))
        except (OSError, pa.ArrowException) as error:
            raise self._place.fault(self._where, error) from error
        if not count and len(buffer) and self.tell() < self._size:
            raise self._place.fault(self._where, OSError("end of response with bytes missing"))
        return count

    def _read(self, buffer: memoryview) -> int:
        """Return how many bytes are in the buffer now; raises OutOfReach where fewer came."""
        begin = self.tell()
        asked = min(len(buffer), max(self._size - begin, 0))
        for mark in MARKS:  # again only where the byte may be the file's
            if asked:
                buffer[asked - 1] = mark
            self._file.seek(begin)
            count = int(self._file.readinto(buffer))
            if count < max(asked, 1) or buffer[asked - 1] != mark:
                return count
        start = bytes(buffer[: min(asked, SHOWN)]).partition(bytes(MARKS[1:]))[0].decode("utf-8", "replace")
        came = f"fewer came than the {asked:,} bytes of it that were asked for, beginning with {start!r}"
        raise OutOfReach(where=self._where, reason=without_secrets(came), repair=IN_BETWEEN)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def each_at_once(asked: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
    """Return the answers in order, asked for side by side: one costs a journey to the store."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(asked, items))
