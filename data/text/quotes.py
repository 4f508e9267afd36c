"""Where the cells of a delimited text are quoted, and where a quote has gone wrong.

A quote opens a cell at the cell's very start (RFC 4180, and pyarrow); anywhere else it is plain text.
Inside, two quotes are one. Two things are refused, since a reader that guesses drops something: a quote
that never closes makes one cell of all rows behind it, and text behind a closing quote loses its quotes,
or shows that the quote was closed by another cell's. A stray quote that a later stray one closes at the
end of a cell is correct text: `data.checks` wonders at cells with many line breaks.

Every byte of every table passes here, so the work is done in arrays, a part of the text at a time. Offsets are bytes
of the text that was passed, which begins with a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

QUOTE, CR, LF = b'"\r\n'
_PART = 2**17
_REPAIR = "write a quote that is part of a text twice, in a cell that is quoted"


class Quotes(NamedTuple):
    """What the quotes of a text come to.

    Attributes
    ----------
    inside : uint8 array, one for each byte; None where no cell is quoted
        1 within quotes, the opening one included.
    bad : int
        Offset of a closing quote that text follows; -1 for none.
    """

    inside: NDArray[np.uint8] | None = None
    bad: int = -1

    @property
    def is_open(self) -> bool:
        """Whether the text ends within quotes."""
        return self.inside is not None and len(self.inside) > 0 and bool(self.inside[-1])


def quotes(text: bytes, separator: str = ",") -> Quotes:
    """Return where cells are quoted in a text that begins with a record.

    Where each quote that opens begins a cell or follows another quote, and each that closes ends one or
    precedes another, every quote changes the state: most texts are so. Else each run is looked at.
    """
    if b'"' not in text:
        return Quotes()
    codes = np.frombuffer(text, np.uint8)
    inside = _toggled(codes, QUOTE)
    if all(_is_regular(codes[part], inside[part], separator) for part in parts_of(len(codes), overlap=1)):
        return Quotes(inside)
    opens, closes, bad = _cells(codes, separator)
    changes = np.zeros(len(codes), np.uint8)
    changes[opens] = changes[closes] = 1
    return Quotes(_toggled(changes, 1), bad)


def parts_of(length: int, *, overlap: int = 0) -> Iterator[slice]:
    """Yield parts that fit the processor's cache: arrays as large as the text would be new pages each time."""
    yield from (slice(max(start - overlap, 0), start + _PART) for start in range(0, length, _PART))


def _toggled(codes: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    """Return at each place whether an odd number of this code stands up to it."""
    result, carried = np.empty(len(codes), np.uint8), np.uint8(0)
    for part in parts_of(len(codes)):
        result[part] = _parity(codes[part] == code) ^ carried
        carried = result[part][-1]
    return result


def _parity(flags: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return at each place whether an odd number of flags stands up to it: 64 at once, in six steps."""
    packed = np.packbits(flags, bitorder="little")
    words = np.zeros(len(packed) // 8 + 1, np.uint64)
    words.view(np.uint8)[: len(packed)] = packed
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    carried = np.bitwise_xor.accumulate(words >> np.uint64(63))
    words[1:] ^= carried[:-1] * np.uint64(2**64 - 1)
    return np.unpackbits(words.view(np.uint8), count=len(flags), bitorder="little")


def _is_regular(codes: NDArray[np.uint8], inside: NDArray[np.uint8], separator: str) -> bool:
    """Return whether a part's quotes stand at the borders of cells, or beside one another."""
    quote = codes == QUOTE
    beside = quote | (codes == ord(separator)) | (codes == LF) | (codes == CR)
    opens = quote & inside.view(np.bool_)
    closes = quote & ~inside.view(np.bool_)
    return not ((opens[1:] > beside[:-1]).any() or (closes[:-1] > beside[1:]).any())


def _cells(codes: NDArray[np.uint8], separator: str) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return where quoted cells open and close, and the first close that text follows, -1 for none.

    A run of an odd number of quotes opens, or closes, where it begins a cell, and closes where it does not.
    An even run changes nothing; at the start of a cell it is all of it.
    """
    offsets = np.flatnonzero(codes == QUOTE)
    parted = np.diff(offsets) > 1
    first, last = offsets[np.r_[True, parted]], offsets[np.r_[parted, True]]
    borders = np.zeros(256, np.bool_)
    borders[[CR, LF, ord(separator)]] = True
    starts = borders[codes[first - 1]] | (first == 0)
    stops = borders[codes[np.minimum(last + 1, len(codes) - 1)]] | (last == len(codes) - 1)
    odd = (last - first) % 2 == 0
    is_open = _open_after(odd & starts, odd & ~starts)
    was_open = np.r_[False, is_open[:-1]]
    whole = ~odd & starts & ~was_open
    closing = whole | (was_open & ~is_open)
    bad = np.flatnonzero(closing & ~stops)
    return first[whole | (is_open & ~was_open)], last[closing], int(last[bad[0]]) if len(bad) else -1


def _open_after(toggles: NDArray[np.bool_], ends: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether a cell is open after each run: by how many toggled since the last that could but close."""
    count = np.cumsum(toggles)
    before = np.maximum.accumulate(np.where(ends, count, 0))
    return np.asarray((count - before) % 2 == 1)


class Flaw(NamedTuple):
    """A place of a text that no reader should guess at: what is wrong there, and how to mend it."""

    offset: int
    reason: str
    repair: str


def broken_quote(text: bytes, separator: str = ",") -> Flaw | None:
    """Return the first quote that goes wrong, None for none."""
    opens, closes, bad = _cells(np.frombuffer(text, np.uint8), separator)
    if bad >= 0:
        opened = int(opens[np.searchsorted(opens, bad, side="right") - 1])
        further = line_breaks(text[opened:bad])
        distance = f"{further} line{'s' * (further > 1)} further down" if further else "later in the line"
        return Flaw(opened, f"the quote that opens here closes {distance} and text follows it", _REPAIR)
    if len(opens) > len(closes):
        reason = "the quote that opens here never closes, and all rows behind it would be one cell"
        return Flaw(int(opens[-1]), reason, f"close it, or {_REPAIR}")
    return None


def line_breaks(text: bytes) -> int:
    """Return how many lines end in a text: by LF, CR or both."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
