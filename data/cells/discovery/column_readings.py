"""Which reading each column of a table has: what was asked for, what is certain, and where there is doubt.

Has each column of text looked at (`data.cells.discovery.inference`, one by one), lets the columns of a file decide
together where one of them leaves it open, and returns their cells in plain text. A column that nobody uses may be in
doubt: the doubts are kept with the table, and whoever wants such a column is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.cells.arrow_cells import plain_texts
from data.cells.discovery.doubts import dirty, either, made_missing
from data.cells.discovery.fitting import Inference
from data.cells.discovery.inference import SAMPLE_CELLS, infer, is_worth_inferring
from data.cells.hints import Hint
from data.cells.options import ReadOptions
from data.cells.readings import SPACES, Form, Reading, number_of
from data.errors import UnusableColumn

MOST_WORDS = 100
"""The most different cells of a column that `read=column:number` makes missing."""

MANY = 3 * SAMPLE_CELLS
"""A column of more different cells is judged by some of them first."""

_IN_THREES = r"^[+-]?\d{1,3}(\.\d{3})*$"
_WITH_POINT = r"^[+-]?\d*\.(\d{1,2}|\d{4,})$"


@dataclass(frozen=True)
class ColumnReadings:
    """How the columns of a table are read, and which of them cannot be used.

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
    hint: Hint
    is_named: bool
    words: tuple[str, ...]

    def words_for(self, form: Form) -> tuple[str, ...]:
        """Return what is missing here: a number is only where numbers are, or where it stands as a word."""
        if form in ("number", "duration") or self.cells is None:
            return self.words
        trimmed = pc.utf8_trim(self.cells, SPACES + "\r\n")
        present = set(pc.unique(trimmed).to_pylist()) if any(map(number_of, self.words)) else set()
        return tuple(word for word in self.words if word in present or number_of(word) is None)

    def infer(self) -> Inference:
        """Infer from all cells; from some of very many first, for words among which nothing else stands."""
        counts = counted(self.cells, self.words)
        if len(counts) > MANY and not self.is_named:
            some = Counter(text for text in _some(self.cells) if text in counts)
            if not infer(some, self.hint).readings:
                return Inference(cells=counts)
        return infer(counts, self.hint)


def settle_readings(
    texts: Mapping[str, pa.ChunkedArray],
    kinds: Mapping[str, str | None],
    options: ReadOptions,
    *,
    is_text: bool,
) -> ColumnReadings:
    """Find the reading of each column of a table.

    Parameters
    ----------
    texts : mapping of column to text
        The columns of text.
    kinds : mapping of column to kind
        Of all columns, as they are without any reading; None where every value is missing.
    is_text : bool
        Whether the table is a text file: only there a text may be anything but text unasked.
    """
    settled, named = ColumnReadings(), dict(options.read)
    columns = [
        _Column(name, kind, texts.get(name), options.hint(name), name in named, options.words(name, kinds))
        for name, kind in kinds.items()
    ]
    inferences = {
        column.name: column.infer()
        for column in columns
        if options.known_of(column.name, column.kind) is None and _is_open(column, is_text=is_text)
    }
    decimal = _decimal_of(inferences, columns, options.known.values()) if is_text else ""
    for column in columns:
        if (known := options.known_of(column.name, column.kind)) is not None:
            words = tuple(dict.fromkeys([*known.missing, *column.words]))
            _keep(settled, column, replace(known, missing=words))
        elif column.name in inferences:
            _settle(settled, column, inferences[column.name].by(decimal))
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
        return has_points(column.cells) and (column.hint.decimal == "," or is_grouped(column.cells))
    return is_worth_inferring(_some(column.cells))


def has_points(column: pa.ChunkedArray) -> bool:
    """Return whether any cell has a point."""
    return bool(pc.any(pc.match_substring(column, ".")).as_py())


def is_grouped(column: pa.ChunkedArray) -> bool:
    """Return whether points may part the thousands of each cell."""
    trimmed = pc.utf8_trim(column, SPACES)
    few = trimmed[:SAMPLE_CELLS]
    return all(pc.all(pc.match_substring_regex(cells, _IN_THREES)).as_py() for cells in (few, trimmed))


def _some(column: pa.ChunkedArray) -> list[str]:
    """Return cells spread over a column."""
    present = column.drop_null()
    rows = np.linspace(0, len(present) - 1, min(len(present), SAMPLE_CELLS)).astype(np.int64)
    return [text.strip(SPACES + "\r\n") for text in present.take(pa.array(rows)).to_pylist()]


def counted(column: pa.ChunkedArray, without: Iterable[str]) -> dict[str, int]:
    """Return the different texts of a column, trimmed, and how often each stands there."""
    counts = pc.value_counts(pc.utf8_trim(column.drop_null(), SPACES + "\r\n"))
    texts, numbers = counts.field(0).to_pylist(), counts.field(1).to_pylist()
    return {
        text: number for text, number in zip(texts, numbers, strict=True) if text and text not in set(without)
    }


def _decimal_of(
    inferences: Mapping[str, Inference], columns: Iterable[_Column], known: Iterable[Reading]
) -> str:
    """Return the decimal mark that the columns without doubt agree on, or nothing; known ones show theirs, too."""
    shown = {each.decimal for each in inferences.values() if each.decimal and len(each.readings) == 1}
    shown |= {each.decimal for each in known if "," in (each.decimal, each.thousands)}
    for column in columns:
        if column.kind == "number" and column.name not in inferences and column.cells is not None:
            points = pc.match_substring_regex(pc.utf8_trim(column.cells[:SAMPLE_CELLS], SPACES), _WITH_POINT)
            shown |= {"."} if pc.any(points).as_py() else set()
    return shown.pop() if len(shown) == 1 else ""


def _form_of(kind: str | None) -> Form:
    forms: dict[str | None, Form] = {"number": "number", "boolean": "boolean", "datetime": "date"}
    return forms.get(kind, "text")


def _keep(settled: ColumnReadings, column: _Column, reading: Reading) -> None:
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


def _settle(settled: ColumnReadings, column: _Column, inference: Inference) -> None:
    """Take the reading that is certain, or note what is in doubt."""
    name, is_hinted = column.name, column.is_named or bool(column.hint.decimal)
    if len(inference.readings) == 2:
        if column.kind != "number" or is_hinted:  # else 1.234 alone is 1.234
            settled.doubts[name] = either(name, inference)
        return
    if not inference.readings:
        _settle_text(settled, column)
        return
    words = column.words_for(inference.readings[0].form)
    reading = replace(inference.readings[0], missing=tuple(dict.fromkeys([*words, *inference.gaps])))
    if inference.misfits:
        if not column.hint.others_missing or len(inference.misfits) > MOST_WORDS:
            settled.doubts[name] = dirty(name, column.cells, inference)
            return
        settled.warnings.append(made_missing(name, column.cells, inference))
        reading = replace(reading, missing=(*reading.missing, *inference.misfits))
    _keep(settled, column, reading)


def _settle_text(settled: ColumnReadings, column: _Column) -> None:
    """Leave a column as text, unless the user says that it is something else."""
    name, hint = column.name, column.hint
    if (hint.form or "text") != "text" or (hint.decimal and column.kind == "number"):
        cell = next((text for text in _some(column.cells) if text not in column.words), "")
        found = f"{cell[:40]!r} and others are not read as {hint.form or 'number'}"
        found += f" with a decimal {'comma' if hint.decimal == ',' else 'point'}" if hint.decimal else ""
        repair = f"say something else, such as read={name}:text or read={name}:decimal-point"
        settled.doubts[name] = UnusableColumn(column=name, found=found, repair=repair)
    elif column.words or hint.form:
        _keep(settled, column, Reading("text", missing=column.words_for("text")))
