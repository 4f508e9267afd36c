"""What a name or a text that cannot be used almost was: the same in another form, or ISO 8601 as it is not read here.

It runs for faults only. What it returns goes to clients, so it says how two texts differ and quotes neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from data.schema import DATE_PATTERN

_BLANKS = " \t\r\n\u00a0\ufeff"
_LONGEST = 64
_TIME = r"\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?\s?([Zz]|[+-]\d{2}(:?\d{2})?)?(\[[^\]]*\])?"
_OTHER_ISO = re.compile(
    r"([+-]\d{2})?\d{4}(-?W\d{2}(-?[1-7])?|-?\d{3}|-\d{2}|(?P<dash>-?)\d{2}(?P=dash)\d{2})([Tt ]"
    + _TIME
    + ")?"
)
"""Weeks, days of the year, months, dates and times without separators, commas, hours alone, named zones."""


def folded(names: Iterable[str]) -> dict[str, str]:
    """Return names by what is left of them without case, blanks and Unicode form."""
    return {_folded(name): name for name in names}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip(_BLANKS)


def of_name(name: str, sent: Mapping[str, str]) -> str:
    """Say how a name that was sent differs from a column's, if one nearly is it; `sent` is from `folded`."""
    near = sent.get(_folded(name))
    if near is None or near == name:
        return ""
    if unicodedata.normalize("NFC", near) == unicodedata.normalize("NFC", name):
        form = next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, name)), "its own")
        how = f"has another Unicode form (this one is {form})"
    elif near.strip(_BLANKS) == name.strip(_BLANKS):
        how = "has blanks around it"
    elif near.casefold() == name.casefold():
        how = "differs in upper and lower case"
    else:
        how = "differs in case, blanks or Unicode form"
    return f", but one whose name {how}: did you mean it?"


def of_date(text: str) -> str:
    """Say what a text is that was no date: another form of ISO 8601, a day that does not exist, or just text."""
    text = text.strip()[: _LONGEST + 1]
    if re.match(DATE_PATTERN, text):
        return "a date or time that does not exist"
    if len(text) <= _LONGEST and _OTHER_ISO.fullmatch(text):
        return "an ISO 8601 form that is not read here; write 2023-05-01T10:00:00"
    return "text"
