"""The first lines of a file of delimited text, split by each separator that there may be: which split is a table.

A header may have a title above it, or have fewer or more separators at its end than its rows; R's write.table names its
rows and gives that column no name. It refuses nothing: what no guess explains is for `data.text.dialects`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.text.headers import has_name_for_each, is_number, looks_like_data
from data.text.quotes import line_breaks, quotes
from data.text.records import LONGEST_RECORD, records_end

SEPARATORS = (",", ";", "\t", "|")
HEAD_BYTES = 2**18
HEAD_LINES = 30
SAMPLE = 100
"""Records at the start of a file by which a separator is judged."""

MOST_TITLES = 20
"""Lines of a title above a header, at most."""


class TextRecord(NamedTuple):
    """One record: where it begins and ends, and its cells without their quotes."""

    start: int
    end: int
    cells: list[str]

    @property
    def is_title(self) -> bool:
        """Whether there is at most one text, at the very left."""
        return not any(cell.strip() for cell in self.cells[1:])


class Guess(NamedTuple):
    """What the first lines are with one separator."""

    separator: str
    titles: int
    width: int
    agreeing: float
    header: list[str]
    records: list[TextRecord]

    @property
    def rank(self) -> tuple[float, bool, int, int]:
        """Compare guesses: whole tables first, then those without titles, of more columns, of more numbers."""
        looked_at = self.records[self.titles : self.titles + HEAD_LINES]
        numbers = sum(is_number(cell) for record in looked_at for cell in record.cells)
        return (self.agreeing if self.width > 1 else 0.0), not self.titles, self.width, numbers


def head(file: BinaryIO) -> tuple[bytes, bool]:
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


def best_guess(text: bytes, start: int, separator: str, *, is_whole: bool) -> Guess:
    """Return what the lines from a place on are, by the separator that is named or by the one that suits them best."""
    present = [each for each in SEPARATORS if each.encode() in text] or SEPARATORS[:1]
    candidates = [separator] if separator else present
    guesses = [_guess(text, start, each, is_whole=is_whole) for each in candidates]
    return max(guesses, key=lambda guess: guess.rank)


def _guess(text: bytes, start: int, separator: str, *, is_whole: bool) -> Guess:
    """Return what the first lines are, split by one separator."""
    records = _records(text, start, separator, is_whole=is_whole)
    if not records:
        return Guess(separator, 0, 0, 0.0, [], [])
    titles = _titles(records)
    below = [len(record.cells) for record in records[titles + 1 :]]
    header = _fitted(records[titles], records[titles + 1 :], text)
    agreeing = sum(width == len(header) for width in below) / len(below) if below else 1.0
    return Guess(separator, titles, len(header), agreeing, header, records)


def _records(text: bytes, start: int, separator: str, *, is_whole: bool) -> list[TextRecord]:
    """Return the first records that are not empty lines."""
    text = text[start:]
    quoted = quotes(text, separator)
    if not is_whole:
        text = text[: records_end(text, quoted)]
    codes = np.frombuffer(text, np.uint8)
    outside = np.ones(len(text), bool) if quoted.inside is None else quoted.inside[: len(text)] == 0
    ends = np.flatnonzero(((codes == 10) | (codes == 13)) & outside)
    records, begin = [], 0
    for end in [*ends[: 9 * SAMPLE].tolist(), *([len(text)] if len(ends) <= 9 * SAMPLE else [])]:
        if end > begin:
            behind = end + (2 if text[end : end + 2] == b"\r\n" else 1)
            cells = _cells(text[begin:end], outside[begin:end], separator)
            records.append(TextRecord(start + begin, start + min(behind, len(text)), cells))
        begin = max(begin, end + 1)
        if len(records) > SAMPLE:
            break
    records = [record for record in records if record.cells != [""]]
    while len(records) > 1 and not any(map(str.strip, records[-1].cells)):
        records.pop()  # lines of nothing but separators at the end are no rows
    return records


def _cells(line: bytes, outside: NDArray[np.bool_], separator: str) -> list[str]:
    """Return the cells of a record, without their quotes."""
    if b'"' not in line:
        return line.decode("utf-8", errors="replace").split(separator)
    cuts = np.flatnonzero((np.frombuffer(line, np.uint8) == ord(separator)) & outside).tolist()
    parts = [line[a:b] for a, b in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(line)], strict=True)]
    plain = [
        part[1:-1].replace(b'""', b'"') if part[:1] == b'"' == part[-1:] and len(part) > 1 else part
        for part in parts
    ]
    return [part.decode("utf-8", errors="replace") for part in plain]


def _titles(records: Sequence[TextRecord]) -> int:
    """Return how many records are a title: lines of one text, above a header and a whole table of more columns."""
    for count in range(1, min(MOST_TITLES, len(records) - 2) + 1):
        if not records[count - 1].is_title:
            return 0
        widths = {len(record.cells) for record in records[count:]}
        if len(widths) == 1 and widths != {1} and _is_named(records, count):
            return count
    return 0


def _is_named(records: Sequence[TextRecord], titles: int) -> bool:
    """Return whether the first record below some titles can only be the header."""
    head, rows = records[titles].cells, [record.cells for record in records[titles + 1 :]]
    while head and not any(cells[len(head) - 1].strip() for cells in (head, *rows)):
        head = head[:-1]  # separators behind the last column
    rows = [cells[: len(head)] for cells in rows]
    if len(head) > 2 and has_name_for_each(head, rows):
        return True
    unsplit = all(len(record.cells) == 1 for record in records[:titles])
    return unsplit and all(map(str.strip, head)) and not looks_like_data(head, rows)


def _fitted(header: TextRecord, rows: Sequence[TextRecord], text: bytes) -> list[str]:
    """Return the header with as many names as all rows have cells, where the others are empty or R's row names."""
    widths = Counter(len(record.cells) for record in rows)
    names = header.cells
    if len(widths) != 1:
        return names
    (width,) = widths
    extra = width - len(names)
    if extra < 0 and not any(name.strip() for name in names[width:]):
        return names[:width]
    behind = [cell for record in rows for cell in record.cells[len(names) :]]
    if extra <= 0 or not all(map(str.strip, names)):
        return names
    if not any(map(str.strip, behind)):
        return names + [""] * extra
    if extra == 1 and all(map(_names_its_row, (text[record.start : record.end] for record in rows))):
        return ["", *names]
    return names


def _names_its_row(line: bytes) -> bool:
    """Return whether a line begins with the name of its row, as R's write.table quotes it, and numbers not."""
    return line.startswith(b'"') and re.search(rb'[^"\r\n][\r\n]*$|[^"][,;\t|][^"]', line) is not None
