"""Files that are only appended to, and that a crash cannot spoil: records with their length and checksum.

Whoever is killed in the middle of a record leaves a torn end. All before it is read; what is torn is counted.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

MAGIC = b"slw1"
MOST_BYTES = 2**30
"""Of a record: a length beyond it is no length."""

_START = struct.Struct("<4sII")
"""Magic, bytes that follow, their CRC-32."""
_LENGTH = struct.Struct("<I")


class Record(NamedTuple):
    """A head in JSON, and parts of bytes."""

    head: Mapping[str, Any]
    parts: Sequence[bytes]


def record(head: Mapping[str, Any], parts: Sequence[bytes | memoryview] = ()) -> bytes:
    """Return a record's bytes."""
    written = orjson.dumps({**head, "sizes": [len(part) for part in parts]}, default=list)
    body = [_LENGTH.pack(len(written)), written, *parts]
    checksum = reduce(lambda before, part: zlib.crc32(part, before), body, 0)
    return b"".join([_START.pack(MAGIC, sum(map(len, body)), checksum), *body])


class RecordFile:
    """A file that is read as far as it is whole.

    Attributes
    ----------
    end : int
        Where the last whole record ended, once it was read through.
    torn : int
        Bytes behind it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = self.torn = 0

    def __iter__(self) -> Iterator[Record]:
        """Yield the whole records, oldest first; raises OSError."""
        self.end = 0
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            while (read := _read(file, size - self.end)) is not None:
                self.end = file.tell()
                yield read
        self.torn = max(size - self.end, 0)


def _read(file: BinaryIO, left: int) -> Record | None:
    """Return the next record, or None where the rest is no whole one."""
    start = file.read(_START.size)
    if len(start) < _START.size:
        return None
    magic, length, checksum = _START.unpack(start)
    if magic != MAGIC or not _LENGTH.size <= length <= min(left - _START.size, MOST_BYTES):
        return None
    body = file.read(length)
    return _parsed(body) if len(body) == length and zlib.crc32(body) == checksum else None


def _parsed(body: bytes) -> Record | None:
    (length,) = _LENGTH.unpack_from(body)
    try:
        head = json.loads(body[_LENGTH.size : _LENGTH.size + length])
        sizes = [int(size) for size in head["sizes"]]
    except (ValueError, TypeError, KeyError):  # a foreign file whose checksum is right
        return None
    place, parts = _LENGTH.size + length, []
    for size in sizes:
        parts.append(body[place : place + size])
        place += size
    return Record(head, parts) if place == len(body) and min(sizes, default=0) >= 0 else None
