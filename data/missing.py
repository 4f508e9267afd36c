"""Which words of a text file mean that a value is missing: one list for every door, decided column by column.

Of numbers, dates and booleans the whole list does; of a category the list less its own categories, since
what a model learned as a value is one. A reader is told the words that no column has for a value
(`for_all`); the others are taken out of each column that has them not (`without`), mostly none.
"""

from __future__ import annotations

from typing import Any

from data.schema import MISSING_WORDS, Column, Schema


def for_all(known: frozenset[str] = frozenset()) -> list[str]:
    """Return the words that are missing in every column, where some are categories."""
    return [word for word in MISSING_WORDS if word not in known]


def without(array: Any, column: Column | None, schema: Schema) -> Any:
    """Return a text column as its reader left it, without the words that are missing in this column."""
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that a worker for JSON never needs
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    words = schema.known_words.difference(column.categories if column else ())
    if not words or not pa.types.is_string(array.type):
        return array
    return pc.if_else(pc.is_in(array, value_set=pa.array(sorted(words))), None, array)
