"""Where work is done that would hold the event loop up: in one of two threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from serving.rows import budget

INLINE_BYTES = 64 * 2**10
"""Larger bodies are decoded in a thread, so that the loop answers others meanwhile."""

T = TypeVar("T")


class Background:
    """One worker's threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scoring")
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that they relieve. Asking asyncio for it costs a system call, getpid, every time."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do some work in a thread."""
        return self.loop.run_in_executor(self._threads, work)

    async def sized(self, work: Callable[[], T], *, size: int, held: budget.Held | None = None) -> T:
        """Do what may take long, by the size of its input, in a thread, and hold what it says that it needs."""
        if size <= INLINE_BYTES:
            return work()
        return await self.run(partial(held.run, work) if held else work)
