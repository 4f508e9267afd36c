"""Parquet files that appear whole or not at all, and that the same source always writes under the same names.

Rows are written to a folder beside, flushed to the disk, and renamed once all of a source was read. The name is made
of the source's name and content: who is killed and begins again writes the same files over the same ones, so no row is
there twice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from data.own_files import sync_folder

ROWS = 32_768
"""That are gathered before they are written: the memory of a compaction."""

UNFINISHED = ".unfinished"
"""The folder of files that are not whole: readers of datasets pass over a name with a dot."""


@dataclass
class _Part:
    """The rows of one folder."""

    schema: pa.Schema
    gathered: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    file: BinaryIO | None = None
    writer: Any = None


class Segment:
    """What one source comes to: a file in each folder that its rows belong to.

    Parameters
    ----------
    root : Path
        Of the dataset.
    about : mapping
        What each file says of its source.
    """

    def __init__(self, root: Path, about: Mapping[str, Any]) -> None:
        self._root = root
        self._about = about
        self._parts: dict[tuple[str, str], _Part] = {}
        self._beside = root / UNFINISHED
        shutil.rmtree(self._beside, ignore_errors=True)  # of a process that died: who is here is alone

    def add(
        self, folder: str, table: pa.Table, mark: str = "", about: Mapping[str, Any] | None = None
    ) -> None:
        """Put rows into a folder of the dataset; files with another mark are other files."""
        part = self._parts.get((folder, mark))
        if part is None:
            said = {b"slipway": json.dumps({**self._about, **(about or {})}).encode()}
            part = self._parts[folder, mark] = _Part(table.schema.with_metadata(said))
        part.gathered.append(table)
        part.rows += len(table)
        if part.rows >= ROWS:
            self._write((folder, mark), part)

    def _write(self, key: tuple[str, str], part: _Part) -> None:
        if part.file is None:
            self._beside.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._beside / str(list(self._parts).index(key))
            part.file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            part.writer = pq.ParquetWriter(part.file, part.schema, compression="zstd")
        table = pa.concat_tables(part.gathered).replace_schema_metadata(part.schema.metadata)
        part.writer.write_table(table)
        part.gathered, part.rows = [], 0

    def finish(self, name: str) -> list[Path]:
        """Give all files their names, once they are on the disk, and return them."""
        for key, part in self._parts.items():
            self._close(key, part)
        result = [
            self._root / folder / f"{'-'.join(filter(None, (name, mark)))}.parquet"
            for folder, mark in self._parts
        ]
        for index, path in enumerate(result):
            _make_folders(path.parent, self._root)
            (self._beside / str(index)).replace(path)
        for folder in sorted({above for path in result for above in _up_to(path.parent, self._root)}):
            sync_folder(folder)
        self._beside.rmdir() if self._beside.exists() else None
        return result

    def _close(self, key: tuple[str, str], part: _Part) -> None:
        if part.gathered:
            self._write(key, part)
        if part.file is not None:
            part.writer.close()
            part.file.flush()
            os.fsync(part.file.fileno())
            part.file.close()

    def drop(self) -> None:
        """Leave nothing behind: no room, or nothing to write."""
        for part in self._parts.values():
            if part.file is not None:
                part.file.close()
        shutil.rmtree(self._beside, ignore_errors=True)


def _make_folders(folder: Path, root: Path) -> None:
    for each in reversed(_up_to(folder, root)):
        each.mkdir(mode=0o700, exist_ok=True)


def _up_to(folder: Path, root: Path) -> list[Path]:
    """Return a folder and those above it, up to the root and the one that it is in."""
    return [folder, *(above for above in folder.parents if above.is_relative_to(root)), root.parent]
