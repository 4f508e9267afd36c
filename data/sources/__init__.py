"""Where rows come from: files of many formats, workbooks and databases, as batches of Arrow rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from data.sources.formats import is_joined
from data.sources.layout import HEADERS, Header, Layout

if TYPE_CHECKING:
    from data.sources.opening import open_source
    from data.sources.remote import opened
    from data.sources.source import Part, Source
    from data.sources.stores import asked_of, is_remote

__all__ = [
    "HEADERS",
    "Header",
    "Layout",
    "Part",
    "Source",
    "asked_of",
    "is_joined",
    "is_remote",
    "open_source",
    "opened",
]

__getattr__ = at_first_use(
    __name__,
    {
        "Part": "source",
        "Source": "source",
        "asked_of": "stores",
        "is_remote": "stores",
        "open_source": "opening",
        "opened": "remote",
    },
)
