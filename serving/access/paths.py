"""Which path is which: what may stand around one that the server knows, and the names within."""

from __future__ import annotations

import argparse
import re

PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
"""Where a server may stand. Two slashes at the start would be another machine's address."""
V1_MODEL = re.compile(r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+))?(?P<rest>:predict)?")
V2_MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer)?")


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


def is_v2(path: str) -> bool:
    """Whether a path is the Open Inference Protocol's."""
    return path == "/v2" or path.startswith("/v2/")


def is_v1(path: str) -> bool:
    """Whether a path is KServe's first protocol's, which is TensorFlow Serving's too."""
    return path == "/v1" or path.startswith("/v1/")
