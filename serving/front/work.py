"""The requests in work of one worker: how many there may be, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import Busy
from serving.rows import budget
from serving.runtimes import Background
from serving.settings import Limits

TRIM_SECONDS = (0.5, 10.0)
"""After a large request: those that come at once share what the allocators keep, and gRPC's own threads let go late."""


class WorkInFlight:
    """What is in work, whichever door it came by."""

    def __init__(self, limits: Limits, background: Background) -> None:
        self.budget = budget.MemoryBudget(limits.memory_bytes)
        self.in_flight = 0
        self._most = limits.in_flight
        self._background = background
        self._trims = False

    def enter(self) -> None:
        """Count one more request; raises Busy."""
        if self.in_flight >= self._most:
            raise Busy("as many requests as this worker takes are in flight: try again")
        self.in_flight += 1

    def leave(self) -> None:
        """Count it no longer."""
        self.in_flight -= 1

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request for as long as it is in work; raises Busy."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def reserved(self, size: int) -> Iterator[budget.Held]:
        """Hold memory for a request; raises Busy or TooLarge."""
        held = budget.Held(self.budget)
        held.set(size)
        try:
            yield held
        finally:
            self.let_go(held)

    def let_go(self, held: budget.Held) -> None:
        """Give back what a request held, and soon after a large one what the allocators keep."""
        held.set(0)
        if held.peak >= budget.TRIM_BYTES:
            self.trim_soon()

    def trim_soon(self) -> None:
        """Give back what the allocators keep, in a moment and once more later, in a thread."""
        if not self._trims:
            self._trims = True
            for seconds in TRIM_SECONDS:
                self._background.loop.call_later(seconds, self._background.run, self._trim)

    def _trim(self) -> None:
        self._trims = False
        budget.give_back()
