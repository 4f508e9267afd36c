"""A table whose columns have kinds, and its content as a fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.tables.arrow_kinds import texts
    from data.tables.fingerprints import fingerprint, row_digests
    from data.tables.kept_kinds import Kinds, kept_of, load_kept
    from data.tables.moments import seconds
    from data.tables.table import Table, describe, load_table

__all__ = [
    "Kinds",
    "Table",
    "describe",
    "fingerprint",
    "kept_of",
    "load_kept",
    "load_table",
    "row_digests",
    "seconds",
    "texts",
]

__getattr__ = at_first_use(
    __name__,
    {
        "Kinds": "kept_kinds",
        "Table": "table",
        "describe": "table",
        "fingerprint": "fingerprints",
        "kept_of": "kept_kinds",
        "load_kept": "kept_kinds",
        "load_table": "table",
        "row_digests": "fingerprints",
        "seconds": "moments",
        "texts": "arrow_kinds",
    },
)
