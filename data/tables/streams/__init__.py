"""A table that memory does not hold: what its columns are, its rows a batch at a time, and what all of them say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.tables.streams import filed
    from data.tables.streams.column_facts import MOST_TEXTS, ColumnFacts
    from data.tables.streams.digests import Digests
    from data.tables.streams.form import Form, form_of
    from data.tables.streams.sizes import bytes_in_memory, free_memory
    from data.tables.streams.smallest import Smallest

__all__ = [
    "MOST_TEXTS",
    "ColumnFacts",
    "Digests",
    "Form",
    "Smallest",
    "bytes_in_memory",
    "filed",
    "form_of",
    "free_memory",
]

__getattr__ = at_first_use(
    __name__,
    {
        "ColumnFacts": "column_facts",
        "MOST_TEXTS": "column_facts",
        "Digests": "digests",
        "Form": "form",
        "Smallest": "smallest",
        "bytes_in_memory": "sizes",
        "form_of": "form",
        "free_memory": "sizes",
    },
)
