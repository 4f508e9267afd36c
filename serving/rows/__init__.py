"""The bytes of a request -> one packed matrix, or faults; knows no protocol and no HTTP."""

from serving.rows import budget, media
from serving.rows.cells import coercion
from serving.rows.decoding import (
    Rows,
    check_table,
    from_columns,
    from_records,
    from_split,
    from_table,
    read_json,
)

__all__ = [
    "Rows",
    "budget",
    "check_table",
    "coercion",
    "from_columns",
    "from_records",
    "from_split",
    "from_table",
    "media",
    "read_json",
]
