"""What the files of parts are called: their place, and a hash of all that their bytes follow from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from serving.batch.upkeep.manifest import LAYOUT

_PART = re.compile(r"part-\d{5,}-(?P<mark>[0-9a-f]{16})\.parquet")


def part_name(index: int, said: Sequence[Any]) -> str:
    """Return what the file of a part is called, by all that says which bytes it has."""
    words = json.dumps([LAYOUT, *said], sort_keys=True).encode()
    return f"part-{index:05d}-{hashlib.sha256(words).hexdigest()[:16]}.parquet"


def mark_of(name: str) -> str:
    """Return what a file's name says of its bytes, "" where it is no part.

    >>> mark_of("part-00007-0123456789abcdef.parquet"), mark_of("notes.txt")
    ('0123456789abcdef', '')
    """
    match = _PART.fullmatch(name)
    return match["mark"] if match else ""
