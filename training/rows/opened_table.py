"""A command's table, opened as it was asked for, and told how it is read where that is not plain.

What the run of a version recorded stands in for what is not said again: its rows have no header next time either. An
encoding is kept for the same table only, since another may be in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, cast

from data.sources import Header, Layout, Source, open_source
from training.errors import UsageError


class ReadsTable(Protocol):
    """What each command that reads a table is asked."""

    @property
    def data(self) -> str:
        """The address, "" for the recorded one."""

    @property
    def query(self) -> str:
        """The question to a database."""

    @property
    def header(self) -> Header | Literal[""]:
        """Whether text files have one, "" where nothing was said."""

    @property
    def encoding(self) -> str:
        """The encoding of text files."""


def open_table(
    asked: ReadsTable,
    say: Callable[[str, str], None],
    recorded: Mapping[str, str] | None = None,
) -> Source:
    """Open a table, and say how it is read; raises SourceError, DuplicateColumns or UsageError.

    Parameters
    ----------
    recorded : dict of str
        The parameters of the version's run, where there is one.
    """
    known = recorded or {}
    where, query = asked.data or known.get("data", ""), asked.query or known.get("query", "")
    source = open_source(where, query=query, layout=_layout(asked, known, where))
    if asked.header not in ("", "auto") and not source.is_text:
        raise UsageError(
            message=f"header={asked.header} goes with delimited text: {source.where} says its columns' names itself"
        )
    for note in source.notes:
        say("read", note)
    return source


def _layout(asked: ReadsTable, known: Mapping[str, str], where: str) -> Layout:
    encoding = known.get("encoding", "") if where == known.get("data") else ""
    return Layout(header_of(asked, known), asked.encoding or encoding)


def header_of(asked: ReadsTable, recorded: Mapping[str, str]) -> Header:
    """Return whether text files have a header: as is said, else as the last time."""
    return cast("Header", asked.header or recorded.get("header") or "auto")
