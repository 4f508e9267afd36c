"""How it is found out which reading each column of a table has, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.cells.discovery.column_readings import settle_readings
    from data.cells.discovery.doubts import readings_in_words, way_to_numbers
    from data.cells.discovery.parted_texts import PartedTexts

__all__ = ["PartedTexts", "readings_in_words", "settle_readings", "way_to_numbers"]

__getattr__ = at_first_use(
    __name__,
    {
        "PartedTexts": "parted_texts",
        "readings_in_words": "doubts",
        "settle_readings": "column_readings",
        "way_to_numbers": "doubts",
    },
)
