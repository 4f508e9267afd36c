"""What a browser must be told before a page of another origin may read an answer (CORS, Fetch standard).

It sees headers, neither paths nor bodies. An origin says which page asks, not who: keys are another matter.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from serving.errors import Headers, WrongOrigin

EXPOSED = (
    b"X-Model-Version, X-Unseen-Categories, X-Prediction-Id, Inference-Header-Content-Length, Retry-After, "
    b"WWW-Authenticate"
)
KEPT_SECONDS = b"600"
"""How long a browser may take a preflight's answer as known."""

_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
_VARY = (b"vary", b"Origin")


class Browsers:
    """The origins that are let in: some, or `*` for every one."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._known = frozenset(origin.encode() for origin in origins)
        self._any = b"*" in self._known

    def headers(self, asked: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return what every answer says, a refusal too: a page may read it, or a cache must not mix origins."""
        if not self._known:
            return ()
        origin = dict(asked).get(b"origin")
        if self._any:
            return ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED))
        if origin is None or origin.lower() not in self._known:
            return (_VARY,)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            _VARY,
        )

    def check(self, asked: Mapping[bytes, bytes]) -> None:
        """Raise WrongOrigin where a page sends something that was not let in, and that is not this server's own.

        A browser asks first (`preflight`) for some requests only: a page may send bytes without a Content-Type to any
        address that its reader can reach, and does not care that it cannot read the answer.
        """
        origin = asked.get(b"origin")
        if origin is None or self._any or origin.lower() in self._known:
            return
        is_own = asked.get(b"sec-fetch-site") == b"same-origin"
        if not is_own and origin.partition(b"://")[2] != asked.get(b"host"):
            raise WrongOrigin()

    def preflight(self, asked: Mapping[bytes, bytes]) -> Headers:
        """Return what a page may send, beside `headers`; nothing where the request is no preflight."""
        if not self._known or b"origin" not in asked or b"access-control-request-method" not in asked:
            return ()
        names = asked.get(b"access-control-request-headers", b"")
        more: Headers = ((b"access-control-allow-headers", names),) if _NAMES.fullmatch(names) else ()
        if (
            asked.get(b"access-control-request-private-network") == b"true"
        ):  # a page from outside asks loopback
            more += ((b"access-control-allow-private-network", b"true"),)
        return (
            (b"access-control-allow-methods", b"GET, HEAD, POST"),
            (b"access-control-max-age", KEPT_SECONDS),
            (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
            *more,
        )


def origin(given: str) -> str:
    """Return an origin as browsers send it, for argparse."""
    if given in ("*", "null"):
        return given
    parts = urlsplit(given.lower())
    try:
        port = {("http", 80): None, ("https", 443): None}.get((parts.scheme, parts.port), parts.port)  # type: ignore[arg-type]
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        host, port = "", None
    if not parts.scheme or not host or parts.path.strip("/") or parts.query or parts.username:
        raise argparse.ArgumentTypeError(f"{given!r} is no origin such as https://app.example.com, nor *")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")
