"""What an Arrow IPC stream claims to hold, read from its headers before anything is expanded.

pyarrow shows a message's kind but neither its rows nor what its compressed buffers will become:
a body of 69 kB with 200 columns of zeros under zstd took 1.6 GB to read. Both stand in the few
flatbuffer fields below (format: Arrow's Message.fbs, MetadataVersion V4 and V5). A claim may lie:
a batch is still validated after it was read.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.ipc

DICTIONARY_BATCH, RECORD_BATCH = 2, 3
FILE_MAGIC = b"ARROW1"
_BUFFER = struct.Struct("<qq")
_BLOCK = struct.Struct("<qi4xq")


class Claim(NamedTuple):
    """Rows, bytes once every buffer is expanded, streams that begin, and where the last one ends."""

    rows: int
    expanded: int
    schemas: int = 0
    end: int = 0


def claimed(body: bytes) -> Claim:
    """Add up the claims of all batches of a stream; raises ValueError or ArrowException where a header is broken."""
    rows = expanded = schemas = 0
    source = pa.BufferReader(body)
    for message in pyarrow.ipc.MessageReader.open_stream(source):
        schemas += message.type == "schema"
        claim = _of_any(message)
        rows, expanded = rows + claim.rows, expanded + claim.expanded
    return Claim(rows, expanded, schemas, source.tell())


def claimed_by_file(body: bytes) -> Claim:
    """Do the same for an Arrow file (Feather): its footer says where each batch stands, and ends the last."""
    size = int.from_bytes(body[-10:-6], "little")
    if not body.endswith(FILE_MAGIC) or size > len(body) - 18:
        raise ValueError("the file is cut short, or more follows it")
    begin, rows, expanded, end = len(body) - 10 - size, 0, 0, 8
    whole = pa.py_buffer(body)
    for offset, length in _blocks(body[begin:-10]):
        if not 8 <= offset <= offset + length <= begin:
            raise ValueError("the footer points outside the file")
        claim = _of_any(pyarrow.ipc.read_message(whole.slice(offset, length)))
        rows, expanded, end = rows + claim.rows, expanded + claim.expanded, max(end, offset + length)
    return Claim(rows, expanded, 1 + body.count(FILE_MAGIC, end, begin), len(body))


def _blocks(content: bytes) -> list[tuple[int, int]]:
    """Return where the dictionaries and batches of a footer begin, and how long they are."""
    footer, blocks = _Flatbuffer(content), []
    try:
        for number in (2, 3):
            if not (field := footer.field(footer.follow(0), number)):
                continue
            listed = footer.follow(field)
            stop = listed + 4 + _BLOCK.size * footer.read("<I", listed)
            blocks += [
                (offset, header + length)
                for offset, header, length in _BLOCK.iter_unpack(content[listed + 4 : stop])
            ]
    except (struct.error, IndexError) as error:
        raise ValueError("the footer points outside itself") from error
    return blocks


def _of_any(message: Any) -> Claim:
    if message.body is None:
        return Claim(0, 0)
    try:
        return _of_message(_Flatbuffer(message.metadata.to_pybytes()), memoryview(message.body))
    except (struct.error, IndexError) as error:
        raise ValueError("a batch header points outside itself") from error


def _of_message(header: _Flatbuffer, body: Any) -> Claim:
    message = header.follow(0)
    kind = header.read("<B", header.field(message, 1))
    if kind not in (DICTIONARY_BATCH, RECORD_BATCH):
        return Claim(0, 0)
    batch = header.follow(header.field(message, 2))
    if kind == DICTIONARY_BATCH:
        batch = header.follow(header.field(batch, 1))
    buffers = header.follow(header.field(batch, 2))
    count, start = header.read("<I", buffers), buffers + 4
    spans = _BUFFER.iter_unpack(header.content[start : start + _BUFFER.size * count])
    is_compressed = bool(header.field(batch, 3))
    expanded = sum(_expanded(body, offset, length, is_compressed) for offset, length in spans)
    length_field = header.field(batch, 0)
    rows = header.read("<q", length_field) if length_field and kind == RECORD_BATCH else 0
    return Claim(rows, expanded)


def _expanded(body: Any, offset: int, length: int, is_compressed: bool) -> int:
    """Return a buffer's size; a compressed one begins with it, -1 where compression did not pay."""
    if not is_compressed or length < 8:
        return length
    claim = int(struct.unpack_from("<q", body, offset)[0])
    return max(claim, length)


class _Flatbuffer:
    """The three steps through a flatbuffer that are needed here; positions are bytes from its start."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, form: str, offset: int) -> int:
        return int(struct.unpack_from(form, self.content, offset)[0])

    def follow(self, offset: int) -> int:
        return offset + self.read("<I", offset)

    def field(self, table: int, number: int) -> int:
        """Return where a table's field stands, 0 where it was left out."""
        layout = table - self.read("<i", table)
        entry = 4 + 2 * number
        offset = self.read("<H", layout + entry) if entry < self.read("<H", layout) else 0
        return table + offset if offset else 0
