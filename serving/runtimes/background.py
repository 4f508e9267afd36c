"""Where work is done that would hold the event loop up: in one of two threads, and reasons in a third."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from serving.errors import Busy
from serving.rows import budget

INLINE_BYTES = 64 * 2**10
"""Larger bodies are decoded in a thread, so that the loop answers others meanwhile."""

MOST_ASIDE = 32
"""Requests that are explained or wait for it: the others keep their threads."""

T = TypeVar("T")


class Background:
    """One worker's threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scoring")
        self._aside: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that they relieve. Asking asyncio for it costs a system call, getpid, every time."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def aside(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do what takes long and is not in a hurry in the one thread for it; raises Busy where too many wait."""
        if self._waiting >= MOST_ASIDE:
            raise Busy("as many requests as this worker explains wait: try again")
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, thread_name_prefix="explaining")
        self._waiting += 1
        promised = self.loop.run_in_executor(self._aside, work)
        promised.add_done_callback(self._one_less)
        return promised

    def _one_less(self, _: asyncio.Future[Any]) -> None:
        self._waiting -= 1

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do some work in a thread."""
        return self.loop.run_in_executor(self._threads, work)

    async def sized(self, work: Callable[[], T], *, size: int, held: budget.Held | None = None) -> T:
        """Do what may take long, by the size of its input, in a thread, and hold what it says that it needs."""
        if size <= INLINE_BYTES:
            return work()
        return await self.run(partial(held.run, work) if held else work)
