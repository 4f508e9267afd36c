"""The memory that the requests in work of one worker may take, by estimate.

What decodes a body says what it is about to take (`need`), before it takes it: a body of 60 kB may
become gigabytes. A request gives back what it held once its answer has gone. An estimate is one: small
bodies, decoded one at a time where they stand, are not counted at all.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TypeVar

from serving.errors import Busy, TooLarge

TRIM_BYTES = 16 * 2**20
"""After a request that held as much, what the allocator keeps goes back to the system."""

T = TypeVar("T")
_current = threading.local()


class MemoryBudget:
    """How much of its memory a worker has promised; asked from any thread."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Promise memory, or give it back where `size` is negative; raises Busy."""
        with self._lock:
            if size > 0 and self.taken + size > self.most:
                raise Busy("the requests in work take as much memory as this worker has for them: try again")
            self.taken += size


class Held:
    """What one request holds of the budget."""

    __slots__ = ("_budget", "peak", "size")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = self.peak = 0

    def set(self, size: int) -> None:
        """Hold so much from now on; raises Busy, or TooLarge where it could never be."""
        if size > self._budget.most:
            raise TooLarge(what="bytes of memory to decode it", limit=self._budget.most)
        self._budget.take(size - self.size)
        self.size = size
        self.peak = max(self.peak, size)

    def run(self, work: Callable[[], T]) -> T:
        """Do some work, and hold what it says that it needs."""
        _current.held = self
        try:
            return work()
        finally:
            _current.held = None


def need(size: int) -> None:
    """Hold more for the request that is decoded in this thread, if there is one; raises Busy or TooLarge."""
    held: Held | None = getattr(_current, "held", None)
    if held is not None:
        held.set(held.size + size)


def before_rows(rows: int, columns: int, *, copies: int = 2) -> None:
    """Hold what packing rows takes, floats or pointers, in so many copies; raises TooLarge or Busy."""
    if rows > 1:
        need(copies * 8 * rows * columns)


def give_back() -> None:
    """Return to the system what the allocators keep for later; takes milliseconds."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # glibc alone has it
        _libc().malloc_trim(0)


@cache
def _libc() -> ctypes.CDLL:
    """Open it once: each time makes a class, which stays until the collector comes by."""
    return ctypes.CDLL(None)
