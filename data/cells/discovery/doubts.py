"""What is said of columns that are not plain: how they are read, what is in doubt, what would settle it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.cells.currencies import is_currency
from data.cells.discovery.fitting import Inference
from data.cells.discovery.inference import infer, word_of
from data.cells.readings import SPACES, Reading
from data.errors import UnusableColumn

SHOWN = 3
"""Cells that the line of a doubt names at most."""

MOST_NAMES = 8
"""Columns that the line of a reading names at most."""


def readings_in_words(readings: Mapping[str, Reading]) -> list[str]:
    """Return one line for each reading, with the columns that have it."""
    columns: dict[str, list[str]] = {}
    for name, reading in readings.items():
        columns.setdefault(str(reading), []).append(name)
    lines = []
    for words, names in columns.items():
        more = f" and {len(names) - MOST_NAMES} more columns" if len(names) > MOST_NAMES else ""
        lines.append(f"{', '.join(names[:MOST_NAMES])}{more}: {words}")
    return lines


def way_to_numbers(name: str, cells: Iterable[object]) -> str:
    """Say what makes numbers of a column that has none."""
    counts = Counter(cell.strip(SPACES) for cell in cells if isinstance(cell, str))
    readings = infer(counts).readings
    if readings and readings[0].kind == "number":
        return f"pass read={name}:{'currency' if is_currency(readings[0].mark) else 'number'}"
    return (
        "name a column of numbers, or say which cells are missing (missing=...) and how the others are read "
        f"(read={name}:number)"
    )


def either(name: str, inference: Inference) -> UnusableColumn:
    """Return the doubt about a column with two possible readings."""
    cell, first, second = inference.example()
    one, other = inference.readings
    ways = [f"read={name}:{word_of(one, other)}", f"read={name}:{word_of(other, one)}"]
    meant = [f"{first} ({_meaning(word_of(one, other))})", f"{second} ({_meaning(word_of(other, one))})"]
    return UnusableColumn(
        column=name, found=f"{cell!r} may be {meant[0]} or {meant[1]}", repair=f"pass {ways[0]} or {ways[1]}"
    )


def _meaning(word: str) -> str:
    return {"date-dmy": "day first", "date-mdy": "month first"}.get(word, word.replace("-", " "))


def dirty(name: str, column: pa.ChunkedArray, inference: Inference) -> UnusableColumn:
    """Return the doubt about a column of which not all cells fit its reading."""
    cells, reading = inference.cells or {}, inference.readings[0]
    rows, misfits = _rows(column, inference.misfits)
    total = sum(cells.values()) + sum(1 for each in inference.misfits if each not in cells)
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


def made_missing(name: str, column: pa.ChunkedArray, inference: Inference) -> str:
    """Say which cells of a column are missing because the user said so."""
    rows, misfits = _rows(column, inference.misfits)
    return f"column {name!r}: {rows:,} cell{'s' * (rows > 1)} that are no numbers are missing now ({misfits})"


def _rows(column: pa.ChunkedArray, misfits: Iterable[str]) -> tuple[int, str]:
    """Return how many cells hold one of some texts, and the first rows and texts in words."""
    trimmed = pc.utf8_trim(column, SPACES + "\r\n")
    rows = np.flatnonzero(np.asarray(pc.is_in(trimmed, pa.array(list(misfits), trimmed.type))))
    shown = rows[:SHOWN]
    cells = ", ".join(repr(trimmed[int(row)].as_py()[:40]) for row in shown)
    more = ", ..." if len(rows) > SHOWN else ""
    numbers = ", ".join(f"{row + 1:,}" for row in shown.tolist())
    return len(rows), f"row{'s' * (len(shown) > 1)} {numbers}{more}: {cells}{more}"
