"""How the texts of a column are read as numbers, dates, durations or booleans, and how that is found out.

Reading one cell takes the standard library alone, as the serving worker does; the rest needs pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.cells.readings import Reading
from data.faces import at_first_use

if TYPE_CHECKING:
    from data.cells.arrow_cells import plain_texts
    from data.cells.discovery import (
        PartedTexts,
        readings_in_words,
        settle_readings,
        way_to_numbers,
    )
    from data.cells.hints import HINTS
    from data.cells.options import NO_OPTIONS, ReadOptions

__all__ = [
    "HINTS",
    "NO_OPTIONS",
    "PartedTexts",
    "ReadOptions",
    "Reading",
    "plain_texts",
    "readings_in_words",
    "settle_readings",
    "way_to_numbers",
]

__getattr__ = at_first_use(
    __name__,
    {
        "HINTS": "hints",
        "NO_OPTIONS": "options",
        "ReadOptions": "options",
        "PartedTexts": "discovery",
        "plain_texts": "arrow_cells",
        "readings_in_words": "discovery",
        "settle_readings": "discovery",
        "way_to_numbers": "discovery",
    },
)
