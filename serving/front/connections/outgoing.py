"""How a connection's answers go out: in one system call, to a client that takes them, and to their end.

It is the lower half of `connection`. What a client does not take is seen by looking at
intervals, here and in the kernel, and only while something waits: an answer that fits costs nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.settings import Limits

LEAST_RATE = 500
"""Bytes a second of an answer that a client has to take."""
TCP_INFO, BYTES_ACKED = getattr(socket, "TCP_INFO", 11), 120
"""Linux's figures of a connection, and where among them stands how many bytes were acknowledged."""
LAST_SECONDS, LAST_BYTES = 2.0, 8 * 2**20
"""How long, and how much of, a body is read after its answer: to close at once would take the answer back."""


class OneWrite:
    """A connection that holds a response's head back for its body: one system call instead of two.

    What has no body (HEAD, 100 Continue) goes out at the end of the event loop's turn.
    """

    def __init__(self, transport: Any, may_close: Callable[[], bool]) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._head = b""
        self._may_close = may_close
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send, or hold a head back."""
        if self._head:
            data, self._head = self._head + data, b""
            self._transport.write(data)
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        if self._may_close():
            self._transport.close()

    def ends(self) -> None:
        """Send no more, and look closed to who asks, while the rest of a body is still read."""
        self.is_closing = lambda: True
        self._transport.write_eof()

    def part(self) -> None:
        """Forget the connection, which is lost."""
        self._may_close = _at_once

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class SecureWrite(OneWrite):
    """The same over TLS, whose transport takes an answer of any size without a word and keeps it."""

    def __init__(self, transport: Any, may_close: Callable[[], bool], watch: Callable[[int], None]) -> None:
        super().__init__(transport, may_close)
        self._watch = watch

    def write(self, data: bytes) -> None:
        """Send, and look whether it is taken where it is large."""
        super().write(data)
        if len(data) > HIGH_WATER_LIMIT:
            self._watch(len(data))

    def part(self) -> None:
        """Forget it, and what watched over its answers."""
        super().part()
        self._watch = _unwatched


def _at_once() -> bool:
    return True


def _unwatched(_size: int) -> None:
    pass


class Deaf:
    """The parser of a connection that ends: nothing that still comes is a request."""

    def __init__(self, enough: Callable[[], None]) -> None:
        self._left = LAST_BYTES
        self._enough = enough

    def feed_data(self, data: bytes) -> None:
        """Read nothing, and not for ever."""
        self._left -= len(data)
        if self._left < 0:
            self._enough()


class Waiting(Protocol):
    """Who counts the answers that wait for their clients."""

    def hold(self, connection: Writing, size: int) -> None:
        """Count an answer that waits."""

    def let_go(self, connection: Writing) -> None:
        """Count it no longer."""

    def dropped(self) -> None:
        """Count a client that did not take its answer."""


class Writing(HttpToolsProtocol):
    """The side of a connection that answers."""

    admission: Waiting
    limits: Limits
    ends = lost = False
    write_timer: asyncio.TimerHandle | None = None
    taken = held = 0

    def may_close(self) -> bool:
        """Say whether to close at once; what is not taken yet is watched."""
        if self.lost:
            return True
        if waiting := self.transport.get_write_buffer_size():
            self.watch_writing(waiting)
        if self.ends or self.cycle is None or not self.cycle.more_body or not self.transport.can_write_eof():
            return True
        self.ends = True
        self.parser = Deaf(self.transport.close)  # type: ignore[assignment]
        self.flow.resume_reading()
        self.transport.ends()  # type: ignore[attr-defined]
        self.loop.call_later(LAST_SECONDS, self.transport.close)
        return False

    def pause_writing(self) -> None:
        """Watch a client that does not take its answer as fast as it comes."""
        super().pause_writing()
        self.watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Watch it no longer."""
        super().resume_writing()
        self.stop_watching()

    def watch_writing(self, size: int) -> None:
        """Look at intervals whether the client takes its answer, of which no more than a share may wait."""
        if self.write_timer is None:
            self.taken = self.taken_bytes()
            self.write_timer = self.loop.call_later(self.limits.write_seconds, self.check_taken)
            self.admission.hold(self, size)

    def stop_watching(self) -> None:
        """Look no more."""
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None
            self.admission.let_go(self)

    def check_taken(self) -> None:
        """Drop a client that took too little."""
        if not (waiting := self.unsent_bytes()):
            self.stop_watching()
        elif self.newly_taken() < LEAST_RATE * self.limits.write_seconds:
            self.drop()
        else:
            self.stop_watching()
            self.watch_writing(waiting)

    def newly_taken(self) -> int:
        """Return how much the client took since it is watched."""
        return self.taken_bytes() - self.taken

    def drop(self) -> None:
        """End the connection, and free what waits for its client."""
        self.stop_watching()
        self.admission.dropped()
        self.transport.abort()

    def unsent_bytes(self) -> int:
        """Return what the client did not take yet, here and in the kernel."""
        waiting: int = self.transport.get_write_buffer_size()
        try:
            descriptor = self.transport.get_extra_info("socket").fileno()
            (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
        except (OSError, ValueError, AttributeError):  # a closed one, or a system that does not say
            return waiting
        return waiting + int(queued)

    def taken_bytes(self) -> int:
        """Return a number that grows by what the client takes; the kernel counts what it acknowledged."""
        try:
            info = self.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, TCP_INFO, 128)
            return int(struct.unpack_from("Q", info, BYTES_ACKED)[0])
        except (OSError, ValueError, AttributeError, struct.error):
            return -self.unsent_bytes()
