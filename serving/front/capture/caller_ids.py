"""By which id a caller knows a request: a header, or what the body says."""

from __future__ import annotations

from collections.abc import Mapping

MOST_BYTES = 128
"""Of an id. A longer one is not kept: cut short it would be another's."""


def caller_id(headers: Mapping[bytes, bytes], in_body: str) -> str:
    """Return X-Request-Id, else the body's own, else Ce-Id (CloudEvents); nothing where it cannot be kept as it is."""
    given = headers.get(b"x-request-id") or in_body or headers.get(b"ce-id")
    if not given:
        return ""
    try:
        text = given if isinstance(given, str) else given.decode()
        return text if len(text.encode()) <= MOST_BYTES else ""
    except UnicodeError:
        return ""
