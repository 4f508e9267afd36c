"""Dates and durations as people write them, and what they say: ISO 8601, whole minutes or seconds.

Which order of day and month a column has is for `data.cells.discovery.inference`; here it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time

ORDERS = {"iso": "2024-12-31", "dmy": "31.12.2024", "mdy": "12/31/2024", "ymd": "2024/12/31", "ym": "2024-12"}
"""Orders of a date, with an example of each; months may stand as English words, too (`31 Dec 2024`)."""

_CLOCK = r"(?:[ T,]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?P<f>\.\d{1,9})?)?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?"
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WORD = r"(?P<m>[A-Za-z]{3,9})\.?"
_DATES = {
    "iso": (r"(?P<iso>\d{4}-\d{2}-\d{2}(?:[T ].*)?)",),
    "dmy": (
        r"(?P<d>\d{1,2})(?P<mark>[./-])(?P<m>\d{1,2})(?P=mark)(?P<y>\d{4})" + _CLOCK,
        r"(?P<d>\d{1,2})(?:st|nd|rd|th)?[ -]" + _WORD + r"[ -](?P<y>\d{4})" + _CLOCK,
    ),
    "mdy": (
        r"(?P<m>\d{1,2})(?P<mark>[/-])(?P<d>\d{1,2})(?P=mark)(?P<y>\d{4})" + _CLOCK,
        _WORD + r" (?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})" + _CLOCK,
    ),
    "ymd": (
        r"(?P<y>\d{4})(?P<mark>[/.])(?P<m>\d{1,2})(?P=mark)(?P<d>\d{1,2})" + _CLOCK,
        r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?:T(?P<H>\d{2})(?P<M>\d{2})(?:(?P<S>\d{2})(?P<f>\.\d{1,9})?)?Z?)?",
    ),
    "ym": (r"(?P<y>\d{4})[-/](?P<m>\d{2})",),
}
_DATE_PATTERNS = {
    order: tuple(re.compile(pattern, re.ASCII) for pattern in patterns) for order, patterns in _DATES.items()
}
_DURATION = re.compile(
    r"(?:(?P<d>\d+) ?(?:d|days?))?,? ?(?:(?P<h>\d+) ?(?:h|hrs?|hours?))?,? ?"
    r"(?:(?P<m>\d+) ?(?:m|mins?|minutes?))?,? ?(?:(?P<s>\d+) ?(?:s|secs?|seconds?))?",
    re.ASCII | re.IGNORECASE,
)


def iso_date(text: str, order: str) -> str | None:
    """Return a date in ISO 8601, None where the text is none of that order and not ISO 8601 either."""
    for kind in dict.fromkeys(("iso", order)):
        for pattern in _DATE_PATTERNS[kind]:
            if match := pattern.fullmatch(text):
                return _iso(match.groupdict())
    return None


def _iso(parts: Mapping[str, str | None]) -> str | None:
    """Return the parts of a date as ISO 8601, None where there is no such day or time."""
    try:
        if parts.get("iso"):
            return parts["iso"] if datetime.fromisoformat(str(parts["iso"])) else None
        word = str(parts["m"])
        month = int(word) if word.isdigit() else _month(word)
        day = date(int(parts["y"] or 0), month, int(parts.get("d") or 1)).isoformat()
        return f"{day}T{_clock(parts)}" if parts.get("H") else day
    except ValueError:
        return None


def _month(word: str) -> int:
    """Return the number of an English month's name or of its first three letters, 0 for another word."""
    word = "sep" if word.lower() == "sept" else word.lower()
    fits = [number for number, name in enumerate(_MONTHS, 1) if name.startswith(word)]
    return fits[0] if fits else 0


def _clock(parts: Mapping[str, str | None]) -> str:
    hour, half = int(parts["H"] or 0), (parts.get("half") or "").lower()
    if half and not 1 <= hour <= 12:
        raise ValueError(f"no hour {hour} before or after noon")
    if half:
        hour = hour % 12 + 12 * (half == "p")
    return time(hour, int(parts["M"] or 0), int(parts.get("S") or 0)).isoformat() + (parts.get("f") or "")


def duration(text: str, unit: str) -> str | None:
    """Return a duration in whole minutes or seconds, None where the text is none."""
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()) or (match["s"] and unit != "seconds"):
        return None
    days, hours, minutes, rest = (int(match[part] or 0) for part in ("d", "h", "m", "s"))
    total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    return str(total if unit == "seconds" else total // 60)
