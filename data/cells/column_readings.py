"""Which reading each column of a table has: what was asked for, what is certain, and where there is doubt.

Looks at columns of text (`data.cells` does, one by one), lets the columns of a file decide together where
one of them leaves it open, and returns their cells in plain text. A column that nobody uses may be in doubt:
the doubts are kept with the table, and whoever wants such a column is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.cells.inference import LOOKED_AT, is_worth_a_look, look, word_of
from data.cells.looks import NO_WISH, Look, Wish, wish_of
from data.cells.readings import SPACES, Form, Reading, is_currency, number_of, plain_texts
from data.errors import MissingColumn, UnusableColumn

SHOWN = 3
"""Cells that a line names."""

MOST_NAMES = 8
"""Columns of one reading that a line names."""

MOST_WORDS = 100
"""Different cells of one column that `read=column:number` makes missing."""

MANY = 3 * LOOKED_AT
"""Different cells of one column."""

_GROUPED = r"^[+-]?\d{1,3}(\.\d{3})*$"
_WITH_POINT = r"^[+-]?\d*\.(\d{1,2}|\d{4,})$"


@dataclass(frozen=True)
class Asked:
    """How the user wants texts to be read.

    Attributes
    ----------
    read : pairs of column and words
        See `data.cells.looks.WISHES`.
    missing : tuple of str
        Words and numbers that mean a missing value, in all columns or as `column:word` in one.
    decimal : str
        The decimal mark of all columns, or nothing.
    known : mapping of column to Reading
        What a contract promises; these columns are read so and not otherwise.
    """

    read: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = ""
    known: Mapping[str, Reading] = field(default_factory=dict)

    def wish(self, column: str) -> Wish:
        """Return what was said of a column."""
        wish = wish_of(words) if (words := dict(self.read).get(column)) else NO_WISH
        return wish if wish.decimal or not self.decimal else replace(wish, decimal=self.decimal)

    def words(self, column: str, columns: Iterable[str]) -> tuple[str, ...]:
        """Return what is missing in a column."""
        known, found = set(columns), []
        for word in self.missing:
            owner = next(
                (word[:at] for at, mark in enumerate(word) if mark == ":" and word[:at] in known), None
            )
            if owner in (None, column):
                found.append(word if owner is None else word[len(owner) + 1 :])
        return tuple(found)

    def check(self, where: str, columns: Iterable[str]) -> None:
        """Raise MissingColumn where a column is named that the table does not have."""
        names = list(columns)
        for column, _ in self.read:
            if column not in names:
                raise MissingColumn(where=where, role="read", column=column, columns=names)


NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Settled:
    """What came of it.

    Attributes
    ----------
    readings : mapping of column to Reading
        Of those that are not as plain as can be.
    plain : mapping of column to pyarrow.ChunkedArray or Array
        The cells in plain text of the columns of text that have a reading.
    doubts : mapping of column to UnusableColumn
        What stands in the way of using a column.
    warnings : tuple of str
        What was made missing because the user said so.
    """

    readings: dict[str, Reading] = field(default_factory=dict)
    plain: dict[str, pa.Array] = field(default_factory=dict)
    doubts: dict[str, UnusableColumn] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Column:
    """A column, and what the user says of it; `cells` is None where it is not of text."""

    name: str
    kind: str | None
    cells: pa.ChunkedArray | None
    wish: Wish
    is_named: bool
    words: tuple[str, ...]

    def words_for(self, form: Form) -> tuple[str, ...]:
        """Return what is missing here: a number is only where numbers are, or where it stands as a word."""
        if form in ("number", "duration") or self.cells is None:
            return self.words
        trimmed = pc.utf8_trim(self.cells, SPACES + "\r\n")
        present = set(pc.unique(trimmed).to_pylist()) if any(map(number_of, self.words)) else set()
        return tuple(word for word in self.words if word in present or number_of(word) is None)

    def look(self) -> Look:
        """Look at all cells; at some of very many first, for words among which nothing else stands."""
        counts = _counted(self.cells, self.words)
        if len(counts) > MANY and not self.is_named:
            some = Counter(text for text in _some(self.cells) if text in counts)
            if not look(some, self.wish).readings:
                return Look(cells=counts)
        return look(counts, self.wish)


def settle(
    texts: Mapping[str, pa.ChunkedArray], kinds: Mapping[str, str | None], asked: Asked, *, is_text: bool
) -> Settled:
    """Settle the readings of a table's columns.

    Parameters
    ----------
    texts : mapping of column to text
        The columns of text.
    kinds : mapping of column to kind
        Of all columns, as they are without any reading; None where every value is missing.
    is_text : bool
        Whether the table is a text file: only there a text may be anything but text unasked.
    """
    settled, named = Settled(), dict(asked.read)
    columns = [
        _Column(name, kind, texts.get(name), asked.wish(name), name in named, asked.words(name, kinds))
        for name, kind in kinds.items()
    ]
    looks = {
        column.name: column.look()
        for column in columns
        if column.name not in asked.known and _is_open(column, is_text=is_text)
    }
    decimal = _decimal_of(looks, columns) if is_text else ""
    for column in columns:
        if column.name in asked.known:
            known = asked.known[column.name]
            words = tuple(dict.fromkeys([*known.missing, *column.words]))
            _keep(settled, column, replace(known, missing=words))
        elif column.name in looks:
            _settle(settled, column, looks[column.name].by(decimal))
        elif column.words and column.kind:
            form = _form_of(column.kind)
            _keep(settled, column, Reading(form, missing=column.words_for(form)))
    return settled


def _is_open(column: _Column, *, is_text: bool) -> bool:
    """Return whether a column may have a reading that is to be found out."""
    if column.cells is None or column.kind is None:
        return False
    if column.is_named:
        return True
    if not is_text or column.kind not in ("category", "number"):
        return False
    if column.kind == "number":
        return _has_points(column.cells) and (column.wish.decimal == "," or _is_grouped(column.cells))
    return is_worth_a_look(_some(column.cells))


def _has_points(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring(column, ".")).as_py())


def _is_grouped(column: pa.ChunkedArray) -> bool:
    trimmed = pc.utf8_trim(column, SPACES)
    few = trimmed[:LOOKED_AT]
    return all(pc.all(pc.match_substring_regex(cells, _GROUPED)).as_py() for cells in (few, trimmed))


def _some(column: pa.ChunkedArray) -> list[str]:
    """Return cells spread over a column."""
    present = column.drop_null()
    places = np.linspace(0, len(present) - 1, min(len(present), LOOKED_AT)).astype(np.int64)
    return [text.strip(SPACES + "\r\n") for text in present.take(pa.array(places)).to_pylist()]


def _counted(column: pa.ChunkedArray, without: Iterable[str]) -> dict[str, int]:
    """Return the different texts of a column, trimmed, and how often each stands there."""
    counts = pc.value_counts(pc.utf8_trim(column.drop_null(), SPACES + "\r\n"))
    texts, numbers = counts.field(0).to_pylist(), counts.field(1).to_pylist()
    return {
        text: number for text, number in zip(texts, numbers, strict=True) if text and text not in set(without)
    }


def _decimal_of(looks: Mapping[str, Look], columns: Iterable[_Column]) -> str:
    """Return the decimal mark that the columns without doubt agree on, or nothing."""
    shown = {found.decimal for found in looks.values() if found.decimal and len(found.readings) == 1}
    for column in columns:
        if column.kind == "number" and column.name not in looks and column.cells is not None:
            points = pc.match_substring_regex(pc.utf8_trim(column.cells[:LOOKED_AT], SPACES), _WITH_POINT)
            shown |= {"."} if pc.any(points).as_py() else set()
    return shown.pop() if len(shown) == 1 else ""


def _form_of(kind: str | None) -> Form:
    forms: dict[str | None, Form] = {"number": "number", "boolean": "boolean", "datetime": "date"}
    return forms.get(kind, "text")


def _keep(settled: Settled, column: _Column, reading: Reading) -> None:
    """Read a column as is known; a cell that does not fit is a doubt."""
    if reading == Reading(_form_of(column.kind)):
        return
    if column.cells is None:
        settled.readings[column.name] = reading
        return
    plain, refused = plain_texts(column.cells, reading)
    if refused.any():
        row = int(refused.argmax())
        found = f"{column.cells[row].as_py()[:40]!r} is not read as {reading}"
        repair = f"mend it, say that it is missing (missing=...), or how it is read (read={column.name}:...)"
        settled.doubts[column.name] = UnusableColumn(
            column=column.name, row=row + 1, found=found, repair=repair
        )
        return
    settled.readings[column.name], settled.plain[column.name] = reading, plain


def _settle(settled: Settled, column: _Column, found: Look) -> None:
    """Take the reading that is certain, or note what is in doubt."""
    name, is_asked = column.name, column.is_named or bool(column.wish.decimal)
    if len(found.readings) == 2:
        if column.kind != "number" or is_asked:  # else 1.234 alone is 1.234
            settled.doubts[name] = _either(name, found)
        return
    if not found.readings:
        _settle_text(settled, column)
        return
    words = column.words_for(found.readings[0].form)
    reading = replace(found.readings[0], missing=tuple(dict.fromkeys([*words, *found.gaps])))
    if found.misfits:
        if not column.wish.others_missing or len(found.misfits) > MOST_WORDS:
            settled.doubts[name] = _dirty(column, found)
            return
        settled.warnings.append(_made_missing(column, found))
        reading = replace(reading, missing=(*reading.missing, *found.misfits))
    _keep(settled, column, reading)


def _settle_text(settled: Settled, column: _Column) -> None:
    """Leave a column as text, unless the user says that it is something else."""
    name, wish = column.name, column.wish
    if (wish.form or "text") != "text" or (wish.decimal and column.kind == "number"):
        cell = next((text for text in _some(column.cells) if text not in column.words), "")
        found = f"{cell[:40]!r} and others are not read as {wish.form or 'number'}"
        found += f" with a decimal {'comma' if wish.decimal == ',' else 'point'}" if wish.decimal else ""
        repair = f"say something else, such as read={name}:text or read={name}:decimal-point"
        settled.doubts[name] = UnusableColumn(column=name, found=found, repair=repair)
    elif column.words or wish.form:
        _keep(settled, column, Reading("text", missing=column.words_for("text")))


def way_out(name: str, cells: Iterable[object]) -> str:
    """Return what makes numbers of a column that has none, in words."""
    counts = Counter(cell.strip(SPACES) for cell in cells if isinstance(cell, str))
    found = look(counts).readings
    if found and found[0].kind == "number":
        return f"pass read={name}:{'currency' if is_currency(found[0].mark) else 'number'}"
    return (
        "name a column of numbers, or say which cells are missing (missing=...) and how the others are read "
        f"(read={name}:number)"
    )


def in_words(readings: Mapping[str, Reading]) -> list[str]:
    """Return one line for each reading, with the columns that have it."""
    columns: dict[str, list[str]] = {}
    for name, reading in readings.items():
        columns.setdefault(str(reading), []).append(name)
    lines = []
    for said, names in columns.items():
        more = f" and {len(names) - MOST_NAMES} more columns" if len(names) > MOST_NAMES else ""
        lines.append(f"{', '.join(names[:MOST_NAMES])}{more}: {said}")
    return lines


def _either(name: str, found: Look) -> UnusableColumn:
    cell, first, second = found.example()
    one, other = found.readings
    ways = [f"read={name}:{word_of(one, other)}", f"read={name}:{word_of(other, one)}"]
    meant = [f"{first} ({_said(word_of(one, other))})", f"{second} ({_said(word_of(other, one))})"]
    return UnusableColumn(
        column=name, found=f"{cell!r} may be {meant[0]} or {meant[1]}", repair=f"pass {ways[0]} or {ways[1]}"
    )


def _said(word: str) -> str:
    return {"date-dmy": "day first", "date-mdy": "month first"}.get(word, word.replace("-", " "))


def _dirty(column: _Column, found: Look) -> UnusableColumn:
    name, cells, reading = column.name, found.cells or {}, found.readings[0]
    rows, misfits = _rows(column.cells, found.misfits)
    total = sum(cells.values()) + sum(1 for each in found.misfits if each not in cells)
    is_bare = reading.form == "number" and not reading.mark
    what = "numbers" if is_bare else f"read as {reading}"
    ways = f"mend {'it' if rows == 1 else 'them'}, pass missing=..."
    if reading.kind == "number":
        ways += f", or read={name}:number, which makes {'it' if rows == 1 else 'them'} missing"
    return UnusableColumn(
        column=name,
        found=f"{max(total - rows, 0):,} cells are {what}, {rows:,} {'is' if rows == 1 else 'are'} not ({misfits})",
        repair=f"{ways}, or read={name}:text",
    )


def _made_missing(column: _Column, found: Look) -> str:
    rows, misfits = _rows(column.cells, found.misfits)
    return f"column {column.name!r}: {rows:,} cell{'s' * (rows > 1)} that are no numbers are missing now ({misfits})"


def _rows(column: pa.ChunkedArray, misfits: Iterable[str]) -> tuple[int, str]:
    """Return how many cells hold one of some texts, and the first rows and texts in words."""
    trimmed = pc.utf8_trim(column, SPACES + "\r\n")
    places = np.flatnonzero(np.asarray(pc.is_in(trimmed, pa.array(list(misfits), trimmed.type))))
    shown = places[:SHOWN]
    cells = ", ".join(repr(trimmed[int(place)].as_py()[:40]) for place in shown)
    more = ", ..." if len(places) > SHOWN else ""
    rows = ", ".join(f"{place + 1:,}" for place in shown.tolist())
    return len(places), f"row{'s' * (len(shown) > 1)} {rows}{more}: {cells}{more}"
