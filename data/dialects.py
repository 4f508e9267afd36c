"""How a file of delimited text is written: its separator, where its header and its rows begin and end.

Everything is found out on the first lines and held to all that are read: a row with another number of fields stops
the reading later. Above a header may stand `sep=;`, as Excel has it, comments that begin with #, and a title, all where
the lines below leave no doubt. Separators count outside quotes, over all of these lines.

It knows bytes of UTF-8, not encodings, and names, not what a column means. Whether the first line is a header at all is
for `data.headers`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np

from data.delimited import BOM, LONGEST_RECORD, line_breaks, quote_fault, quotes, records_end
from data.errors import BrokenQuote, UnreadableSource
from data.headers import are_numbered, decimal_mark, has_name_for_each, is_number, looks_like_data

SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_WORDS = {"\t": "tab"}
HEAD_BYTES = 2**18
HEAD_LINES = 30
SAMPLE = 200
"""Records that are looked at."""

MOST_TITLES = 20
"""Lines above a header."""

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?', re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes
    ----------
    names : tuple of str
        The header as written, "" where a column has no name.
    has_header : bool
        Whether the names stand in the file.
    above : int
        Lines above the header that are neither header nor rows.
    start, stop : int
        Where the rows begin and end, in bytes of the text as UTF-8.
    bare : int
        Lines of nothing but separators behind the last row.
    doubt : str
        Why the first line may be no header; "" where it is certain.
    decimals : tuple of str
        For each column the decimal mark of its first numbers, "" where it has none.
    """

    separator: str
    names: tuple[str, ...]
    has_header: bool
    above: int
    start: int
    stop: int
    bare: int = 0
    doubt: str = ""
    decimals: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say what is not as in plain comma-separated text; nothing where all is."""
        parts = []
        if self.separator != ",":
            parts.append(f"separator {SEPARATOR_WORDS.get(self.separator, repr(self.separator))}")
        if self.above:
            parts.append(f"{self.above} line{'s' if self.above > 1 else ''} above the header left out")
        if not self.has_header:
            parts.append("no header")
        if self.bare:
            lines = "1 line" if self.bare == 1 else f"{self.bare:,} lines"
            parts.append(f"{lines} of nothing but separators at the end left out")
        return ", ".join(parts)


class Record(NamedTuple):
    """One record: where it begins and ends, and its cells without their quotes."""

    start: int
    end: int
    cells: list[str]

    @property
    def is_title(self) -> bool:
        """Whether there is at most one text, at the very left."""
        return not any(cell.strip() for cell in self.cells[1:])


class _Top(NamedTuple):
    """What stands above the table: where it ends, the separator it names, its lines, the last comment or -1."""

    end: int
    separator: str
    lines: int
    comment: int


class _Reading(NamedTuple):
    """What the first lines are with one separator."""

    separator: str
    titles: int
    width: int
    agreeing: float
    header: list[str]
    records: list[Record]

    @property
    def rank(self) -> tuple[float, bool, int, int]:
        """Compare readings: whole tables first, then those without titles, of more columns, of more numbers."""
        numbers = sum(is_number(cell) for record in self.records[self.titles :] for cell in record.cells)
        return (self.agreeing if self.width > 1 else 0.0), not self.titles, self.width, numbers


def dialect_of(file: BinaryIO, where: str, *, header: str, separator: str = "") -> Dialect:
    """Return how a file of UTF-8 text is written; raises UnreadableSource or BrokenQuote.

    Parameters
    ----------
    header : {"auto", "first", "none"}
        Whether the first line is one.
    separator : str
        Where it is known.
    """
    text, is_whole = _head(file)
    top = _above(text)
    separator = separator or top.separator
    best = _best(text, top.end, separator, is_whole=is_whole)
    above = top.lines
    if top.comment >= 0 and header != "none":
        other = _best(text, top.comment, separator, is_whole=is_whole)
        if _is_header(other, best, where):
            best, above = other, above - 1
    _check_quotes(text, top.end, best.separator, where, is_whole=is_whole)
    if not best.records:
        raise UnreadableSource(
            where=where, reason="its first line is no header", repair="write the columns' names there"
        )
    _refuse_uneven(best, where)
    return _described(file, best, above, header=header)


def _best(text: bytes, start: int, separator: str, *, is_whole: bool) -> _Reading:
    candidates = [separator] if separator else SEPARATORS
    readings = [_reading(text, start, each, is_whole=is_whole) for each in candidates]
    return max(readings, key=lambda reading: reading.rank)


def _described(file: BinaryIO, found: _Reading, above: int, *, header: str) -> Dialect:
    first, rows = found.records[found.titles], found.records[found.titles + 1 :]
    doubt = "the first line looks like data" if looks_like_data(first.cells, [r.cells for r in rows]) else ""
    numbered = tuple(f"column_{place}" for place in range(1, found.width + 1))
    has_header = header != "none" or are_numbered(first.cells)
    names = tuple(found.header) if has_header else numbered
    start = first.end if has_header else first.start
    stop, bare = _end_of_rows(file, start, found.separator) if len(names) > 1 else (_size(file), 0)
    return Dialect(
        found.separator,
        names,
        has_header=has_header,
        above=above + found.titles,
        start=start,
        stop=max(start, stop),
        bare=bare,
        doubt=doubt if header == "auto" and has_header else "",
        decimals=tuple(map(decimal_mark, zip(*_even(rows, len(names)), strict=True))),
    )


def _even(rows: Sequence[Record], width: int) -> list[list[str]]:
    return [record.cells for record in rows if len(record.cells) == width]


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _head(file: BinaryIO) -> tuple[bytes, bool]:
    """Return the first lines, enough to tell, and whether they are all."""
    size = HEAD_BYTES
    while True:
        file.seek(0)
        text = file.read(size)
        if len(text) < size:
            return text, True
        if line_breaks(text) >= HEAD_LINES or size >= LONGEST_RECORD:
            return text, False
        size *= 4


def _above(text: bytes) -> _Top:
    """Return what stands above the table that is no title."""
    place, separator, lines, comment = len(BOM) if text.startswith(BOM) else 0, "", 0, -1
    while place < len(text):
        line = _LINE.match(text, place)
        assert line is not None
        named = _SEPARATOR_LINE.fullmatch(line[1].strip(b" ")) if not lines else None
        if named and named[1].isascii():
            separator, lines = named[1].decode(), lines + 1
        elif line[1].startswith(b"#"):
            comment, lines = place, lines + 1
        elif line[1].strip():
            break
        place = line.end()
    return _Top(place, separator, lines, comment)


def _is_header(comment: _Reading, below: _Reading, where: str) -> bool:
    """Return whether the last line that begins with # is the header; raises UnreadableSource where it may be."""
    if not comment.records or comment.titles or comment.agreeing < 1 or comment.width < below.width:
        return False
    if not below.records:
        return True
    first, rows = below.records[0].cells, [record.cells for record in below.records[1:]]
    if looks_like_data(first, rows):
        return True
    if comment.width == 1 or below.titles or has_name_for_each(first, rows):
        return False
    raise UnreadableSource(
        where=where,
        reason="a line that begins with # has as many fields as the rows, and may be a comment or the header",
        repair="take the line out, or the # if it is the header",
    )


def _reading(text: bytes, start: int, separator: str, *, is_whole: bool) -> _Reading:
    """Return what the first lines are, split by one separator."""
    records = _records(text, start, separator, is_whole=is_whole)
    if not records:
        return _Reading(separator, 0, 0, 0.0, [], [])
    titles = _titles(records)
    below = [len(record.cells) for record in records[titles + 1 :]]
    header = _fitted(records[titles], records[titles + 1 :], text)
    agreeing = sum(width == len(header) for width in below) / len(below) if below else 1.0
    return _Reading(separator, titles, len(header), agreeing, header, records)


def _records(text: bytes, start: int, separator: str, *, is_whole: bool) -> list[Record]:
    """Return the first records that are not empty lines."""
    text = text[start:]
    found = quotes(text, separator)
    if not is_whole:
        text = text[: records_end(text, found)]
    codes = np.frombuffer(text, np.uint8)
    outside = np.ones(len(text), bool) if found.inside is None else found.inside[: len(text)] == 0
    ends = np.flatnonzero(((codes == 10) | (codes == 13)) & outside)
    cuts = np.flatnonzero((codes == ord(separator)) & outside)
    records, place = [], 0
    for end in [*ends.tolist(), len(text)]:
        if end > place:
            inner = cuts[np.searchsorted(cuts, place) : np.searchsorted(cuts, end)].tolist()
            behind = end + (2 if text[end : end + 2] == b"\r\n" else 1)
            records.append(
                Record(start + place, start + min(behind, len(text)), _cells(text, place, inner, end))
            )
        place = max(place, end + 1)
        if len(records) > SAMPLE:
            break
    return [record for record in records if record.cells != [""]]


def _cells(text: bytes, start: int, cuts: list[int], end: int) -> list[str]:
    parts = [
        text[one:two] for one, two in zip([start, *(cut + 1 for cut in cuts)], [*cuts, end], strict=True)
    ]
    plain = [
        part[1:-1].replace(b'""', b'"') if part[:1] == b'"' == part[-1:] and len(part) > 1 else part
        for part in parts
    ]
    return [part.decode("utf-8", errors="replace") for part in plain]


def _titles(records: Sequence[Record]) -> int:
    """Return how many records are a title: lines of one text, above a header and a whole table of more columns."""
    for count in range(1, min(MOST_TITLES, len(records) - 2) + 1):
        if not records[count - 1].is_title:
            return 0
        widths = {len(record.cells) for record in records[count:]}
        if len(widths) == 1 and widths != {1} and _is_named(records, count):
            return count
    return 0


def _is_named(records: Sequence[Record], titles: int) -> bool:
    """Return whether the first record below some titles can only be the header."""
    head, rows = records[titles].cells, [record.cells for record in records[titles + 1 :]]
    if len(head) > 2 and has_name_for_each(head, rows):
        return True
    unsplit = all(len(record.cells) == 1 for record in records[:titles])
    return unsplit and all(map(str.strip, head)) and not looks_like_data(head, rows)


def _fitted(header: Record, rows: Sequence[Record], text: bytes) -> list[str]:
    """Return the header with as many names as all rows have cells, where the others are empty or R's row names."""
    widths = Counter(len(record.cells) for record in rows)
    names = header.cells
    if len(widths) != 1:
        return names
    (width,) = widths
    extra = width - len(names)
    if extra < 0 and not any(name.strip() for name in names[width:]):
        return names[:width]
    if extra > 0 and not any(cell.strip() for record in rows for cell in record.cells[len(names) :]):
        return names + [""] * extra
    if extra == 1 and all(text[record.start : record.start + 1] == b'"' for record in rows):
        return ["", *names]  # R's write.table has no name above the names of rows, which it quotes
    return names


def _check_quotes(text: bytes, start: int, separator: str, where: str, *, is_whole: bool) -> None:
    found = quotes(text[start:], separator)
    if found.bad < 0 and not (found.is_open and is_whole):
        return
    if fault := quote_fault(text[start:], separator):
        line = line_breaks(text[: start + fault[0]]) + 1
        raise BrokenQuote(where=where, line=line, reason=fault[1], repair=fault[2])


def _refuse_uneven(found: _Reading, where: str) -> None:
    """Raise UnreadableSource where each row has more cells than the header, in a way that has a name."""
    rows = found.records[found.titles + 1 :]
    widths = {len(record.cells) for record in rows}
    if len(widths) != 1:
        return
    (width,) = widths
    if found.width == 1 and width > 1:
        raise UnreadableSource(
            where=where,
            reason=f"its first line has no separator, each line below has {width} fields",
            repair="take out what stands above the header",
        )
    if width > found.width and found.separator == ",":
        raise UnreadableSource(
            where=where,
            reason=f"each row has {width} fields, the header {found.width}, as if a decimal comma were a separator",
            repair="write the table with ; between its columns, or give each column a name",
        )


def _end_of_rows(file: BinaryIO, start: int, separator: str) -> tuple[int, int]:
    """Return where the last row ends, and how many lines of nothing but separators are behind it."""
    nothing = (separator + " \r\n\x1a").encode()
    size = stop = _size(file)
    while stop > start:
        first = max(start, stop - HEAD_BYTES)
        file.seek(first)
        text = file.read(stop - first)
        kept = text.rstrip(nothing)
        if kept:
            stop = first + len(kept)
            break
        stop = first
    file.seek(stop)
    rest = file.read(size - stop)
    line = _LINE.match(rest)
    if stop > start and line is not None:
        stop, rest = stop + line.end(), rest[line.end() :]
    return stop, sum(separator.encode() in line for line in re.split(rb"\r\n|\n|\r", rest))
