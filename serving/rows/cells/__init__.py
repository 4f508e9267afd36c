"""One value, or a column of them, as it was sent -> floats, or the cells that cannot be used."""

from serving.rows.cells.coercion import (
    EXPECTED,
    MOST_FAULTS,
    Packed,
    Texts,
    UnseenText,
    pack_arrow,
    pack_columns,
    pack_row,
)

__all__ = [
    "EXPECTED",
    "MOST_FAULTS",
    "Packed",
    "Texts",
    "UnseenText",
    "coercion",
    "near_misses",
    "pack_arrow",
    "pack_columns",
    "pack_row",
]
