"""Frames on the line between the front and a process that runs a model: a JSON head, then parts of bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

LENGTH = struct.Struct("<I")
"""Of the head, before it; the head says how long the parts are."""


def frame(head: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """Return a frame's bytes."""
    written = json.dumps(head | {"sizes": [len(part) for part in parts]}).encode()
    return b"".join([LENGTH.pack(len(written)), written, *parts])


def read_frame(stream: BinaryIO) -> tuple[Any, list[bytes]] | None:
    """Return a frame's head and its parts, or None where the stream has ended."""
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    head = json.loads(stream.read(LENGTH.unpack(length)[0]))
    return head, [stream.read(size) for size in head["sizes"]]
