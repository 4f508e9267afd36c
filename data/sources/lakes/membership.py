"""Whether Parquet files are part of a table whose log says which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.errors import OutOfReach, UnreadableSource
from data.sources import stores
from data.sources.files import of_each
from data.sources.lakes.delta import DELTA_LOG
from data.sources.lakes.iceberg import newest_metadata
from data.sources.lakes.versions import is_folder

HUDI, HUDI_LOG = "a Hudi", ".hoodie"
"""Tables of a third kind, which nothing here reads: their files hold rows in several versions."""

_MOST_FOLDERS = 64


def refuse_files_of_tables(paths: Sequence[str]) -> None:
    """Raise UnreadableSource for Parquet files that are part of a Delta or Iceberg table: some may not count."""
    folders = {path.rpartition("/")[0] for path in paths}
    if stores.is_remote(paths[0]):
        begin = stores.FileStore.of(paths[0]).address
        folders = {folder for folder in folders if len(folders) <= _MOST_FOLDERS} | {min(folders, key=len)}
        above = {
            begin + "/".join(rest.split("/")[:depth])
            for rest in (folder.removeprefix(begin) for folder in folders)
            for depth in range(1, rest.count("/") + 2)
        }
    else:
        above = {str(each) for folder in folders for each in (Path(folder), *Path(folder).absolute().parents)}
    tables = sorted(above, key=len, reverse=True)
    for table, kind in zip(tables, of_each(_kind_of, tables), strict=True):
        if kind:
            raise UnreadableSource(
                where=table,
                reason=f"is {kind} table, in which not all files count",
                repair="export it as Parquet"
                if kind == HUDI
                else f"pass data={table}, without the names of files",
            )


def _kind_of(folder: str) -> str:
    try:
        return _kind_seen(folder)
    except OutOfReach:  # who may read a folder need not be let into those above it
        return ""


def _kind_seen(folder: str) -> str:
    if is_folder(f"{folder}/{DELTA_LOG}"):
        return "a Delta"
    if is_folder(f"{folder}/{HUDI_LOG}"):
        return HUDI
    is_iceberg = folder.rpartition("/")[2] != "metadata" and newest_metadata(folder, check=False)
    return "an Iceberg" if is_iceberg else ""
