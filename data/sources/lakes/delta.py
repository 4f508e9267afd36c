"""Delta tables: which of the files in a folder count, by the log beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.dataset as pa_dataset
import pyarrow.fs as pa_fs

from data.errors import UnreadableSource
from data.sources import stores
from data.sources.lakes.versions import by_library, is_folder, lacks, split_version
from data.sources.source import refuse_duplicates

DELTA_LOG, MAPPING = "_delta_log", "delta.columnMapping.mode"


@dataclass(frozen=True)
class DeltaFiles:
    """The files that count in one version of a Delta table.

    Attributes
    ----------
    where : str
        The table and its version.
    folder : str
        What the files' paths are below.
    """

    where: str
    folder: str
    dataset: pa_dataset.Dataset


def delta_files(where: str) -> DeltaFiles | None:
    """Return what counts in a Delta table, None where there is none; raises UnreadableSource."""
    table, version = split_version(where)
    if not is_folder(f"{table}/{DELTA_LOG}"):
        return None
    deltalake, folder, options = delta_library(table)
    with by_library(where, "Delta"):
        read = deltalake.DeltaTable(folder, storage_options=options)
        newest = read.version()
        if version is not None and version > newest:
            raise UnreadableSource(
                where=table, reason=f"has no version {version}", repair=f"its newest is {table}@{newest}"
            )
        read.load_as_version(newest if version is None else version)
        if read.metadata().configuration.get(MAPPING, "none") != "none":
            raise UnreadableSource(
                where=f"{table}@{read.version()}",
                reason="has column mapping: its files call columns otherwise than the table does",
                repair="write its rows as a table without",
            )
        dataset = read.to_pyarrow_dataset(filesystem=_below(folder))
    refuse_duplicates(where, dataset.schema.names)
    fragments = sorted(dataset.get_fragments(), key=lambda each: each.path)
    ordered = pa_dataset.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)
    return DeltaFiles(f"{table}@{read.version()}", folder, ordered)


def delta_library(table: str) -> tuple[Any, str, dict[str, str] | None]:
    """Return deltalake, and where and with which options it finds a table's folder; raises UnreadableSource."""
    try:
        import deltalake  # noqa: PLC0415 - an extra, for Delta tables only
    except ImportError as error:
        raise lacks(table, "a Delta table", "deltalake", "delta") from error
    folder = table if stores.is_remote(table) else str(Path(table).absolute())
    if unquote(folder) != folder or "\\" in folder or (stores.is_remote(table) and _is_cut(table)):
        raise UnreadableSource(
            where=table,
            reason="deltalake takes its name for another one, as of %20 or, in a store, #",
            repair="rename the folder",
        )
    return deltalake, folder, _as_pyarrow_asks(folder)


def _is_cut(address: str) -> bool:
    """Return whether less is left of an address where it is read as one of the web."""
    return "#" in address or address != address.strip() or not {".", ".."}.isdisjoint(address.split("/"))


def _below(folder: str) -> pa_fs.FileSystem:
    if not stores.is_remote(folder):
        return pa_fs.SubTreeFileSystem(folder, pa_fs.LocalFileSystem())
    store = stores.FileStore.of(folder)
    return pa_fs.SubTreeFileSystem(store.path(folder), store.files)


def _as_pyarrow_asks(folder: str) -> dict[str, str] | None:
    """Return what deltalake has to be told to find keys where pyarrow does: beside an endpoint it asks no profile."""
    endpoint = stores.s3_endpoint()
    if not folder.lower().startswith("s3://") or not endpoint:
        return None
    options = {"AWS_ENDPOINT_URL": endpoint}
    if endpoint.startswith("http://"):
        options["AWS_ALLOW_HTTP"] = "true"
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        options["AWS_FORCE_CREDENTIAL_LOAD"] = "true"
    return options
