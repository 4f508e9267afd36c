"""The rows of a file, by what the file is: delimited text, JSON, a workbook, Parquet or Feather."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from data.sources.formats.joined import is_joined

if TYPE_CHECKING:
    from data.sources.formats.json_rows import open_json
    from data.sources.formats.text_files import open_texts
    from data.sources.formats.typed_files import open_delta, open_typed

__all__ = ["is_joined", "open_delta", "open_json", "open_texts", "open_typed", "spreadsheets"]

__getattr__ = at_first_use(
    __name__,
    {
        "open_delta": "typed_files",
        "open_json": "json_rows",
        "open_texts": "text_files",
        "open_typed": "typed_files",
    },
)
