"""The kinds of parameters: how a word is read, how a value is written, and which columns it names.

What was written is read back as the same value, but for passwords, which no record holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.column_names import matching, matching_owner
from data.redaction import redact, redact_address
from training.commands.values import words

Pairs = Sequence[tuple[str, Any]]


def _as_it_is(value: Any, _columns: Sequence[str]) -> Any:
    return value


@dataclass(frozen=True)
class Kind:
    """What a parameter may be.

    Attributes
    ----------
    read : callable
        Makes a value of a word; raises argparse.ArgumentTypeError.
    write : callable
        Makes a word of a value.
    named : callable
        Given a value and a table's columns, returns the value with its columns' names as the table writes them.
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    named: Callable[[Any, Sequence[str]], Any] = _as_it_is


def one_of(choices: Sequence[str]) -> Kind:
    """Return the kind of a parameter that is one of a few words."""
    return Kind(words.one_of(choices))


def one_of_or_unsaid(choices: Sequence[str]) -> Kind:
    """Return the same for a parameter that is told apart from its default: the empty text where nothing was said."""
    return Kind(words.optional(words.one_of(choices)))


def _one(column: str, columns: Sequence[str]) -> str:
    return matching(column, columns) if column else column


def _each(chosen: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(matching(column, columns) for column in chosen)


def _first_of_pairs(pairs: Pairs, columns: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    return tuple((matching(column, columns), word) for column, word in pairs)


def _owners(missing: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(matching_owner(word, columns) for word in missing)


def _joined_by(mark: str) -> Callable[[Pairs], str]:
    return lambda pairs: words.joined([f"{column}{mark}{word}" for column, word in pairs])


def _write_directions(pairs: Pairs) -> str:
    return _joined_by("=")([(column, "+" if sign > 0 else "-") for column, sign in pairs])


def _write_moment(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


TEXT = Kind(str)
TABLE = Kind(words.text("a path, glob, folder, s3:// or the like, or SQLAlchemy URL"), redact_address)
TABLE_OF_THEN = Kind(str, redact_address)
QUERY = Kind(str, redact)
FILE = Kind(words.text("a file that joblib.dump or Keras wrote"))
NAME = Kind(words.model_name)
NAME_OR_FILES = Kind(words.optional(words.model_name))
VERSION = Kind(words.version_number)
VERSION_OR_CHAMPION = Kind(words.optional(words.version_number))
MOMENT = Kind(words.unless_empty(words.moment), _write_moment)

COLUMN = Kind(words.text("a column"), named=_one)
COLUMN_OR_NONE = Kind(str, named=_one)
COLUMNS = Kind(words.columns, words.joined, _each)
UNITS = Kind(words.units, _joined_by("="), _first_of_pairs)
DIRECTIONS = Kind(words.directions, _write_directions, _first_of_pairs)
READINGS = Kind(words.readings, _joined_by(":"), _first_of_pairs)
MISSING_WORDS = Kind(words.columns, words.joined, _owners)
DECIMAL = Kind(words.optional(words.decimal))

TEXTFILE = Kind(words.optional(words.textfile))
ADDRESS = Kind(str, redact_address)
FOLDER = Kind(words.text("a folder"))
AGE = Kind(words.age, words.written_age)
AGE_OR_NONE = Kind(words.unless_empty(words.age), words.written_age)
SPAN = Kind(words.span, words.written_span)
AMOUNT_OR_NONE = Kind(
    words.unless_empty(words.amount), lambda amount: "" if amount is None else f"{amount:g}"
)
SHARE_OR_UNSAID = Kind(words.unless_empty(words.share), lambda share: "" if share is None else str(share))
MARGIN = Kind(words.margin)
TOLERANCE = Kind(words.tolerance)
SEED = Kind(words.whole_number)
COUNT = Kind(words.positive)
SECONDS = Kind(words.budget, lambda seconds: "auto" if seconds is None else f"{seconds:g}")
SIZE = Kind(words.size, words.written_size)
ENGINE_OR_NONE = Kind(words.optional(words.engine))
YES_OR_NO = Kind(words.yes_or_no, lambda value: str(value).lower())
