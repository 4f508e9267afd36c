"""What a message would become, counted on its bytes before protobuf makes anything of it.

Two bytes are an empty tensor, which protobuf and Python keep in a hundred: a count says what a length does not.
Only the fields that hold others are looked into; numbers and texts are stepped over, and unknown fields too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from serving.errors import Malformed, TooLarge
from serving.settings import Limits

FIELDS_A_COLUMN, FIELDS_BESIDE = 16, 64
"""How many fields a request may have for each column that is allowed, and beside these."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}


class _Form(NamedTuple):
    """Which fields of a message hold messages, and which a text for each row."""

    inner: dict[int, _Form]
    texts: int = 0


_PARAMETER = _Form({2: _Form({})})
_TENSOR = _Form({4: _PARAMETER, 5: _Form({}, texts=8)})
_REQUEST = _Form({4: _PARAMETER, 5: _TENSOR, 6: _Form({2: _PARAMETER})})
"""Of ModelInferRequest; the numbers are those of `serving.protocols.v2_messages.messages`."""


def check_fields(raw: bytes, limits: Limits) -> None:
    """Raise TooLarge where a ModelInferRequest has more fields, or rows of text, than a request may; or Malformed."""
    try:
        _Count(raw, limits).take(_REQUEST, 0, len(raw))
    except IndexError as error:
        raise Malformed("the message is cut short") from error


class _Count:
    """How much of what a message may have is left."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self._raw, self._rows = raw, limits.rows
        self._most = self._left = FIELDS_A_COLUMN * limits.columns + FIELDS_BESIDE

    def take(self, form: _Form, start: int, end: int) -> None:
        """Count the fields of one message, and of those in it; raises TooLarge, Malformed or IndexError."""
        rows = self._rows
        for number, first, after in _fields(self._raw, start, end):
            if number == form.texts:
                rows -= 1
            else:
                self._left -= 1
            if rows < 0:
                raise TooLarge(what="rows", limit=self._rows)
            if self._left < 0:
                raise TooLarge(what="fields, for as many columns as a request may have", limit=self._most)
            if number in form.inner and first >= 0:
                self.take(form.inner[number], first, after)


def _fields(raw: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Give each field's number, where its content begins (-1 where it has no length), and where it ends."""
    while start < end:
        key, start = _varint(raw, start)
        kind, first = key & 7, -1
        if kind == _LENGTH:
            size, first = _varint(raw, start)
            start = first + size
        elif kind == _VARINT:
            _, start = _varint(raw, start)
        elif kind in _SIZES:
            start += _SIZES[kind]
        else:
            raise Malformed("the message has a kind of field that this protocol has not")
        if start > end:
            raise Malformed("the message is cut short")
        yield key >> 3, first, start


def _varint(raw: bytes, start: int) -> tuple[int, int]:
    """Read a number of up to ten bytes; return it and where the next one begins."""
    byte = raw[start]
    if byte < 128:
        return byte, start + 1
    value, shift = byte & 127, 7
    for index in range(start + 1, start + 10):
        byte = raw[index]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, index + 1
        shift += 7
    raise Malformed("the message has a number of more than ten bytes")
