"""How it is found out which reading each column of a table has, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.cells.discovery.column_readings import has_points, is_grouped, settle_readings
    from data.cells.discovery.doubts import readings_in_words, way_to_numbers

__all__ = ["has_points", "is_grouped", "readings_in_words", "settle_readings", "way_to_numbers"]

__getattr__ = at_first_use(
    __name__,
    {
        "has_points": "column_readings",
        "is_grouped": "column_readings",
        "readings_in_words": "doubts",
        "settle_readings": "column_readings",
        "way_to_numbers": "doubts",
    },
)
