"""Which path is which: what may stand around one that the server knows, and the names within."""

from __future__ import annotations

import argparse
import re

PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
"""Where a server may stand. Two slashes at the start would be another machine's address."""
MODELS = {
    "v1": re.compile(r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?(?P<rest>:predict)?"),
    "v2": re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer)?"),
}
"""A model's paths in KServe's first protocol, which is TensorFlow Serving's too, and in the Open Inference Protocol."""
_FIRST = re.compile(r"/(v[12])(?:/|$)")


def prefix(given: str) -> str:
    """Return a prefix as paths begin with it, for argparse."""
    cleaned = given.rstrip("/")
    if cleaned and not PREFIX.fullmatch(cleaned):
        raise argparse.ArgumentTypeError(f"{given!r} is no path such as /models/flights")
    return cleaned


def plain(path: str, prefix: str = "") -> str:
    """Return a path without the server's prefix and without a slash at its end.

    >>> plain("/models/flights/invocations/", "/models/flights"), plain("/models/flightsim", "/models/flights")
    ('/invocations', '/models/flightsim')
    """
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        path = path[len(prefix) :]
    return path.rstrip("/") or "/"


def protocol_of(path: str) -> str:
    """Return which of the two a path belongs to, v1 or v2, or nothing.

    >>> protocol_of("/v2"), protocol_of("/v1/models"), protocol_of("/v1x"), protocol_of("/ping")
    ('v2', 'v1', '', '')
    """
    match = _FIRST.match(path)
    return match[1] if match else ""
