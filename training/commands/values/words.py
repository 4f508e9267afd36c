"""What each word of a command line may be: text in, a checked value out, or argparse's own error.

Each sentence of an error says what was found and what it must be; argparse puts the parameter's name before it.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from data.cells import HINTS
from data.errors import nearest
from data.workers import Address
from data.workers.errors import BadEngine

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,99}")

MOST_TOLERANCE = 1.0
MOST_MARGIN = 0.2
"""How much worse a challenger may be at most."""

T = TypeVar("T")


def optional(check: Callable[[str], T]) -> Callable[[str], T | str]:
    """Let the empty text through: MLflow passes it for a parameter left at its default."""
    return lambda word: check(word) if word else ""


def unless_empty(check: Callable[[str], T]) -> Callable[[str], T | None]:
    """Take the empty text for a parameter that was not said: None."""
    return lambda word: check(word) if word else None


def text(what: str) -> Callable[[str], str]:
    """Accept any text but an empty one."""

    def check(word: str) -> str:
        if not word.strip():
            raise argparse.ArgumentTypeError(f"is empty, must be {what}")
        return word

    return check


def textfile(word: str) -> str:
    """Accept a file that Prometheus' node exporter reads: it knows them by their ending."""
    if not word.endswith(".prom"):
        raise argparse.ArgumentTypeError(f"{word!r} must be a file that ends in .prom")
    return word


def model_name(word: str) -> str:
    """Accept a registered model's name that is safe in a path and a URL."""
    if not NAME_PATTERN.fullmatch(word):
        raise argparse.ArgumentTypeError(f"{word!r} must be up to 100 letters, digits, '_', '-' or '.'")
    return word


def version_number(word: str) -> str:
    """Accept a version's number."""
    if not re.fullmatch(r"[1-9]\d{0,8}", word):
        raise argparse.ArgumentTypeError(f"{word!r} must be a version's number, such as 3")
    return word


def moment(word: str) -> datetime:
    """Accept a date or a time in ISO 8601; UTC unless it says otherwise."""
    try:
        result = datetime.fromisoformat(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} must be a moment, such as 2026-11-01T12:00") from None
    return result.astimezone(UTC) if result.tzinfo else result.replace(tzinfo=UTC)


def columns(word: str) -> tuple[str, ...]:
    """Split at commas; a name that holds one, or a line break, is quoted as in CSV."""
    try:
        names = next(csv.reader([word], skipinitialspace=True), [])
    except csv.Error:
        raise argparse.ArgumentTypeError(
            f"{word!r} has a line break: put the name in double quotes"
        ) from None
    return tuple(name for name in names if name.strip())


def joined(names: Sequence[str]) -> str:
    """Write what `columns` reads back: names are quoted where one needs it."""
    line = io.StringIO()
    odd = any(name != name.strip() or not name.isprintable() for name in names)
    writer = csv.writer(line, lineterminator="", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL)
    writer.writerow(names)
    return line.getvalue()


def share(word: str) -> float:
    """Accept a share of the rows that leaves enough to learn from."""
    return _number(word, lambda value: 0.01 <= value <= 0.5, "a share between 0.01 and 0.5, such as 0.15")


def margin(word: str) -> float:
    """Accept how much worse a challenger may be."""
    return _number(
        word, lambda value: 0.0 < value <= MOST_MARGIN, "a share above 0 and up to 0.2, such as 0.01"
    )


def tolerance(word: str) -> float:
    """Accept how much more of the rows something may be before it counts as a drift."""
    return _number(word, lambda value: 0.0 <= value <= MOST_TOLERANCE, "a share from 0 to 1, such as 0.05")


def yes_or_no(word: str) -> bool:
    """Accept true or false."""
    return one_of(("true", "false"))(word) == "true"


def whole_number(word: str) -> int:
    """Accept a seed."""
    if not re.fullmatch(r"\d{1,9}", word):
        raise argparse.ArgumentTypeError(f"{word!r} must be a whole number from 0 to 999999999")
    return int(word)


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """Accept one of a few words; name the nearest otherwise."""

    def check(word: str) -> str:
        if word not in choices:
            near = nearest(word, choices)
            hint = f", did you mean {near!r}?" if near else ""
            raise argparse.ArgumentTypeError(f"{word!r} must be one of {', '.join(choices)}{hint}")
        return word

    return check


def units(word: str) -> tuple[tuple[str, str], ...]:
    """Read `column=unit` pairs."""
    pairs = [pair.rpartition("=") for pair in columns(word)]
    for column, equals, unit in pairs:
        if not (column and equals and unit):
            raise argparse.ArgumentTypeError(f"{word!r} must be column=unit pairs, such as price=EUR,area=m²")
    return tuple((column, unit.strip()) for column, _, unit in pairs)


def readings(word: str) -> tuple[tuple[str, str], ...]:
    """Read `column:word` pairs, where a word says how the column's texts are read."""
    pairs = [pair.rpartition(":") for pair in columns(word)]
    for column, colon, said in pairs:
        if not (column and colon and said):
            raise argparse.ArgumentTypeError(f"{word!r} must be column:word pairs, such as price:currency")
        for each in said.split("+"):
            one_of(tuple(HINTS))(each)
    return tuple((column.strip(), said) for column, _, said in pairs)


def decimal(word: str) -> str:
    """Accept a decimal mark, as itself or as a word."""
    marks = {",": ",", "comma": ",", ".": ".", "point": "."}
    return marks[one_of(tuple(marks))(word)]


def directions(word: str) -> tuple[tuple[str, int], ...]:
    """Read `column=+` and `column=-` pairs."""
    pairs = units(word)
    if not {sign for _, sign in pairs} <= {"+", "-"}:
        raise argparse.ArgumentTypeError(
            f"{word!r} must be column=+ or column=- pairs, such as price=+,age=-"
        )
    return tuple((column, 1 if sign == "+" else -1) for column, sign in pairs)


def budget(word: str) -> float | None:
    """Accept seconds, or `auto` for what the number of rows asks for: None."""
    return None if word in ("", "auto") else _number(word, _is_budget, "seconds from 1 to 86400, or auto")


def _is_budget(value: float) -> bool:
    return 1.0 <= value <= 86_400.0


SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([MGT]B)")
UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}


def size(word: str) -> float | None:
    """Accept an amount of memory, or `auto` for what is free: None."""
    if word in ("", "auto"):
        return None
    parts = SIZE.fullmatch(word.strip())
    if not parts or float(parts[1]) <= 0.0:
        raise argparse.ArgumentTypeError(f"{word!r} must be a size such as 2GB or 500MB, or auto")
    return float(parts[1]) * UNITS[parts[2]]


def written_size(size: float | None) -> str:
    """Write an amount of memory as it is read.

    >>> written_size(2e9), written_size(1_234e6), written_size(None)
    ('2GB', '1234MB', 'auto')
    """
    if size is None:
        return "auto"
    unit = next(unit for unit in ("TB", "GB", "MB") if size % UNITS[unit] == 0.0 or unit == "MB")
    return f"{size / UNITS[unit]:.12g}{unit}"


def engine(word: str) -> str:
    """Accept the address of an engine."""
    try:
        return Address.of(word).word
    except BadEngine as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("engine is ")) from None


def age(word: str) -> timedelta:
    """Accept a time span: days or hours."""
    parts = re.fullmatch(r"([1-9]\d{0,4})([dh])", word)
    if not parts:
        raise argparse.ArgumentTypeError(f"{word!r} must be days or hours, such as 90d or 36h")
    count = int(parts[1])
    return timedelta(days=count) if parts[2] == "d" else timedelta(hours=count)


def written_age(span: timedelta | None) -> str:
    """Write what `age` reads back; nothing for None."""
    hours = 0 if span is None else round(span / timedelta(hours=1))
    return "" if not hours else f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


SPANS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
"""In seconds, the longest first."""


def span(word: str) -> timedelta:
    """Accept how often something is done: days, hours, minutes or seconds."""
    parts = re.fullmatch(r"([1-9]\d{0,4})([dhms])", word)
    if not parts:
        raise argparse.ArgumentTypeError(f"{word!r} must be a span, such as 1d, 6h or 30m")
    return timedelta(seconds=int(parts[1]) * SPANS[parts[2]])


def written_span(span: timedelta) -> str:
    """Write what `span` reads back, in the longest unit."""
    seconds = round(span.total_seconds())
    unit = next(unit for unit, length in SPANS.items() if seconds % length == 0)
    return f"{seconds // SPANS[unit]}{unit}"


def amount(word: str) -> float:
    """Accept what something costs."""
    return _number(word, lambda value: 0.0 < value < math.inf, "a number above 0, such as 12.5")


def _number(word: str, fits: Callable[[float], bool], rule: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan  # fits nowhere
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{word!r} must be {rule}")
    return value


def positive(word: str) -> int:
    """Accept a count of at least one."""
    if not re.fullmatch(r"[1-9]\d{0,5}", word):
        raise argparse.ArgumentTypeError(f"{word!r} must be a whole number from 1 to 999999")
    return int(word)
