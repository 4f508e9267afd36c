"""Delimited text as whole records: where each ends, and where a quote has gone wrong.

A quote opens a cell at the cell's very start (RFC 4180, and pyarrow); anywhere else it is plain text.
Inside, two quotes are one. Two things are refused, since a reader that guesses drops something: a quote
that never closes makes one cell of all rows behind it, and text behind a closing quote loses its quotes,
or shows that the quote was closed by another cell's. A stray quote that a later stray one closes at the
end of a cell is correct text: `data.checks.faults` wonders at cells with many line breaks.

It knows nothing of columns, kinds or encodings. Offsets are bytes of the text that was passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.errors import BrokenQuote, LongRecord, SourceError, UnreadableSource

BOM = b"\xef\xbb\xbf"
LONGEST_RECORD = 64 * 2**20
_PART = 2**17
_QUOTE, _CR, _LF = b'"\r\n'
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
    inside = _toggled(codes, _QUOTE)
    if all(_is_regular(codes[part], inside[part], separator) for part in _parts(len(codes), overlap=1)):
        return Quotes(inside)
    opens, closes, bad = _cells(codes, separator)
    changes = np.zeros(len(codes), np.uint8)
    changes[opens] = changes[closes] = 1
    return Quotes(_toggled(changes, 1), bad)


def _parts(length: int, *, overlap: int = 0) -> Iterator[slice]:
    """Yield parts that fit the processor's cache: arrays as large as the text would be new pages each time."""
    yield from (slice(max(start - overlap, 0), start + _PART) for start in range(0, length, _PART))


def _toggled(codes: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    """Return at each place whether an odd number of this code stands up to it."""
    result, carried = np.empty(len(codes), np.uint8), np.uint8(0)
    for part in _parts(len(codes)):
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
    quote = codes == _QUOTE
    beside = quote | (codes == ord(separator)) | (codes == _LF) | (codes == _CR)
    opens = quote & inside.view(np.bool_)
    closes = quote & ~inside.view(np.bool_)
    return not ((opens[1:] > beside[:-1]).any() or (closes[:-1] > beside[1:]).any())


def _cells(codes: NDArray[np.uint8], separator: str) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return where quoted cells open and close, and the first close that text follows, -1 for none.

    A run of an odd number of quotes opens, or closes, where it begins a cell, and closes where it does not.
    An even run changes nothing; at the start of a cell it is all of it.
    """
    places = np.flatnonzero(codes == _QUOTE)
    parted = np.diff(places) > 1
    first, last = places[np.r_[True, parted]], places[np.r_[parted, True]]
    borders = np.zeros(256, np.bool_)
    borders[[_CR, _LF, ord(separator)]] = True
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


def quote_fault(text: bytes, separator: str = ",") -> tuple[int, str, str] | None:
    """Return the offset of the first quote that goes wrong, what is wrong and the repair; None for none."""
    opens, closes, bad = _cells(np.frombuffer(text, np.uint8), separator)
    if bad >= 0:
        opened = int(opens[np.searchsorted(opens, bad, side="right") - 1])
        further = line_breaks(text[opened:bad])
        place = f"{further} lines further down" if further else "later in the line"
        return opened, f"the quote that opens here closes {place} and text follows it", _REPAIR
    if len(opens) > len(closes):
        reason = "the quote that opens here never closes, and all rows behind it would be one cell"
        return int(opens[-1]), reason, f"close it, or {_REPAIR}"
    return None


def line_breaks(text: bytes) -> int:
    """Return how many lines end in a text: by LF, CR or both."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def blank_line(text: bytes, found: Quotes) -> int:
    """Return the offset of the first line that is empty and in no quotes, -1 for none."""
    for match in re.finditer(rb"(?:\A|\r\n|\n|\r(?!\n))(?=\r|\n)", text):
        if found.inside is None or not found.inside[match.start()]:
            return match.end()
    return -1


def records_end(text: bytes, found: Quotes) -> int:
    """Return where the last whole record ends, 0 where none does; a CR at the very end may lack its LF."""
    stop = len(text) - 1 if text.endswith(b"\r") else len(text)
    if found.inside is None:
        feed = text.rfind(b"\n", 0, stop)
        return max(feed, text.rfind(b"\r", feed + 1, stop)) + 1
    codes = np.frombuffer(text, np.uint8)[:stop]
    for part in reversed(list(_parts(stop))):
        ends = ((codes[part] == _LF) | (codes[part] == _CR)) & ~found.inside[:stop][part].view(np.bool_)
        if ends.any():
            return int(part.start) + int(np.flatnonzero(ends)[-1]) + 1
    return 0


class RecordBlocks:
    """A file as pyarrow's CSV reader wants it, in blocks that end where a record does.

    Its own blocks end anywhere: one between a CR and its LF loses the LF, in quotes too, and a row or a
    header that is longer than a block is an error.
    """

    closed = False

    def __init__(
        self,
        file: BinaryIO,
        *,
        where: str,
        separator: str,
        one_column: bool = False,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Read a part of a file, all of it where none is named; both ends of a part are ends of records."""
        self._file, self._where, self._separator = file, where, separator
        self._one_column = one_column
        whole = (len(BOM) if file.read(len(BOM)) == BOM else 0, file.seek(0, 2))
        self._start, self._stop = part or whole
        self.fault: SourceError | None = None

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._file.close()

    def read(self, size: int) -> memoryview:
        """Return whole records of about that many bytes, none at the end; raises BrokenQuote or LongRecord."""
        try:
            return self._read(size)
        except SourceError as error:
            self.fault = error
            raise

    def _read(self, size: int) -> memoryview:
        while True:
            self._file.seek(self._start)
            text = self._file.read(min(size, self._stop - self._start))
            at_end = len(text) < size
            found = quotes(text, self._separator)
            end = len(text) if at_end else records_end(text, found)
            self._check(text, found, end=end, at_end=at_end)
            if end or at_end:
                self._start += end
                return memoryview(text)[:end]
            size *= 2

    def _check(self, text: bytes, found: Quotes, *, end: int, at_end: bool) -> None:
        too_long = not end and len(text) > LONGEST_RECORD
        ends_open = found.is_open and (at_end or too_long)
        if (found.bad >= 0 or ends_open) and (fault := quote_fault(text, self._separator)):
            raise BrokenQuote(where=self._where, line=self._line(fault[0]), reason=fault[1], repair=fault[2])
        if too_long:
            raise LongRecord(where=self._where, line=self._line(0), limit=LONGEST_RECORD)
        if self._one_column and (place := blank_line(text, found)) >= 0:
            raise UnreadableSource(
                where=f"{self._where}, line {self._line(place)}",
                reason="is empty, and in a table of one column may be a missing value",
                repair='write "" for a missing value, or take the line out',
            )

    def _line(self, offset: int) -> int:
        """Return the line of an offset in the text at hand, counted as an editor counts."""
        stop, breaks, last = self._start + offset, 0, b""
        self._file.seek(0)
        while stop > 0 and (text := self._file.read(min(stop, 2**20))):
            breaks += line_breaks(text) - (last == b"\r" and text[:1] == b"\n")
            last, stop = text[-1:], stop - len(text)
        return breaks + 1
