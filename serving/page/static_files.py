"""The page's three files, from memory: no build, no framework, and no request to any other host.

Its script is written in parts, one noun each, and sent as one module.

They hold nothing of a model, so that a browser gets them without a key; what they show is asked for with one. The
policy lets no other script run than ours, whatever a column is called: even our own cannot write HTML.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from serving.errors import Headers
from serving.protocols import Answer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
HEADERS: Headers = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
    (b"vary", b"Accept"),
)
KINDS = {"html": b"text/html", "css": b"text/css", "js": b"text/javascript"}
SCRIPT = ("texts", "asking", "form", "prediction", "what_if", "rows", "call", "facts", "page")
"""The parts of the script in their order; the last one starts."""

PATHS = {
    "/": ("page.html",),
    "/page.css": ("page.css",),
    "/page.js": tuple(f"script/{part}.js" for part in SCRIPT),
}


@dataclass(frozen=True)
class PageFile:
    """One of the files, and its ETag."""

    body: bytes
    kind: bytes
    etag: bytes

    def answer(self, headers: Mapping[bytes, bytes]) -> Answer:
        """Return the file, or that the browser has it already."""
        tagged = (*HEADERS, (b"etag", self.etag))
        known = {each.strip().removeprefix(b"W/") for each in headers.get(b"if-none-match", b"").split(b",")}
        if self.etag in known or b"*" in known:
            return Answer(b"", 304, tagged)
        return Answer(self.body, headers=((b"content-type", self.kind + b"; charset=utf-8"), *tagged))


@cache
def page_files() -> Mapping[str, PageFile]:
    """Return the files by their paths."""
    folder = Path(__file__).parent
    return {path: _read([folder / part for part in parts]) for path, parts in PATHS.items()}


def wants_html(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a person's browser asks: programs take anything, or JSON."""
    return b"text/html" in headers.get(b"accept", b"").lower()


def _read(parts: Sequence[Path]) -> PageFile:
    body = b"\n".join(part.read_bytes() for part in parts)
    return PageFile(
        body, KINDS[parts[0].suffix[1:]], b'"%s"' % hashlib.sha256(body).hexdigest()[:16].encode()
    )
