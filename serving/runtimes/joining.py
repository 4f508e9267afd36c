"""Which requests are scored together: those that wait at the same time, in either runtime.

A compiled graph takes those of a few turns of the event loop in one run. A process that MLflow runs in takes
what came while it was busy as one batch, and decides itself what of that goes into one call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from serving.scorer import Floats

MOST_JOINED = 32
"""Where so many requests wait, they are scored at once, and none waits for another turn. A request of more
rows gains nothing by company."""
IDLE_TURNS = 6
"""After so many turns of the event loop without a request nobody is waited for: grpcio takes four to
hand over its next call, HTTP one to hand over all. A turn takes about 2 us."""
MOST_IN_A_BATCH, BATCH_BYTES = 64, 8 * 2**20

Score = Callable[[Floats], Floats]
Reply = TypeVar("Reply")


class Together:
    """Scores the requests that come in one turn of the event loop after the other in one run of the graph.

    A run costs 30 to 100 us however few its rows are, a turn a tenth of it or less. Nobody waits for a
    clock: as soon as a few turns bring no request, those that are here are scored. The graph works row by
    row, so neighbours don't mix; a matrix product may round its last digit differently for another
    number of rows.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._waiting: list[tuple[Floats, asyncio.Future[Floats]]] = []

    def predict(self, matrix: Floats, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Floats]:
        """Return what these rows score, an array whose first axis is theirs."""
        promised: asyncio.Future[Floats] = loop.create_future()
        if len(matrix) > MOST_JOINED:
            promised.set_result(self._score(matrix))
            return promised
        if not self._waiting:
            loop.call_soon(self._run, loop, 0, 0)
        self._waiting.append((matrix, promised))
        return promised

    def _run(self, loop: asyncio.AbstractEventLoop, before: int, idle: int) -> None:
        idle = idle + 1 if before == len(self._waiting) else 0
        if idle < IDLE_TURNS and len(self._waiting) < MOST_JOINED:
            loop.call_soon(self._run, loop, len(self._waiting), idle)
            return
        waiting, self._waiting = self._waiting, []
        try:
            joined = waiting[0][0] if len(waiting) == 1 else np.concatenate([matrix for matrix, _ in waiting])
            values = self._score(joined)
        except Exception as error:  # each request reports it as its own
            for _, promised in waiting:
                if not promised.done():
                    promised.set_exception(error)
            return
        start = 0
        for matrix, promised in waiting:
            if not promised.done():
                promised.set_result(values[start : start + len(matrix)])
            start += len(matrix)


@dataclass
class WaitingRequest(Generic[Reply]):
    """A request that is not answered yet."""

    kind: str
    body: bytes
    promised: asyncio.Future[Reply] = field(repr=False)


class Closed(Exception):
    """Nothing waits, and nothing will."""


class Queue(Generic[Reply]):
    """Requests that wait for a process to be free; where none waits, one goes at once."""

    def __init__(self) -> None:
        self.closing = False
        self._waiting: deque[WaitingRequest[Reply]] = deque()
        self._came = asyncio.Event()

    def put(self, kind: str, body: bytes) -> asyncio.Future[Reply]:
        """Have a request wait; return what its answer will be."""
        waiting: WaitingRequest[Reply] = WaitingRequest(
            kind, body, asyncio.get_running_loop().create_future()
        )
        self._waiting.append(waiting)
        self._came.set()
        return waiting.promised

    async def batch(self) -> list[WaitingRequest[Reply]]:
        """Return what waits, as much as goes together; waits only where nothing does. Raises Closed."""
        batch: list[WaitingRequest[Reply]] = []
        size = 0
        while not batch:
            while self._waiting and len(batch) < MOST_IN_A_BATCH and size <= BATCH_BYTES:
                waiting = self._waiting.popleft()
                if not waiting.promised.done():  # its client may have given up
                    batch.append(waiting)
                    size += len(waiting.body)
            if not batch:
                if self.closing:
                    raise Closed
                self._came.clear()
                await self._came.wait()
        return batch

    def close(self) -> None:
        """Take what waits, and nothing after it."""
        self.closing = True
        self._came.set()

    def settle_all(self, reply: Reply) -> None:
        """Give all that waits one answer."""
        settle(self._waiting, reply)
        self._waiting.clear()


def settle(batch: Sequence[WaitingRequest[Reply]], reply: Reply) -> None:
    """Give one answer to requests that have none."""
    for waiting in batch:
        if not waiting.promised.done():
            waiting.promised.set_result(reply)
