"""Whether a first line is a header or data.

A line is taken for data where each column of numbers, or of dates, has one in it too, and most are of the size of those
below; where there are none, where each of its words stands in its column again. A header of years above other figures
is none, one of years above years may be: both readings are named then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from data.schema import MISSING_WORDS

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ].*)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.]\d{3})+")
_MISSING = frozenset({*map(str.lower, MISSING_WORDS), "?", "-"})


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, with a decimal point or comma."""
    return _NUMBER.fullmatch(cell.strip()) is not None


def is_missing(cell: str) -> bool:
    """Return whether a cell is empty or says so."""
    return cell.strip().lower() in _MISSING


def _is_date(cell: str) -> bool:
    return _DATE.fullmatch(cell.strip()) is not None


def looks_like_data(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a line is a row like those below it, and no header.

    >>> looks_like_data(["M", "0.455"], [["F", "0.53"], ["M", "0.44"]])
    True
    >>> looks_like_data(["M", "yes"], [["F", "yes"], ["M", "no"]])
    True
    >>> looks_like_data(["country", "2019"], [["DE", "0.53"], ["FR", "0.44"]])
    False
    """
    columns = _columns([first, *rows])
    measured = [column for column in columns if _are(is_number, column[1:]) or _are(_is_date, column[1:])]
    if not measured:
        return bool(columns) and all(column[0] in column[1:] for column in columns)
    given = [column for column in measured if not is_missing(column[0])]
    if not given or not all(_are(is_number, c) or _are(_is_date, c) for c in given):
        return False
    return sum(_is_like(column) for column in given) * 2 > len(given)


def _are(test: Callable[[str], bool], cells: Sequence[str]) -> bool:
    known = [cell for cell in cells if not is_missing(cell)]
    return bool(known) and all(map(test, known))


def _is_like(column: Sequence[str]) -> bool:
    """Return whether the first is of the size of the others, within a factor of ten; a date always is."""
    if not _are(is_number, column):
        return True
    first, *others = (float(cell.replace(",", ".")) for cell in column if not is_missing(cell))
    sizes = [abs(each) for each in others if each] or [0.0]
    if first < 0 <= min(others) or not first:
        return min(others) <= first <= max(others)
    return min(sizes) / 10 <= abs(first) <= max(sizes) * 10 and math.isfinite(first)


def has_name_for_each(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether each column has a name that is no number, above a column of numbers in one of them."""
    if not all(cell.strip() and not is_number(cell) for cell in first):
        return False
    return any(_are(is_number, column[1:]) for column in _columns([first, *rows]))


def _columns(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the columns of rows, of those that are as long as the first."""
    return list(zip(*(row for row in rows if len(row) == len(rows[0])), strict=True))


def decimal_mark(cells: Sequence[str]) -> str:
    """Return the mark before the fractions of a column of numbers, "" where it has none or more than one.

    >>> decimal_mark(["1,5", "2"]), decimal_mark(["1,500", "2"])
    (',', '')
    """
    if not _are(is_number, cells):
        return ""
    plain = [cell.strip() for cell in cells if not _THOUSANDS.fullmatch(cell.strip())]
    marks = {mark for mark in ",." if any(mark in cell for cell in plain)}
    return marks.pop() if len(marks) == 1 else ""
