"""Iceberg tables: the rows of a snapshot, by the metadata in the table's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.column_names import named
from data.errors import UnreadableSource
from data.sources import remote, stores
from data.sources.lakes.versions import by_library, is_folder, lacks, split_version
from data.sources.source import BATCH_ROWS, Part, Source, refuse_duplicates

METADATA = (".metadata.json", ".metadata.json.gz")
_NUMBER = re.compile(r"v?(\d+)")


@dataclass(frozen=True)
class IcebergSource(Source):
    """The rows of one snapshot of an Iceberg table, None for the newest with the columns that it has now."""

    metadata: str = ""
    snapshot: int | None = None

    @property
    def version(self) -> str:
        """The address of this snapshot."""
        return self.where

    def about_rows(self) -> int:
        """Return how many rows the snapshot says it has."""
        said = self._scan().snapshot().summary
        return int((said and said.additional_properties.get("total-records")) or 0)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows file by file, without those that were deleted; raises UnreadableSource."""
        with by_library(self.where, "Iceberg"):
            for batch in self._scan().to_arrow_batch_reader():
                whole = batch.rename_columns(named(batch.schema.names))
                yield from (whole.slice(start, rows) for start in range(0, whole.num_rows, rows))

    def parts(self) -> Sequence[Part]:
        """Return one part: a snapshot never changes, so that its name tells it from others."""
        return [Part(self, self.where, self.where)]

    def _scan(self) -> Any:
        return _static(self.metadata).scan(snapshot_id=self.snapshot)


def open_iceberg(where: str) -> Source | None:
    """Return a snapshot of an Iceberg table, None where there is no such table; raises UnreadableSource."""
    table, version = split_version(where)
    metadata = table if table.endswith(METADATA) else newest_metadata(table)
    if not metadata:
        return None
    try:
        with by_library(where, "Iceberg"):
            read = _static(metadata)
            found = read.current_snapshot() if version is None else read.snapshot_by_id(version)
    except ImportError as error:
        raise lacks(where, "an Iceberg table", "pyiceberg", "iceberg") from error
    if found is None:
        known = ", ".join(str(each.snapshot_id) for each in read.snapshots()[-3:])
        raise UnreadableSource(
            where=table,
            reason="has no rows yet" if version is None else f"has no snapshot {version}",
            repair=f"its last ones are {known}" if known else "write some first",
        )
    refuse_duplicates(where, [field.name for field in read.schema().fields])
    if version is None and found.schema_id not in (None, read.metadata.current_schema_id):
        return IcebergSource(
            metadata, metadata=metadata
        )  # columns were renamed or dropped since its last rows
    return IcebergSource(f"{table}@{found.snapshot_id}", metadata=metadata, snapshot=found.snapshot_id)


def newest_metadata(table: str, *, check: bool = True) -> str:
    """Return the newest file of an Iceberg table's metadata, "" for none; raises UnreadableSource for two of them."""
    folder = f"{table}/metadata"
    if not is_folder(folder):
        return ""
    files = remote.listed(folder) if stores.is_remote(folder) else map(str, Path(folder).iterdir())
    numbers = {
        path: int(number[1]) if (number := _NUMBER.match(path.rpartition("/")[2])) else -1
        for path in files
        if path.endswith(METADATA)
    }
    newest = [path for path, number in numbers.items() if number == max(numbers.values())]
    if check and len(newest) > 1:
        raise UnreadableSource(
            where=table,
            reason=f"has {len(newest)} files of metadata numbered {max(numbers.values())}",
            repair=f"pass the one that the catalog names, as in data={newest[0]}",
        )
    return newest[0] if newest else ""


def _static(metadata: str) -> Any:
    from pyiceberg.table import StaticTable  # noqa: PLC0415 - an extra, for Iceberg tables only

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
    said = {"s3.endpoint": stores.s3_endpoint(), "s3.region": region}
    where = metadata if stores.is_remote(metadata) else str(Path(metadata).absolute())
    return StaticTable.from_metadata(where, {name: value for name, value in said.items() if value})
