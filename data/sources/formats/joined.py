"""Whether one Parquet file stands behind another, as `cat` joins them.

The last footer counts from the last file's start, so that a reader finds the first one's rows in place of
the last one's, and loses as many. Between the last column and the footer stand indexes, and no other file.
"""

from __future__ import annotations

from typing import Any, BinaryIO

MAGIC = b"PAR1"


def is_joined(file: BinaryIO, described: Any) -> bool:
    """Return whether another file's end stands between the last row group and the footer of an open file."""
    if not described.num_row_groups:
        return False
    file.seek(-8, 2)
    footer = file.tell() - int.from_bytes(file.read(4), "little")
    group = described.row_group(described.num_row_groups - 1)
    chunks = [group.column(index) for index in range(group.num_columns)]
    ends = [
        (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size
        for chunk in chunks
    ]
    file.seek(max(ends, default=len(MAGIC)))
    return MAGIC in file.read(max(footer - file.tell(), 0))
