"""How a file of delimited text is written: its separator, where its header and its rows begin and end.

Everything is found out on the first lines and held to all that are read: a row with another number of fields stops
the reading later. Above a header may stand `sep=;`, as Excel has it, comments that begin with #, and a title, all where
the lines below leave no doubt. Separators count outside quotes, over all of these lines.

It knows bytes of UTF-8, not encodings, and names, not what a column means. Whether the first line is a header at all is
for `data.text.headers`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from data.column_names import are_numbered
from data.errors import BrokenQuote, UnreadableSource
from data.text.first_lines import HEAD_BYTES, HEAD_LINES, Guess, TextRecord, best_guess, head
from data.text.headers import decimal_mark, has_name_for_each, is_number, looks_like_data
from data.text.quotes import broken_quote, line_breaks, quotes
from data.text.records import BOM

SEPARATOR_WORDS = {"\t": "tab"}
FEWEST_EVEN = 2
"""Lines at the end with equally many fields, at least, before those above them are taken for no rows."""

_BLANK_WORD = re.compile(r'"[^"]*"|[^\s"]+')
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


class _Top(NamedTuple):
    """What stands above the table: where it ends, the separator it names, its lines, the last comment or -1."""

    end: int
    separator: str
    lines: int
    comment: int


def dialect_of(file: BinaryIO, where: str, *, header: str, separator: str = "") -> Dialect:
    """Return how a file of UTF-8 text is written; raises UnreadableSource or BrokenQuote.

    Parameters
    ----------
    header : {"auto", "first", "none"}
        Whether the first line is one.
    separator : str
        Where it is known.
    """
    text, is_whole = head(file)
    top = _above(text)
    separator = separator or top.separator
    best = best_guess(text, top.end, separator, is_whole=is_whole)
    above = top.lines
    if top.comment >= 0 and header != "none":
        other = best_guess(text, top.comment, separator, is_whole=is_whole)
        if _is_header(other, best, where):
            best, above = other, above - 1
    _refuse_blanks(text[top.end :], best, where)
    _check_quotes(text, top.end, best.separator, where, is_whole=is_whole)
    if not best.records:
        raise UnreadableSource(
            where=where, reason="its first line is no header", repair="write the columns' names there"
        )
    _refuse_uneven(best, where)
    return _described(file, best, above, header=header)


def _described(file: BinaryIO, guess: Guess, above: int, *, header: str) -> Dialect:
    first, rows = guess.records[guess.titles], guess.records[guess.titles + 1 :]
    doubt = "the first line looks like data" if looks_like_data(first.cells, [r.cells for r in rows]) else ""
    numbered = tuple(f"column_{position}" for position in range(1, guess.width + 1))
    has_header = header != "none" or are_numbered(first.cells)
    names = tuple(guess.header) if has_header else numbered
    start = first.end if has_header else first.start
    stop, bare = _end_of_rows(file, start, guess.separator) if len(names) > 1 else (_size(file), 0)
    return Dialect(
        guess.separator,
        names,
        has_header=has_header,
        above=above + guess.titles,
        start=start,
        stop=max(start, stop),
        bare=bare,
        doubt=doubt if header == "auto" and has_header else "",
        decimals=tuple(map(decimal_mark, zip(*_even(rows, len(names)), strict=True))),
    )


def _even(rows: Sequence[TextRecord], width: int) -> list[list[str]]:
    return [record.cells for record in rows if len(record.cells) == width]


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _above(text: bytes) -> _Top:
    """Return what stands above the table that is no title."""
    offset, separator, lines, comment = len(BOM) if text.startswith(BOM) else 0, "", 0, -1
    while offset < len(text):
        line = _LINE.match(text, offset)
        assert line is not None
        named = _SEPARATOR_LINE.fullmatch(line[1].strip(b" ")) if not lines else None
        if named and named[1].isascii():
            separator, lines = named[1].decode(), lines + 1
        elif line[1].startswith(b"#"):
            comment, lines = offset, lines + 1
        elif line[1].strip():
            break
        offset = line.end()
    return _Top(offset, separator, lines, comment)


def _is_header(comment: Guess, below: Guess, where: str) -> bool:
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


def _check_quotes(text: bytes, start: int, separator: str, where: str, *, is_whole: bool) -> None:
    quoted = quotes(text[start:], separator)
    if quoted.bad < 0 and not (quoted.is_open and is_whole):
        return
    if flaw := broken_quote(text[start:], separator):
        line = line_breaks(text[: start + flaw.offset]) + 1
        raise BrokenQuote(where=where, line=line, reason=flaw.reason, repair=flaw.repair)


def _refuse_uneven(guess: Guess, where: str) -> None:
    """Raise UnreadableSource where each row has more cells than the header, in a way that has a name."""
    counts = [len(record.cells) for record in guess.records[guess.titles :]]
    width = counts[-1]
    above = len(counts) - next((n for n, each in enumerate(reversed(counts)) if each != width), len(counts))
    if width <= guess.width or not above or len(counts) - above < max(FEWEST_EVEN, above):
        return
    rows = [record.cells for record in guess.records[guess.titles + above :]]
    if above == 1 and guess.separator == "," and all(map(_has_split_number, rows)):
        raise UnreadableSource(
            where=where,
            reason=f"each row has {width} fields, the header {guess.width}, as if a decimal comma were a separator",
            repair="write the table with ; between its columns, give each column a name, or take out what stands above",
        )
    lines = "1 line above the others has" if above == 1 else f"{above} lines above the others have"
    raise UnreadableSource(
        where=where,
        reason=f"{lines} {guess.width} field{'s' if guess.width > 1 else ''}, the others {width}",
        repair="take out what stands above the header, or give each column a name",
    )


def _has_split_number(cells: Sequence[str]) -> bool:
    """Return whether two cells may be one number, with a decimal comma between them."""
    return any(a.strip().lstrip("+-").isdigit() and b.strip().isdigit() for a, b in pairwise(cells))


def _refuse_blanks(text: bytes, guess: Guess, where: str) -> None:
    """Raise UnreadableSource where blanks stand between the columns, mostly of numbers, and nothing else does."""
    if guess.width > 2 or (guess.width == 2 and guess.separator != "\t"):
        return
    lines = [line for line in text.splitlines()[:HEAD_LINES] if line.strip()]
    words = [_BLANK_WORD.findall(line.decode("utf-8", errors="replace")) for line in lines]
    if len(words) < 2 or min(map(len, words)) < guess.width + 1:
        return
    rows = words[1:]
    numbers = sum(is_number(word) for row in rows for word in row)
    if len(set(map(len, rows))) == 1 and numbers * 2 >= len(rows) * len(rows[0]):
        raise UnreadableSource(
            where=where,
            reason="its columns are separated by blanks",
            repair="write a separator between them, as in `sed -E 's/^ +| +$//g; s/[[:blank:]]+/,/g'`",
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
