"""One HTTP connection: uvicorn's parser and writer with limits, and one system call for an answer.

It sees bytes and a request's frame: what a request means is for `serving.app`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.settings import Limits

LINGER_SECONDS = 0.5
"""How long a draining worker waits for the request of a connection that has none in work."""


class OneWrite:
    """A connection that holds a response's head back for its body: one system call instead of two.

    What has no body (HEAD, 100 Continue) goes out at the end of the event loop's turn.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._head = b""
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
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def protocol_class(limits: Limits) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP parser with limits on the size of a request's head and the time it may take."""

    class LimitedProtocol(HttpToolsProtocol):
        head_bytes = unparsed_bytes = 0
        in_head = True
        draining = False
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(OneWrite(transport))  # type: ignore[arg-type]
            self.expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self.head_came()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            was_in_head = self.in_head
            super().data_received(data)
            if self.in_head and was_in_head:  # nothing but head: one long header is counted before it ends
                self.count_unparsed(len(data))
            if self.cycle is None or self.cycle.response_complete:
                self.expect_head()

        def expect_head(self) -> None:
            if self.timer is None and not self.transport.is_closing():
                self.timer = self.loop.call_later(limits.body_seconds, self.transport.close)

        def head_came(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def count_unparsed(self, size: int) -> None:
            self.unparsed_bytes += size
            if self.unparsed_bytes > limits.header_bytes and not self.transport.is_closing():
                self.send_400_response("Request head is too large.")

        def on_message_begin(self) -> None:
            self.head_bytes = self.unparsed_bytes = 0
            self.in_head = True
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self.count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self.count(len(name) + len(value))
            super().on_header(name, value)

        def count(self, size: int) -> None:
            self.head_bytes += size
            if self.head_bytes > limits.header_bytes:
                raise ValueError("request head is too large")

        def on_headers_complete(self) -> None:
            self.in_head = False
            self.head_came()
            super().on_headers_complete()
            if self.draining:
                self.cycle.keep_alive = False

        def shutdown(self) -> None:
            """Answer what is under way; a request that was sent before the client could know is answered too."""
            self.draining = True
            if self.cycle is None or self.cycle.response_complete:
                self.loop.call_later(LINGER_SECONDS, super().shutdown)
            else:
                super().shutdown()

    return LimitedProtocol
