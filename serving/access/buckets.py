"""How often a caller asked, counted by all workers of a server together.

Each caller has a moment up to which its requests are spent (the generic cell rate algorithm): a request moves it by
one interval, and is refused where it lies further ahead than the burst allows. The moments stand in a file that the
workers map into memory, without locks: two requests in the same microsecond may count as one. Where there is no such
file, each worker counts for itself, a share of the limit.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

from serving.access.identities import RateLimit

SLOTS = 4096
"""Callers with a limit at most; more share a slot with others, which can only refuse too early."""
SLOT = struct.Struct("<8sd")

logger = logging.getLogger(__name__)


class Buckets:
    """The moments of all callers of one server."""

    def __init__(self, folder: str | None, workers: int) -> None:
        self._slots, self._share = _mapped(folder, workers)

    def take(self, limit: RateLimit, now: float | None = None) -> float:
        """Count a request; return 0, or the seconds until one would be let through, and count nothing then."""
        now = time.monotonic() if now is None else now
        interval = limit.seconds / limit.requests * self._share
        burst = max(limit.seconds, interval)
        place = self._place(limit.bucket[:8])
        spent: float = SLOT.unpack_from(self._slots, place)[1]
        spent = max(spent, now)
        if spent > now + burst:  # under a lower limit
            spent = now + burst
            SLOT.pack_into(self._slots, place, limit.bucket[:8], spent)
        if spent + interval > now + burst + 1e-9:
            return max(spent + interval - now - burst, 1e-3)
        SLOT.pack_into(self._slots, place, limit.bucket[:8], spent + interval)
        return 0.0

    def _place(self, tag: bytes) -> int:
        """Return where a caller's moment stands: its own slot or a free one, from where its key's hash points."""
        first = int.from_bytes(tag) % SLOTS
        for number in range(first, first + 8):
            place = number % SLOTS * SLOT.size
            there = self._slots[place : place + 8]
            if there == tag or there == bytes(8):
                return place
        return first * SLOT.size


def _mapped(folder: str | None, workers: int) -> tuple[mmap.mmap, int]:
    """Return the memory, and by how much the limits of one worker are narrower."""
    with suppress(OSError):
        if folder:
            descriptor = os.open(Path(folder, "limits"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, SLOTS * SLOT.size)
                return mmap.mmap(descriptor, SLOTS * SLOT.size), 1
            finally:
                os.close(descriptor)
    return mmap.mmap(-1, SLOTS * SLOT.size), workers


def whole_seconds(seconds: float) -> int:
    """Return what Retry-After says."""
    return max(1, math.ceil(seconds))
