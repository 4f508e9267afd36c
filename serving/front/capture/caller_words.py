"""What a caller says of a request: by which id he knows it, and when that happened which it is about."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from data.captures import Frame
from data.cell_values import instant

AHEAD_SECONDS = 86_400.0
"""By which another clock may be ahead of ours."""


class Words(NamedTuple):
    """What was said, as it came: an id, and a time. Either may be nothing."""

    id: bytes | str
    time: bytes


class Caller(NamedTuple):
    """What is known by it: an id, and seconds since 1970; an empty id and None where that is of no use."""

    id: str = ""
    at: float | None = None


def words_of(headers: Mapping[bytes, bytes], in_body: str) -> Words | None:
    """Return X-Request-Id, else the body's own id, else Ce-Id; and Ce-Time (CloudEvents 1.0, binary mode of HTTP)."""
    get = headers.get
    given = get(b"x-request-id") or in_body or get(b"ce-id")
    said = get(b"ce-time")
    return Words(given or b"", said or b"") if given or said else None


def caller_of(words: Words) -> Caller:
    """Return what words mean; not on the event loop, where nobody needs to know."""
    return Caller(_id(words.id), _moment(words.time))


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
