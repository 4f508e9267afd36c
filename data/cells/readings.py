"""How the texts of one column are read as numbers, dates, durations or booleans: one function for every door.

    1.234,50 €    a number: decimal comma, thousands point, currency €
    12.5k         a number with a factor
    31.12.2024    a date, day first
    1h 20m        a duration, in minutes
    ja            a boolean

`Reading.plain` turns a cell into the text that everything else here reads: digits with a decimal point, an
ISO 8601 date, true or false, nothing where the value is missing. A cell that does not fit is refused, never
bent. Training, the server and batch scoring call it; numbers, dates and booleans that are no text (JSON,
Parquet) are the plain value already. Which reading a column has is found out by `data.cells`, once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, get_args

from data.cells.currencies import is_currency
from data.cells.dates import ORDERS, duration, iso_date

Form = Literal["number", "date", "duration", "boolean", "text"]
FORMS: tuple[Form, ...] = get_args(Form)

MINUS = "\u2212"
"""The minus sign of typography."""

SPACES = " \t\u00a0\u2009\u202f"
"""The blanks that may stand in a number: plain, tab, and those that typography puts between digits."""

MOST_MISSING, LONGEST_MARK = 1_000, 40
"""Of a reading that is read back from a file: words for a missing value, and characters of a mark or a word."""

FACTORS = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}
_GROUPED = {
    ",": r"\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}",  # 12,34,567 in India
    ".": r"\d{1,3}(?:\.\d{3})+",
    "'": r"\d{1,3}(?:['\u2019]\d{3})+",
    " ": rf"\d{{1,3}}(?:[{SPACES}]\d{{3}})+",
}
GROUPS = re.compile(rf"[,.'\u2019{SPACES}]")


@dataclass(frozen=True)
class Reading:
    """How the texts of a column are read.

    Attributes
    ----------
    form : {"number", "date", "duration", "boolean", "text"}
        What they say. Text stays as it is.
    decimal, thousands : str
        The marks between digits; `thousands` may be nothing, a comma, a point, a blank or an apostrophe.
    mark : str
        A currency, a percent sign or a unit beside each number. Only a percent sign must be there.
    factors : bool
        Whether k, M and B behind digits multiply them.
    brackets : bool
        Whether (5) is -5.
    order : str
        Of a date, one of `ORDERS`. ISO 8601 is always read.
    unit : str
        Of a duration: minutes or seconds.
    true, false : str
        The two words of a boolean, in small letters.
    missing : tuple of str
        Cells that are missing values: a word as it stands, or a number however it is written.
    """

    form: Form
    decimal: str = "."
    thousands: str = ""
    mark: str = ""
    factors: bool = False
    brackets: bool = False
    order: str = "iso"
    unit: str = ""
    true: str = "true"
    false: str = "false"
    missing: tuple[str, ...] = ()

    @cached_property
    def sentinels(self) -> tuple[float, ...]:
        """The numbers among the missing values of a column of numbers."""
        numbers = map(number_of, self.missing) if self.form in ("number", "duration") else ()
        return tuple(value for value in numbers if value is not None)

    @cached_property
    def words(self) -> frozenset[str]:
        """The missing values as they stand."""
        return frozenset(self.missing)

    @property
    def is_plain(self) -> bool:
        """Whether cells stand as they are, but for those that are missing."""
        return self == Reading(self.form, missing=self.missing)

    @property
    def kind(self) -> str:
        """What the values are, in the words of `data.schema`."""
        kinds = {"date": "datetime", "boolean": "boolean", "text": "category"}
        return kinds.get(self.form, "number")

    @property
    def measured_in(self) -> str | None:
        """The unit that the cells themselves name."""
        return self.unit or self.mark or None

    def plain(self, text: str) -> str | None:
        """Return a cell's plain text, nothing for a missing value, None where the cell cannot be used.

        >>> Reading("number", decimal=",", thousands=".", mark="€").plain("-1.234,50 €")
        '-1234.50'
        """
        text = text.strip(SPACES + "\r\n") if self.form != "text" else text
        if not text or text in self.words:
            return ""
        plain = self._read(text)
        return "" if plain and self.sentinels and number_of(plain) in self.sentinels else plain

    def written(self, plain: str) -> str:
        """Return a plain number as this reading needs it in a text file; anything else as it is."""
        if self.form != "number":
            return plain
        return plain.replace(".", self.decimal) + ("%" if self.mark == "%" else "")

    def _read(self, text: str) -> str | None:
        if self.form == "number":
            return self._number(text)
        if self.form == "date":
            return iso_date(text, self.order)
        if self.form == "duration":
            return duration(text, self.unit)
        return self._boolean(text) if self.form == "boolean" else text

    def _boolean(self, text: str) -> str | None:
        folded = text.casefold()
        if folded in (self.true, self.false):
            return "true" if folded == self.true else "false"
        return folded if folded in ("true", "false", "1", "0") else None

    def _number(self, text: str) -> str | None:
        match = self._pattern.fullmatch(text)
        if not match or (match["open"] is None) is not (match["close"] is None):
            return None
        signs = [sign for sign in (match["sign"], match["inner"], match["open"]) if sign]
        marks = [mark for mark in (match["before"], match["after"]) if mark]
        if len(signs) > 1 or len(marks) > 1 or (self.mark == "%" and not marks):
            return None
        whole = GROUPS.sub("", match["whole"] or "0")
        if len(whole) > 1 and whole[0] == "0":
            return None  # a code
        digits = whole + ("." + match["rest"] if match["rest"] else "") + (match["exponent"] or "")
        if match["factor"]:
            digits = format(Decimal(digits) * FACTORS[match["factor"]], "f")
        return ("-" if signs and signs[0] != "+" else "") + digits

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        grouped = _GROUPED.get(self.thousands)
        whole = rf"(?P<whole>{grouped}|\d+)" if grouped else r"(?P<whole>\d+)"
        mark, sign = (re.escape(self.mark) if self.mark else r"(?!)"), rf"[+{MINUS}-]"
        factor = r"(?P<factor>[kKMB])?" if self.factors else r"(?P<factor>(?!))?"
        opening = r"(?P<open>\()?" if self.brackets else r"(?P<open>(?!))?"
        blank = rf"[{SPACES}]*"
        return re.compile(
            rf"{opening}(?P<sign>{sign})?{blank}(?P<before>{mark})?{blank}(?P<inner>{sign})?{blank}"
            rf"(?:{whole}|(?={re.escape(self.decimal)}\d))(?:{re.escape(self.decimal)}(?P<rest>\d+))?(?P<exponent>[eE][+-]?\d+)?{factor}"
            rf"{blank}(?P<after>{mark})?{blank}(?P<close>\))?",
            re.ASCII,
        )

    def __str__(self) -> str:
        """Say it in words, as in `currency $, thousands ,`."""
        words = {
            "number": self._number_in_words(),
            "date": f"a date such as {ORDERS[self.order]}",
            "duration": f"a duration in {self.unit}",
            "boolean": f"{self.true} is true, {self.false} is false",
            "text": "text",
        }
        return ", ".join(filter(None, [words[self.form], self._missing_in_words()]))

    def _number_in_words(self) -> str:
        parts = [
            _mark_in_words(self.mark),
            f"thousands {_shown(self.thousands)}" if self.thousands else "",
            f"decimal {self.decimal}" if self.decimal != "." else "",
            "12k is 12000" if self.factors else "",
            "(5) is -5" if self.brackets else "",
        ]
        return ", ".join(filter(None, parts)) or "number"

    def _missing_in_words(self) -> str:
        if not self.missing:
            return ""
        more = f" and {len(self.missing) - 5} more" if len(self.missing) > 5 else ""
        return f"missing: {' '.join(self.missing[:5])}{more}"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: what differs from a plain text of this form."""
        defaults = asdict(Reading(self.form))
        written = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        if "missing" in written:
            written["missing"] = list(self.missing)
        return {"form": self.form} | written

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Reading:
        """Read the JSON form back; raises KeyError, TypeError or ValueError where it is not one."""
        unknown = set(written) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"a reading has no {min(unknown)!r}")
        plain, words = asdict(cls("number")), written.get("missing", [])
        if any(type(value) is not type(plain[name]) for name, value in written.items() if name != "missing"):
            raise TypeError(f"{dict(written)!r} is no reading")
        if not isinstance(words, list) or len(words) > MOST_MISSING:
            raise TypeError(f"a reading's missing is no list of at most {MOST_MISSING:,} words")
        reading = cls(**{**written, "missing": tuple(map(str, words))})
        if (
            not reading._is_known()
            or max(map(len, (reading.mark, reading.true, reading.false))) > LONGEST_MARK
        ):
            raise ValueError(f"{dict(written)!r} is no reading")
        return reading

    def _is_known(self) -> bool:
        return (
            (self.form in FORMS and self.order in ORDERS and self.decimal in (".", ","))
            and (self.thousands in ("", *_GROUPED) and self.thousands != self.decimal)
            and self.unit in ("", "minutes", "seconds")
        )


def number_of(text: str) -> float | None:
    """Return the number that a plain text says, None for another text."""
    try:
        return float(text.replace(MINUS, "-"))
    except ValueError:
        return None


def _mark_in_words(mark: str) -> str:
    if not mark:
        return ""
    return "percent (12% is 12)" if mark == "%" else f"{'currency' if is_currency(mark) else 'unit'} {mark}"


def _shown(mark: str) -> str:
    return "blank" if mark == " " else mark
