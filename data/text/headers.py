"""Whether a first line is a header or data, and whether the headers of several files are one table's.

A line is taken for data where each column of numbers, or of dates, has one in it too, and most are of the size of those
below; where there are none, where each of its words stands in its column again. A header of years above other figures
is none, one of years above years may be: both readings are named then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from data.errors import UnreadableSource, nearest

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ].*)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.]\d{3})+")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})


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


def other_columns(path: str, header: Sequence[str], first: str, expected: Sequence[str]) -> UnreadableSource:
    """Return what to say of a file whose columns are not those of the first one, with the near miss."""
    other = next((name for name in header if name not in expected), None)
    lacking = [name for name in expected if name not in header]
    if other is None:
        found = f"lacks the column {lacking[0]!r} that {first} has"
    else:
        near = nearest(other, lacking)
        found = f"has a column {other!r} that {first} does not have"
        found += f", which has {near!r}" if near else ""
    return UnreadableSource(where=path, reason=found, repair="write the same header into each file")


def are_numbered(names: Sequence[str]) -> bool:
    """Return whether columns are called by their places, as those of a table without a header are."""
    return all(re.fullmatch(r"column_\d+", name) for name in names)
