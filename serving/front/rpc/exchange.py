"""One call of gRPC's: what came with it, its one message, and how it ends where it is not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import grpc

from serving.errors import Malformed, SlowBody
from serving.protocols.v2_messages import Refusal

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def metadata_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> dict[bytes, bytes]:
    """Return a call's metadata as HTTP's headers are."""
    return {name.encode(): text.encode() for name, text in metadata or () if isinstance(text, str)}


async def abort(context: Any, refusal: Refusal) -> None:
    """End a call with an error, quietly where it has ended already: gone, or compressed."""
    with suppress(grpc.aio.InternalError):
        await context.abort(CODES.get(refusal.status, grpc.StatusCode.INVALID_ARGUMENT), refusal.text)


async def take_message(context: Any, seconds: float, loop: asyncio.AbstractEventLoop) -> bytes:
    """Return the one message of a call; raises SlowBody or Malformed where it does not come.

    asyncio.timeout would do, and takes twenty microseconds.
    """
    task, is_late = asyncio.current_task(), False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        if task:
            task.cancel()

    timer = loop.call_later(seconds, give_up)
    try:
        raw: bytes = await context.read()
    except asyncio.CancelledError:
        if not is_late or not task or task.uncancel():
            raise
        raise SlowBody("the message did not come in time") from None
    finally:
        timer.cancel()
    if raw is grpc.aio.EOF:
        raise Malformed("the call came without a message")
    return raw
