"""Whether a file that is called text is something else, by how it begins: said as that, not as broken text."""

from __future__ import annotations

import re
from typing import BinaryIO

from data.errors import UnreadableSource

_KINDS = (
    (rb"PAR1", "is a Parquet file", "let its name end in .parquet"),
    (rb"ARROW1", "is an Arrow file", "let its name end in .feather"),
    (rb"PK\x03\x04", "is a workbook or an archive in another one", "unpack it first"),
    (rb"SQLite format 3", "is an SQLite database", "pass sqlite:///PATH, and a query"),
    (rb"\xd0\xcf\x11\xe0", "is a workbook", "let its name end in .xls"),
    (rb"%PDF", "is a PDF", "export the table from where it was made"),
    (rb"\x89HDF", "is an HDF5 file", "write the table as CSV or Parquet"),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", "is a page of HTML or XML", "fetch the table itself"),
    (rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*("|\})', "is JSON", "let its name end in .json"),
)


def refuse_foreign(file: BinaryIO, where: str) -> None:
    """Raise UnreadableSource where a file does not begin as delimited text does; leave it at its start."""
    start = file.read(2**10)
    file.seek(0)
    for pattern, found, repair in _KINDS:
        if re.match(pattern, start):
            raise UnreadableSource(where=where, reason=found, repair=repair)
