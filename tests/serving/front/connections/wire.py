"""A connection without a network: what the server's own protocol reads from bytes, and what it answers."""

from __future__ import annotations

import asyncio
import atexit
import re
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from serving.front.connections.admission import Admission
from serving.front.connections.connection import protocol_class
from serving.protocols.responses import MlflowErrors
from serving.settings import Limits

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


@dataclass
class Heard:
    """What the application was asked, what went over the wire, and whether the connection ended."""

    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    sent: bytes = b""
    closed: bool = False

    @property
    def statuses(self) -> list[int]:
        """The answers' statuses, in order; answers to requests are empty."""
        return [int(found[1]) for found in STATUS.finditer(self.sent) if found[1] != b"100"]


class Transport(asyncio.Transport):
    """Bytes into a list."""

    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard

    def write(self, data: Any) -> None:
        self._heard.sent += data

    def close(self) -> None:
        self._heard.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self._heard.closed

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


@lru_cache
def admission_of(limits: Limits) -> Admission:
    """Return what admits the connections that have these limits."""
    return Admission(SimpleNamespace(refuse_unread=lambda error: MlflowErrors().refused(error, "id")), limits)


@lru_cache
def _class(limits: Limits) -> Any:
    return protocol_class(admission_of(limits))


async def _converse(parts: list[bytes], limits: Limits) -> Heard:
    heard = Heard()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        heard.requests.append((scope["method"], scope["path"], body))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(
        app,
        http=_class(limits),
        lifespan="off",
        ws="none",
        interface="asgi3",
        access_log=False,
        log_config=None,
    )
    connection = _protocol(config)(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(Transport(heard))
    for part in parts:
        if not heard.closed:
            connection.data_received(part)
        await _settle(12 + len(part) // 8)
    closed = heard.closed
    connection.connection_lost(None)
    heard.closed = closed
    await _settle()
    return heard


def _protocol(config: uvicorn.Config) -> Any:
    """Return the protocol that a configuration loads."""
    if not config.loaded:
        config.load()
    return config.http_protocol_class


async def _settle(rounds: int = 12) -> None:
    """Let everything run that can."""
    for _ in range(rounds):
        await asyncio.sleep(0)


def converse(*parts: bytes, limits: Limits | None = None) -> Heard:
    """Send packets to a new connection; return what was heard."""
    return _runner().run(_converse(list(parts), limits or Limits()))


@lru_cache
def _runner() -> asyncio.Runner:
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner
