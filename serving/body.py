"""A request's body, read within its limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from serving.errors import Malformed, SlowBody, TooLarge
from serving.settings import Limits

Receive = Callable[[], Awaitable[Any]]


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, loop: asyncio.AbstractEventLoop
) -> bytes:
    """Return the whole body; raises TooLarge as soon as that is known, or SlowBody."""
    declared = headers.get(b"content-length", b"0")
    if len(declared) > 18 or int(declared) > limits.body_bytes:
        raise TooLarge(what="bytes of body", limit=limits.body_bytes)
    task = asyncio.current_task(loop)
    assert task is not None
    late: list[asyncio.Task[Any]] = []

    def give_up() -> None:
        late.append(task)
        task.cancel()

    timer = loop.call_later(limits.body_seconds, give_up)  # asyncio.timeout takes 2 us more a request
    try:
        return await _read_all(receive, limits)
    except asyncio.CancelledError as error:
        if not late:
            raise
        task.uncancel()
        raise SlowBody(f"the body took longer than {limits.body_seconds:g} s") from error
    finally:
        timer.cancel()


async def _read_all(receive: Receive, limits: Limits) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        if message.get("type") == "http.disconnect":
            raise Malformed("the connection ended before the body did")
        part: bytes = message.get("body", b"")
        if len(whole) + len(part) > limits.body_bytes:
            raise TooLarge(what="bytes of body", limit=limits.body_bytes)
        if not message.get("more_body"):
            return bytes(whole + part) if whole else part
        whole += part
