"""Requests' bodies, read within their limits of size, time, rate and number.

A body that came with its head costs nothing here. One that is waited for has a place of its own, apart
from those of requests in work: where a client, or all of them, have as many places as they may, the body
that brought least gives way to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from serving.errors import Malformed, NoPlace, SlowBody, TooLarge
from serving.rows import budget
from serving.settings import Limits

Receive = Callable[[], Coroutine[Any, Any, Any]]
Send = Callable[[Any], Awaitable[None]]

UNCOUNTED_BYTES = 64 * 2**10
"""Smaller bodies hold nothing of the budget: one for each place takes little."""
GRACE_SECONDS = 5.0
"""For a body to begin; from then on it must have come at the least rate."""
LOOK_SECONDS = 0.25


class _Party:
    """The bodies of one client that are waited for."""

    __slots__ = ("bodies", "received")

    def __init__(self) -> None:
        self.bodies: dict[_Arriving, None] = {}
        self.received = 0


class _Arriving:
    """One body that is waited for."""

    __slots__ = ("began", "held", "party", "received", "task", "verdict")

    def __init__(self, party: _Party, held: budget.Held, began: float) -> None:
        self.party, self.held, self.began, self.received = party, held, began, 0
        self.verdict: SlowBody | NoPlace | None = None
        task = asyncio.current_task()
        assert task is not None
        self.task = task

    def end(self, verdict: SlowBody | NoPlace) -> None:
        """Have its request answered with this error."""
        if self.verdict is None:
            self.verdict = verdict
            self.task.cancel()


class Bodies:
    """The bodies that one worker waits for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parties: dict[str, _Party] = {}
        self._count = self._received = 0
        self._looks = False

    async def read(
        self, receive: Receive, headers: Mapping[bytes, bytes], client: Any, held: budget.Held
    ) -> bytes:
        """Return the whole body; raises TooLarge as soon as that is known, SlowBody, NoPlace or Malformed."""
        declared = headers.get(b"content-length", b"0")
        if len(declared) > 18 or int(declared) > self._limits.body_bytes:
            raise TooLarge(what="bytes of body", limit=self._limits.body_bytes)
        coming = receive()
        try:
            first: Awaitable[Any] = _Resumed(coming, coming.send(None))
        except StopIteration as there:  # most bodies come with their heads: no timer, no place
            message = there.value
            if message.get("type") == "http.request" and not message.get("more_body"):
                return self._held(message.get("body", b""), held)
            first = _that(message)
        return self._held(await self._wait(first, receive, party_of(client), held), held)

    def _held(self, body: bytes, held: budget.Held) -> bytes:
        if len(body) > self._limits.body_bytes:  # in chunks: no length was declared
            raise TooLarge(what="bytes of body", limit=self._limits.body_bytes)
        if len(body) > UNCOUNTED_BYTES:
            held.set(len(body))
        return body

    async def _wait(self, first: Awaitable[Any], receive: Receive, name: str, held: budget.Held) -> bytes:
        arriving = self._admit(name, held)
        try:
            return await self._rest(first, receive, arriving)
        except asyncio.CancelledError as error:
            if arriving.verdict is None:
                raise
            arriving.task.uncancel()
            raise arriving.verdict from error
        finally:
            self._leave(name, arriving)

    async def _rest(self, first: Awaitable[Any], receive: Receive, arriving: _Arriving) -> bytes:
        whole = bytearray()
        message = await first
        while True:
            if message.get("type") == "http.disconnect":
                raise Malformed("the connection ended before the body did")
            part = message.get("body", b"")
            self._note(arriving, len(part))
            whole += part
            if not message.get("more_body"):
                return bytes(whole)
            message = await receive()

    def _note(self, arriving: _Arriving, size: int) -> None:
        """Count what came of a body; raises TooLarge, NoPlace or Busy."""
        limits = self._limits
        arriving.received += size
        arriving.party.received += size
        self._received += size
        if arriving.received > limits.body_bytes:
            raise TooLarge(what="bytes of body", limit=limits.body_bytes)
        if arriving.received <= UNCOUNTED_BYTES:
            return
        # Half of the budget is for what came whole; and of the bodies on their way half may be one client's.
        of_all, of_one = (max(limits.memory_bytes // share, limits.body_bytes) for share in (2, 4))
        if self._received > of_all or arriving.party.received > of_one:
            raise NoPlace("the bodies on their way take as much memory as they may: try again")
        arriving.held.set(arriving.received)

    def _admit(self, name: str, held: budget.Held) -> _Arriving:
        loop = asyncio.get_running_loop()
        party = self._parties.get(name) or _Party()
        if len(party.bodies) >= max(1, self._limits.waiting_bodies // 2):
            _make_way(party)
        elif self._count >= self._limits.waiting_bodies:
            _make_way(max(self._parties.values(), key=lambda each: len(each.bodies)))
        arriving = _Arriving(party, held, loop.time())
        self._parties[name] = party
        party.bodies[arriving] = None
        self._count += 1
        if not self._looks:
            self._looks = True
            loop.call_later(LOOK_SECONDS, self._look, loop)
        return arriving

    def _leave(self, name: str, arriving: _Arriving) -> None:
        party = arriving.party
        del party.bodies[arriving]
        party.received -= arriving.received
        self._received -= arriving.received
        self._count -= 1
        if not party.bodies:
            del self._parties[name]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the bodies that are late; come again while any is waited for."""
        now, limits = loop.time(), self._limits
        for arriving in [each for party in self._parties.values() for each in party.bodies]:
            age = now - arriving.began
            if age > limits.body_seconds:
                arriving.end(SlowBody(f"the body took longer than {limits.body_seconds:g} s"))
            elif arriving.received < limits.body_rate * (age - GRACE_SECONDS):
                arriving.end(SlowBody(f"the body came at less than {limits.body_rate:g} bytes a second"))
        self._looks = self._count > 0
        if self._looks:
            loop.call_later(min(LOOK_SECONDS, limits.body_seconds / 4), self._look, loop)


def _make_way(party: _Party) -> None:
    """End the body that brought least of the older half: one in two packets needs a moment for the second."""
    waiting = [each for each in party.bodies if each.verdict is None]
    older = waiting[: max(1, len(waiting) // 2)]
    if older:
        least = min(older, key=lambda each: each.received)
        least.end(NoPlace("the body was on its way when others needed its place: try again"))


def party_of(client: Any) -> str:
    """Return who a client is for the limits of each: an address, or in IPv6 a network of the size that one has."""
    if not client:
        return ""
    try:
        address = ip_address(client[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((address, 64), strict=False))
    return str(address)


async def _that(message: Any) -> Any:
    return message


class _Resumed:
    """Awaits a coroutine that has been begun, and was suspended by what it yielded."""

    def __init__(self, begun: Coroutine[Any, Any, Any], yielded: Any) -> None:
        self._begun, self._yielded = begun, yielded

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            while True:
                try:
                    sent = yield self._yielded
                except BaseException as error:
                    self._yielded = self._begun.throw(error)
                else:
                    self._yielded = self._begun.send(sent)
        except StopIteration as end:
            return end.value
