"""Where rows come from: files, folders, globs and databases, as Arrow tables.

Which reader takes an address, and nothing of how it reads: a file is for `data.sources.formats`, a query for
`data.sources.databases`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from data.errors import EmptySource, UnreadableSource
from data.redaction import redact_address
from data.sources import lakes, packed, stores
from data.sources.databases import open_database
from data.sources.files import of_each, size_of
from data.sources.formats import open_delta, open_json, open_texts, open_typed, spreadsheets
from data.sources.globs import base_of, matching, partitions
from data.sources.layout import Layout
from data.sources.source import Source

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".psv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".dat": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    **dict.fromkeys(spreadsheets.ENDINGS, "csv"),
}
ELSEWHERE = {
    "http": "curl -L -O {}",
    "https": "curl -L -O {}",
    "ftp": "curl -O {}",
}
"""Places of files that are not read from here, and what fetches a file from there."""


def open_source(where: str, *, query: str = "", layout: Layout | None = None) -> Source:
    """Open a path, glob, folder or SQLAlchemy URL.

    Parameters
    ----------
    layout : Layout
        What the user says of how text files are laid out.

    Raises
    ------
    SourceNotFound, EmptySource, UnreadableSource, DuplicateColumns
        With what was looked for and where.
    """
    if where.startswith("file://") or "://" not in where or stores.is_remote(where):
        return _open_files(where.removeprefix("file://"), layout or Layout())
    scheme = where.split("://", maxsplit=1)[0].lower()
    if scheme in ELSEWHERE:
        shown = redact_address(where)
        raise UnreadableSource(
            where=shown,
            reason=f"files are not read from {scheme}://",
            repair=f"fetch it first with `{ELSEWHERE[scheme].format(shown)}`, and pass the file",
        )
    return open_database(where, query)


def _open_files(where: str, layout: Layout) -> Source:
    is_there = not stores.is_remote(where) and Path(where).exists()
    if not stores.is_remote(where) or _may_be_a_table(where):
        table = open_delta(where) or lakes.open_iceberg(where)
        if table:
            return table
    path, sheet = (where, "") if is_there else spreadsheets.split_sheet(where)
    paths = matching(path)
    _refuse_names(paths)
    if not any(of_each(size_of, paths)):
        raise EmptySource(where=where)
    kind, base = _format_of(where, paths), base_of(path)
    if kind not in ("csv", "json"):
        return open_typed(where, paths, kind, base)
    keys_by_file: Sequence[Mapping[str, pa.Scalar]] = partitions(paths, base)
    if kind == "json":
        return open_json(where, paths, layout, keys_by_file)
    return open_texts(where, paths, layout, keys_by_file, sheet=sheet)


def _refuse_names(paths: Sequence[str]) -> None:
    """Raise UnreadableSource for a name whose bytes are no UTF-8: pyarrow opens no such file."""
    for path in paths:
        shown = path.encode("utf-8", "backslashreplace").decode()
        if shown != path:
            raise UnreadableSource(where=shown, reason="its name is not UTF-8", repair="rename it")


def _may_be_a_table(where: str) -> bool:
    """Return whether it is worth a journey to a store to ask for the log of a table."""
    suffixes = [suffix.lower() for suffix in Path(where).suffixes[-2:]]
    return suffixes == [".metadata", ".json"] or not {*suffixes[-1:]} & {*FORMATS, *packed.ENDINGS}


def _format_of(where: str, paths: list[str]) -> str:
    names = [packed.plain_name(path) for path in paths]
    kinds = {FORMATS.get(Path(name).suffix.lower()) for name in names}
    if len(kinds) != 1 or None in kinds:
        endings = ", ".join(sorted({Path(name).suffix or "none" for name in names}))
        raise UnreadableSource(
            where=where,
            reason=f"its ending ({endings}) does not name one format",
            repair=f"use one of {' '.join(FORMATS)}",
        )
    return str(kinds.pop())
