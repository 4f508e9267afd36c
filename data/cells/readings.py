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
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Form = Literal["number", "date", "duration", "boolean", "text"]
FORMS: tuple[Form, ...] = get_args(Form)

MINUS = "\u2212"
SPACES = " \t\u00a0\u2009\u202f"
"""Plain, tab, and those that typography puts between digits."""

MOST_MISSING, LONGEST_MARK = 1_000, 40
FACTORS = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}
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
        found = map(number_of, self.missing) if self.form in ("number", "duration") else ()
        return tuple(value for value in found if value is not None)

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
            return _date(text, self.order)
        if self.form == "duration":
            return _duration(text, self.unit)
        return self._boolean(text) if self.form == "boolean" else text

    def _boolean(self, text: str) -> str | None:
        folded = text.casefold()
        if folded in (self.true, self.false):
            return "true" if folded == self.true else "false"
        return folded if folded in ("true", "false", "1", "0") else None

    def _number(self, text: str) -> str | None:
        found = self._pattern.fullmatch(text)
        if not found or (found["open"] is None) is not (found["close"] is None):
            return None
        signs = [sign for sign in (found["sign"], found["inner"], found["open"]) if sign]
        marks = [mark for mark in (found["before"], found["after"]) if mark]
        if len(signs) > 1 or len(marks) > 1 or (self.mark == "%" and not marks):
            return None
        whole = GROUPS.sub("", found["whole"] or "0")
        if len(whole) > 1 and whole[0] == "0":
            return None  # a code
        digits = whole + ("." + found["rest"] if found["rest"] else "") + (found["exponent"] or "")
        if found["factor"]:
            digits = format(Decimal(digits) * FACTORS[found["factor"]], "f")
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


def plain_texts(array: Any, reading: Reading) -> tuple[Any, NDArray[np.bool_]]:
    """Return a text array or column of Arrow with its cells in plain text, and which of them cannot be used.

    Each different text is looked at once. A cell that cannot be used is null.
    """
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that a worker for JSON never needs

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    coded = array if pa.types.is_dictionary(array.type) else array.cast(pa.large_string()).dictionary_encode()
    read = [None if text is None else reading.plain(text) for text in coded.dictionary.to_pylist()]
    plain = pa.array([text or None for text in read], pa.string()).take(coded.indices)
    refused = np.array([text is None for text in read] + [False], dtype=np.bool_)
    places = np.asarray(coded.indices.cast(pa.int64()).fill_null(len(read)))
    return plain, refused[places]


def number_of(text: str) -> float | None:
    """Return the number that a plain text says, None for another text."""
    try:
        return float(text.replace(MINUS, "-"))
    except ValueError:
        return None


def _date(text: str, order: str) -> str | None:
    for kind in dict.fromkeys(("iso", order)):
        for pattern in _DATE_PATTERNS[kind]:
            if found := pattern.fullmatch(text):
                return _iso(found.groupdict())
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


def _duration(text: str, unit: str) -> str | None:
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()) or (found["s"] and unit != "seconds"):
        return None
    days, hours, minutes, rest = (int(found[part] or 0) for part in ("d", "h", "m", "s"))
    total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    return str(total if unit == "seconds" else total // 60)


def _mark_in_words(mark: str) -> str:
    if not mark:
        return ""
    return "percent (12% is 12)" if mark == "%" else f"{'currency' if is_currency(mark) else 'unit'} {mark}"


CURRENCIES = (
    "US$",
    "R$",
    "€",
    "$",
    "£",
    "¥",
    "₹",
    "₽",
    "₺",
    "₩",
    "zł",
    "Kč",
    "Rs.",
    "Rs",
    "kr.",
    "kr",
    "Fr.",
)
CODES = (
    "EUR",
    "USD",
    "GBP",
    "CHF",
    "JPY",
    "INR",
    "CAD",
    "AUD",
    "CNY",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "BRL",
)


def is_currency(mark: str) -> bool:
    """Return whether a mark beside numbers is a currency."""
    return mark in CURRENCIES or mark.upper() in CODES


def _shown(mark: str) -> str:
    return "blank" if mark == " " else mark
