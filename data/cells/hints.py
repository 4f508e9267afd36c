"""The words by which a user says how a column is read, as in `read=price:currency+decimal-comma`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from data.cells.dates import ORDERS


@dataclass(frozen=True)
class Hint:
    """What the user says of how one column is read; a field is empty where that is to be found out."""

    form: str = ""
    decimal: str = ""
    order: str = ""
    prefers_thousands: bool = False
    others_missing: bool = False


NO_HINT = Hint()

HINTS = {
    "text": Hint("text"),
    "number": Hint("number", others_missing=True),
    "thousands": Hint("number", prefers_thousands=True),
    "currency": Hint("number", prefers_thousands=True),
    "decimal-comma": Hint("number", decimal=","),
    "decimal-point": Hint("number", decimal="."),
    "percent": Hint("number"),
    "unit": Hint("number"),
    "duration": Hint("duration"),
    "boolean": Hint("boolean"),
    "yes-no": Hint("boolean"),
    "date": Hint("date"),
    **{f"date-{order}": Hint("date", order=order) for order in ORDERS if order != "iso"},
}
"""What a user may write behind `read=column:`; words are joined by a plus sign."""


def hint_of(words: str) -> Hint:
    """Return what words such as `currency+decimal-comma` say together; raises KeyError at an unknown one."""
    hint = Hint()
    for word in words.split("+"):
        given = {name: value for name, value in vars(HINTS[word]).items() if value}
        hint = replace(hint, **given)
    return hint
