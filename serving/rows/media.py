"""What the headers say of a body: its format, and gzip around it.

It undoes gzip within the limits, and drops a byte-order mark; what is in the body is for others.
"""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8

from serving.errors import Malformed, TooLarge, WrongType
from serving.rows.budget import need
from serving.rows.costs import before_gzip
from serving.settings import Limits

JSON, CSV = "application/json", "text/csv"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
ARROW_FILE = "application/vnd.apache.arrow.file"
PIECE_BYTES = 64 * 2**10
MOST_MEMBERS = 10_000
"""Of one gzip body; bgzip makes one of each 64 kB."""

_PARAMETERS = {("charset", "utf-8"), ("charset", "utf8"), ("header", "present")}
_BY_DEFAULT = {
    "application/x-www-form-urlencoded": "curl -d, wget --post-data and HTML forms send a form unless told: "
    "add the header Content-Type: application/json",
    "multipart/form-data": "a form with files is not read: send the file itself, as in "
    "curl --data-binary @rows.csv -H 'Content-Type: text/csv'",
    "text/plain": "fetch sends text/plain unless told: add the header Content-Type: application/json",
}
"""What clients say of a body where nobody told them, and what to tell them."""


def media_type(header: str | None) -> str:
    """Return the Content-Type without its parameters; JSON where there is none. Raises WrongType."""
    if not header or header == JSON:
        return JSON
    kind, *parameters = (part.strip() for part in header.split(";"))
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        said = name.strip().lower(), value.strip().strip('"').lower()
        if said not in _PARAMETERS and kind.lower() not in _BY_DEFAULT:
            raise WrongType("Content-Type may say charset=utf-8 and nothing else; CSV header=present too")
    return kind.lower()


def wrong_type(kind: str, *taken: str) -> WrongType:
    """Return a refusal of a Content-Type, with the way out where a client sends it unless told otherwise."""
    known = f"Content-Type must be {'one of ' if len(taken) > 1 else ''}{', '.join(taken)} here"
    return WrongType(f"{known}; {_BY_DEFAULT[kind]}" if kind in _BY_DEFAULT else known)


def expand(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Undo gzip, stopping at the limit; raises WrongType, Malformed or TooLarge."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise WrongType("Content-Encoding may be gzip or identity")
    promised = before_gzip(body, limits)
    parts: list[bytes] = []
    end = _expand_member(body, 0, len(body), parts, limits)
    for _ in range(MOST_MEMBERS):
        if end == len(body) or (body[end] == 0 and not body[end:].strip(b"\0")):  # padding, as tar -z leaves
            expanded = parts[0] if len(parts) == 1 else b"".join(parts)
            need(len(expanded) - promised)
            return expanded
        end = _expand_member(body, end, PIECE_BYTES, parts, limits)
    raise TooLarge(what="members of gzip", limit=MOST_MEMBERS)


def _expand_member(body: bytes, start: int, piece_bytes: int, parts: list[bytes], limits: Limits) -> int:
    """Add what one member holds to the parts, and return where it ends.

    zlib copies what is left over. In small pieces that stays cheap, however many members there are.
    """
    machine = zlib.decompressobj(31)
    left = limits.body_bytes - sum(map(len, parts))
    while not machine.eof:
        if start >= len(body):
            raise Malformed("the gzip body is empty or cut short")
        piece = body[start : start + piece_bytes]
        try:
            parts.append(machine.decompress(piece, left + 1))
        except zlib.error as error:
            raise Malformed("the body is no gzip, or something else follows it") from error
        left -= len(parts[-1])
        if left < 0:
            raise TooLarge(what="bytes after gzip", limit=limits.body_bytes)
        start += len(piece) - len(machine.unused_data)
    return start


def without_mark(body: bytes) -> bytes:
    """Return a body without the byte-order mark that RFC 8259 lets a reader skip."""
    return body.removeprefix(BOM_UTF8)
