"""Which connections a worker takes: how many, of whom, and what it tells those that it turns away.

It counts what one worker has. A client is an address (of IPv6, its network of 64 bits), so all
clients of a balancer are one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from serving.errors import Draining, Full, RequestError
from serving.front.connections.body import Receive, Send, party_of
from serving.front.connections.connection import Connection
from serving.front.connections.outgoing import Writing
from serving.front.telemetry import Telemetry
from serving.protocols import Answer
from serving.settings import Limits

SPARE = 32
"""Descriptors left for files, pipes and those who are turned away."""
MOST_AWAY = 16
"""Connections at once that are told to come again; more are closed without a word."""
MOST_AHEAD, MOST_AHEAD_OF_ALL = 1_000, 10_000
"""Requests that wait for the answer before theirs, of one connection and of a worker's: 3 kB each, of 30 bytes."""
ANSWERS = 4
"""One part in so many of the memory for requests is, beside it, for answers that their clients do not take."""
SHARE = 16
"""One in so many of all connections makes room at once where room is needed."""


class Answering(Protocol):
    """Who answers those that are turned away: the application, as admission sees it."""

    @property
    def telemetry(self) -> Telemetry:
        """Where it is counted."""

    def refuse_unread(self, error: RequestError) -> Answer:
        """Count and log what never became a request; return its answer."""

    async def turn_away(
        self, error: RequestError, scope: Mapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Answer probes as ever, and what would be scored with an error."""


class Admission:
    """One worker's connections."""

    def __init__(self, app: Answering, limits: Limits) -> None:
        self.limits = limits
        self.draining = self.leaving = False
        self.ahead = 0
        self._app = app
        self._most = most_connections(limits.connections)
        self._waiting: dict[Writing, int] = {}
        self._waiting_bytes = 0
        self._away: set[Connection] = set()
        self._of_client: Counter[str] = Counter()

    def admit(self, connection: Connection) -> None:
        """Let a new connection in, or turn it away."""
        if self.limits.connections_per_client:
            self._of_client[party_of(connection.client)] += 1
        if self.draining:
            self.turn_away(connection)
        elif self._has_too_many(connection):
            self._come_again(connection, "this client has as many connections as one may have")
        elif len(connection.connections) > self._most and not self._make_room(connection):
            self._come_again(connection, "this worker has as many connections as it takes")

    def forget(self, connection: Connection) -> None:
        """Count a connection no longer, nor what it sent ahead."""
        self.ahead -= len(connection.pipeline)
        self._away.discard(connection)
        if self.limits.connections_per_client:
            client = party_of(connection.client)
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def take_ahead(self, of_one: int) -> None:
        """Count a request that was sent before the answer to the one before it; raises Full."""
        self.ahead += 1
        if of_one > MOST_AHEAD or self.ahead > MOST_AHEAD_OF_ALL:
            raise Full("more requests were sent ahead of their answers than are kept: send fewer at once")

    def turn_away(self, connection: Connection) -> None:
        """Tell a client that the server stops: probes are answered, predictions are not given."""
        error = Draining()
        self._send_away(connection, error, self._most, self.limits.body_seconds)

    def refusal(self, error: RequestError) -> Answer:
        """Return the answer to what never became a request; it is counted and logged as others are."""
        return self._app.refuse_unread(error)

    def hold(self, connection: Writing, size: int) -> None:
        """Count an answer that waits for its client; where they are too many, who takes least is dropped."""
        self._waiting[connection] = size
        self._waiting_bytes += size
        while self._waiting_bytes > self.limits.memory_bytes // ANSWERS and len(self._waiting) > 1:
            older = list(self._waiting)[: len(self._waiting) // 2]
            min(older, key=lambda each: each.newly_taken()).drop()

    def let_go(self, connection: Writing) -> None:
        """Count it no longer."""
        self._waiting_bytes -= self._waiting.pop(connection, 0)

    def dropped(self) -> None:
        """Count a client that did not take its answer."""
        self._app.telemetry.dropped("AnswerNotTaken")

    def _come_again(self, connection: Connection, why: str) -> None:
        self._send_away(connection, Full(f"{why}: try again"), MOST_AWAY)

    def _send_away(self, connection: Connection, error: RequestError, most: int, *seconds: float) -> None:
        self._away.add(connection)
        connection.turn_away(partial(self._app.turn_away, error), *seconds)
        if len(self._away) > most:
            connection.transport.abort()

    def _has_too_many(self, connection: Connection) -> bool:
        most = self.limits.connections_per_client
        return bool(most) and self._of_client[party_of(connection.client)] > most

    def _make_room(self, new: Connection) -> bool:
        """Close what has been idle for longest, those first that never asked anything."""
        idle = [each for each in new.neighbours if each is not new and each.idle]
        idle.sort(key=lambda each: (each.cycle is not None, each.idle_since))
        for each in idle[: math.ceil(len(idle) / SHARE)]:
            each.connections.discard(each)
            if each.scheme == "https":  # TLS says good-bye, and waits for the client to say so
                each.transport.abort()
            else:
                each.transport.close()
        return bool(idle)


def most_connections(limit: int) -> int:
    """Return how many connections fit into the descriptors that this process may have."""
    import resource  # noqa: PLC0415 - not on every system

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return limit
    folder = Path("/proc/self/fd")
    used = len(list(folder.iterdir())) if folder.is_dir() else SPARE
    return max(1, min(limit, most - used - SPARE))
