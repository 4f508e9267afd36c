"""Delimited text: its encoding, its dialect, its header and where each record ends."""

from data.text.dialects import Dialect, dialect_of
from data.text.encodings import Encoding, as_utf8, encoding_of
from data.text.foreign import refuse_foreign
from data.text.quotes import line_breaks
from data.text.records import BOM, RecordBlocks, WholeText

__all__ = [
    "BOM",
    "Dialect",
    "Encoding",
    "RecordBlocks",
    "WholeText",
    "as_utf8",
    "dialect_of",
    "encoding_of",
    "line_breaks",
    "refuse_foreign",
]
