"""The bytes of a request -> one packed matrix, or faults; knows no protocol and no HTTP."""

from serving.rows import budget, media
from serving.rows.cells import Texts, coercion
from serving.rows.decoding import Rows, from_columns, from_records, from_split, from_table, read_json

__all__ = [
    "Rows",
    "Texts",
    "budget",
    "coercion",
    "from_columns",
    "from_records",
    "from_split",
    "from_table",
    "media",
    "read_json",
]
