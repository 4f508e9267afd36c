"""Delimited text as whole records: where each ends, in a file block by block or in a body of a request.

Where cells are quoted is for `data.text.quotes`. It knows nothing of columns, kinds or encodings.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import BinaryIO

import numpy as np

from data.errors import BrokenQuote, LongRecord, SourceError, UnreadableSource
from data.text.quotes import CR, LF, Flaw, Quotes, broken_quote, line_breaks, parts_of, quotes

BOM = b"\xef\xbb\xbf"
LONGEST_RECORD = 64 * 2**20
"""Bytes of one row or header; a file without line ends would be read whole otherwise."""


def blank_line(text: bytes, quoted: Quotes) -> Flaw | None:
    """Return the first line that is empty and in no quotes: a reader would take no row from it."""
    for match in re.finditer(rb"(?:\A|\r\n|\n|\r(?!\n))(?=\r|\n)", text):
        if quoted.inside is None or not quoted.inside[match.start()]:
            return Flaw(
                match.end(),
                "is empty, and in a table of one column may be a missing value",
                'write "" for a missing value, or take the line out',
            )
    return None


class WholeText:
    """A text of comma-separated records that is in memory, and what keeps it from being read.

    A flaw is said as in `line 3: the quote that opens here never closes: ...`.
    """

    def __init__(self, text: bytes) -> None:
        """Take a text, which may begin with the mark of UTF-8."""
        self.text = text.removeprefix(BOM)

    @cached_property
    def _quotes(self) -> Quotes:
        return quotes(self.text)

    def broken_quote(self) -> str:
        """Return the line of the first quote that goes wrong, and why; nothing for none."""
        whole = self._quotes.bad < 0 and not self._quotes.is_open
        return "" if whole else self._said(broken_quote(self.text))

    def blank_line(self) -> str:
        """Return the first line that is empty, which in a table of one column may be a row; nothing for none."""
        return self._said(blank_line(self.text, self._quotes))

    def _said(self, flaw: Flaw | None) -> str:
        if flaw is None:
            return ""
        return f"line {1 + line_breaks(self.text[: flaw.offset])}: {flaw.reason}: {flaw.repair}"


def records_end(text: bytes, quoted: Quotes) -> int:
    """Return where the last whole record ends, 0 where none does; a CR at the very end may lack its LF."""
    stop = len(text) - 1 if text.endswith(b"\r") else len(text)
    if quoted.inside is None:
        feed = text.rfind(b"\n", 0, stop)
        return max(feed, text.rfind(b"\r", feed + 1, stop)) + 1
    codes = np.frombuffer(text, np.uint8)[:stop]
    for part in reversed(list(parts_of(stop))):
        ends = ((codes[part] == LF) | (codes[part] == CR)) & ~quoted.inside[:stop][part].view(np.bool_)
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
            quoted = quotes(text, self._separator)
            end = len(text) if at_end else records_end(text, quoted)
            self._check(text, quoted, end=end, at_end=at_end)
            if end or at_end:
                self._start += end
                return memoryview(text)[:end]
            size *= 2

    def _check(self, text: bytes, quoted: Quotes, *, end: int, at_end: bool) -> None:
        too_long = not end and len(text) > LONGEST_RECORD
        ends_open = quoted.is_open and (at_end or too_long)
        if (quoted.bad >= 0 or ends_open) and (flaw := broken_quote(text, self._separator)):
            line = self._line(flaw.offset)
            raise BrokenQuote(where=self._where, line=line, reason=flaw.reason, repair=flaw.repair)
        if too_long:
            raise LongRecord(where=self._where, line=self._line(0), limit=LONGEST_RECORD)
        if self._one_column and (flaw := blank_line(text, quoted)):
            where = f"{self._where}, line {self._line(flaw.offset)}"
            raise UnreadableSource(where=where, reason=flaw.reason, repair=flaw.repair)

    def _line(self, offset: int) -> int:
        """Return the line of an offset in the text at hand, counted as an editor counts."""
        stop, breaks, last = self._start + offset, 0, b""
        self._file.seek(0)
        while stop > 0 and (text := self._file.read(min(stop, 2**20))):
            breaks += line_breaks(text) - (last == b"\r" and text[:1] == b"\n")
            last, stop = text[-1:], stop - len(text)
        return breaks + 1
