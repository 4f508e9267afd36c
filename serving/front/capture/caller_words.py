"""What a caller says of a request: by which id he knows it, and when that happened which it is about."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from data.captures import Frame
from data.cell_values import instant

AHEAD_SECONDS = 86_400.0
"""By which another clock may be ahead of ours."""


class Caller(NamedTuple):
    """What was said: an id, and a time in seconds since 1970; an empty id and None where there is none of use."""

    id: str = ""
    at: float | None = None


NOBODY = Caller()


def caller_of(headers: Mapping[bytes, bytes], in_body: str) -> Caller:
    """Return X-Request-Id, else the body's own id, else Ce-Id; and Ce-Time (CloudEvents 1.0, binary mode of HTTP)."""
    given = headers.get(b"x-request-id") or in_body or headers.get(b"ce-id")
    said = headers.get(b"ce-time")
    if not given and not said:
        return NOBODY
    return Caller(_id(given) if given else "", _moment(said) if said else None)


def _moment(said: bytes) -> float | None:
    """Return when an event was, None where nobody can have been asked about it."""
    at = instant(said.decode("latin-1"))
    return at if at is not None and 0.0 <= at <= time.time() + AHEAD_SECONDS else None


def _id(given: bytes | str) -> str:
    """Return an id, nothing for one that is too long: cut short it would be another's."""
    try:
        text = given if isinstance(given, str) else given.decode()
        return text if len(text.encode()) <= Frame.MOST_ID_BYTES else ""
    except UnicodeError:
        return ""
