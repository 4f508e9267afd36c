"""One HTTP connection: uvicorn's parser with limits, and no two ways to read a request's frame.

It sees bytes and a request's frame: what a request means is for `serving.front.app`, whether a connection
may stay is for `admission` beside it, and how answers go out is for `writing`. Where readers may take
a frame in two ways, it refuses and closes: that is how a body becomes a request.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from serving.access import tls
from serving.errors import HeadTooLarge, NotHttp, RequestError, UnknownCoding
from serving.front.connections.outgoing import Deaf, OneWrite, SecureWrite, Waiting, Writing
from serving.protocols import Answer
from serving.settings import Limits

LINGER_SECONDS = 0.5
"""How long a draining worker waits for the request of a connection that has none in work."""
AWAY_SECONDS = 2.0
"""How long one that is turned away may take to ask."""
VERSIONS = ("1.1", "1.0")
CHUNK_BYTES = 32
"""Bytes of a chunk that are not body: its size in hex and its line ends. More is counted as head."""


class Admitting(Waiting, Protocol):
    """Who says which connections may stay: `admission`, as a connection sees it."""

    limits: Limits
    draining: bool
    leaving: bool
    ahead: int

    def admit(self, connection: Connection) -> None:
        """Let a new connection in, or turn it away."""

    def forget(self, connection: Connection) -> None:
        """Count a connection no longer."""

    def take_ahead(self, of_one: int) -> None:
        """Count a request that was sent before the answer to the one before it; raises Full."""

    def turn_away(self, connection: Connection) -> None:
        """Tell a client that the server stops."""

    def refusal(self, error: RequestError) -> Answer:
        """Return the answer to what never became a request."""


class Connection(Writing):
    """A client's connection to one worker."""

    admission: Admitting
    head_bytes = unparsed_bytes = body_bytes = frame_bytes = chunks = hosts = 0
    coding: bytes | None = None
    in_head = True
    draining = away = False
    timer: asyncio.TimerHandle | None = None
    last_words = b""
    certificate: tls.Names = ()

    def connection_made(self, transport: Any) -> None:
        """Take a client, if there is room."""
        secure = transport.get_extra_info("sslcontext") is not None
        wire = SecureWrite(transport, self.may_close, self.watch_writing) if secure else None
        if secure:
            self.certificate = tls.names_of(transport.get_extra_info("ssl_object"))
        super().connection_made(wire or OneWrite(transport, self.may_close))  # type: ignore[arg-type]
        self.expect_head(self.limits.body_seconds)
        self.admission.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self.head_came()
        self.admission.forget(self)
        self.lost = True
        super().connection_lost(exc)
        self.stop_watching()
        self.part()

    def part(self) -> None:
        """Undo the ties that lead back here: the collector comes by once in 700 connections, 5 MB later."""
        self.transport.part()  # type: ignore[attr-defined]
        self.pipeline.clear()
        if self.cycle is not None:
            self.cycle.on_response = _nothing  # a client that is gone has its answer, or gets none

    # What comes

    def data_received(self, data: bytes) -> None:
        """Read what came, and count what is no body."""
        self._unset_keepalive_if_required()
        was_in_head, scope, body_bytes = self.in_head, self.scope, self.body_bytes
        try:
            self.feed(data)
        except httptools.HttpParserError as error:
            self.refuse(_meaning(error))
        if self.coding is not None and scope is self.scope and not was_in_head:
            self.count_frame(len(data) - (self.body_bytes - body_bytes))
        if self.in_head and was_in_head:  # nothing but head: one long header is counted before it ends
            self.count_unparsed(len(data))
        if self.cycle is None or self.cycle.response_complete:
            self.expect_head(self.limits.body_seconds)

    def feed(self, data: bytes) -> None:
        """Parse; what follows a head that asks for an upgrade is HTTP/1.1 like all else."""
        rest = self.feed_part(data)
        while rest is not None:
            self.ignore_upgrade()
            rest = self.feed_part(rest)

    def feed_part(self, data: bytes | memoryview) -> memoryview | None:
        """Parse up to the next head that asks for an upgrade; return what follows it."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return memoryview(data)[upgrade.args[0] :]
        return None

    def ignore_upgrade(self) -> None:
        """Read the head again without its wish (RFC 9110, 7.8); llhttp itself would drop the body."""
        line = b"%s %s HTTP/%s\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        kept = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(b"".join((line, *kept, b"\r\n")))

    def expect_head(self, seconds: float) -> None:
        """Close where no whole head comes in time."""
        if self.timer is None and not self.transport.is_closing():
            self.timer = self.loop.call_later(seconds, self.transport.close)

    def head_came(self) -> None:
        """Wait no longer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def count_unparsed(self, size: int) -> None:
        """Refuse a head that is too large before it ends."""
        self.unparsed_bytes += size
        if self.unparsed_bytes > self.limits.header_bytes and not self.transport.is_closing():
            self.refuse(HeadTooLarge(limit=self.limits.header_bytes))

    def count_frame(self, size: int) -> None:
        """Refuse chunks that are all extension, or end in trailers without end."""
        self.frame_bytes += size
        if self.frame_bytes > self.limits.header_bytes + CHUNK_BYTES * self.chunks:
            self.refuse(HeadTooLarge(limit=self.limits.header_bytes))

    # What the parser calls

    def on_message_begin(self) -> None:
        """Start counting."""
        self.head_bytes = self.unparsed_bytes = self.frame_bytes = self.chunks = self.hosts = 0
        self.coding = None
        self.in_head = True
        super().on_message_begin()
        if self.certificate:
            self.scope["state"]["certificate"] = self.certificate

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self.count(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what frames the request is noted."""
        self.count(len(name) + len(value))
        if not self.in_head:
            return  # a trailer says nothing about a request that is being answered already
        name = name.lower()
        if name == b"host":
            self.hosts += 1
        elif name == b"transfer-encoding":
            self.coding = value if self.coding is None else self.coding + b"," + value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def count(self, size: int) -> None:
        """Raise HeadTooLarge."""
        self.head_bytes += size
        if self.head_bytes > self.limits.header_bytes:
            raise HeadTooLarge(limit=self.limits.header_bytes)

    def on_headers_complete(self) -> None:
        """Start answering, unless the head cannot be trusted."""
        if self.parser.should_upgrade():
            return self.check_method()
        version = self.parser.get_http_version()
        if self.hosts != 1 or self.coding is not None or version not in VERSIONS:
            self.check_frame(version)
        self.in_head = False
        self.head_came()
        super().on_headers_complete()
        if self.draining or self.admission.leaving:
            self.cycle.keep_alive = False
        if self.pipeline:
            self.admission.take_ahead(len(self.pipeline))
        return None

    def check_method(self) -> None:
        """Raise NotHttp for what cannot be read as if it asked for no upgrade."""
        if self.parser.get_method() == b"CONNECT":
            raise NotHttp("this server is no proxy: CONNECT is not for it")

    def check_frame(self, version: str) -> None:
        """Raise NotHttp or UnknownCoding where two readers could take the request's frame differently."""
        if version not in VERSIONS:
            raise NotHttp("this server speaks HTTP/1.1 and HTTP/1.0")
        if self.hosts > 1 or (self.hosts == 0 and version != "1.0"):
            raise NotHttp(f"a request of HTTP/1.1 has one Host header; this one has {self.hosts}")
        if self.coding is None:
            return
        *before, last = [coding.strip().lower() for coding in self.coding.split(b",")]
        if version != "1.1" or last != b"chunked" or b"chunked" in before:
            raise NotHttp("Transfer-Encoding is for HTTP/1.1 and ends with chunked, once")
        if before:
            raise UnknownCoding()

    def on_chunk_header(self) -> None:
        """Allow for a chunk's own frame."""
        self.chunks += 1

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        if not self.in_head:  # else it is the end of a head that asked for an upgrade
            self.cycle.more_body = False
            self.cycle.message_event.set()

    # What goes

    def refuse(self, error: RequestError) -> None:
        """Answer what cannot be read, after what was asked before it, and close."""
        if self.last_words or self.transport.is_closing():
            return
        self.parser = Deaf(self.transport.close)  # type: ignore[assignment]
        words = self.words_of(error)
        cycle = self.cycle
        if self.in_head or cycle is None or not cycle.more_body:  # a new request's head
            waits = bool(self.pipeline) or (cycle is not None and not cycle.response_complete)
        elif waits := bool(self.pipeline):  # the body of the newest of several
            self.pipeline.popleft()
            self.admission.ahead -= 1
        elif cycle.response_started:
            self.transport.close()
            return
        self.last_words = words
        if not waits:
            self.say_last_words()

    def words_of(self, error: RequestError) -> bytes:
        """Return a refusal as it goes over the wire; count it and log it."""
        answer = self.admission.refusal(error)
        lines = [name + b": " + value + b"\r\n" for name, value in answer.headers]
        lines.append(b"content-length: %d\r\n\r\n" % len(answer.body))
        return b"".join((STATUS_LINE[answer.status], *lines, answer.body))

    def say_last_words(self) -> None:
        """Send the refusal that waited, and close."""
        self.transport.write(self.last_words)
        self.transport.close()

    def on_response_complete(self) -> None:
        """Go on with the next request, or end."""
        waiting = len(self.pipeline)
        if self.last_words and not waiting and not self.transport.is_closing():
            self.say_last_words()
        super().on_response_complete()
        if waiting:
            self.admission.ahead -= waiting - len(self.pipeline)

    @property
    def idle(self) -> bool:
        """Whether nothing that was asked waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def idle_since(self) -> float:
        """When it was last of use, in the loop's time."""
        if self.timeout_keep_alive_task is not None:
            return self.timeout_keep_alive_task.when() - self.timeout_keep_alive
        return self.timer.when() - self.limits.body_seconds if self.timer else self.loop.time()

    @property
    def neighbours(self) -> list[Connection]:
        """All connections of its worker but those that are turned away."""
        return [each for each in self.connections if isinstance(each, Connection)]

    def turn_away(self, app: Any, seconds: float = AWAY_SECONDS) -> None:
        """Have the next request, if it comes soon, answered by another application, and close."""
        self.away = self.draining = True
        self.app = app
        self.connections.discard(self)  # nobody waits for it at the end
        self.head_came()
        self.expect_head(seconds)

    def shutdown(self) -> None:
        """Answer what is under way; a request that was sent before the client could know is answered too."""
        if self.away:
            return
        self.draining = True
        if self.idle:
            self.loop.call_later(LINGER_SECONDS, self.end)
        else:
            super().shutdown()

    def end(self) -> None:
        """Close, or tell the next request that the server stops, where no other worker takes it."""
        if self.idle and self.admission.draining and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.admission.turn_away(self)
        else:
            super().shutdown()


def protocol_class(admission: Admitting) -> type[Connection]:
    """Return what a worker makes for each client."""
    return type("Connection", (Connection,), {"admission": admission, "limits": admission.limits})


def _nothing() -> None:
    """Go on with no other request."""


def _meaning(error: httptools.HttpParserError) -> RequestError:
    """Return why a request was refused by us, or by the parser, whose words quote nothing of it."""
    cause = error.__context__
    if isinstance(cause, RequestError):
        return cause
    reason = "its address cannot be read" if cause else str(error).rstrip(".")
    return NotHttp(f"this is no request of HTTP/1.1: {reason}")
