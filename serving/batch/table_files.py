"""Rows in columns -> a CSV or Parquet file, which appears under its name when it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from data.own_files import sync_folder
from serving.errors import BadOutput

PARTIAL = ".partial"
"""How a file ends that is written; it begins with a point, so that readers of a folder leave it out."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield where to write what appears under a name once it is whole and on the disk, and not at all otherwise."""
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"  # two machines may have processes of one number
    partial = path.with_name(f".{path.name}.{mark}{PARTIAL}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


class TableFile:
    """A CSV or Parquet file that takes the schema of its first block."""

    def __init__(self, path: Path, ending: str) -> None:
        self.path, self.ending = path, ending
        self.file: Any = None

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; raises BadOutput for what the format cannot hold."""
        try:
            self._write(batch)
        except pa.ArrowException as error:
            odd = [f.name for f in batch.schema if pa.types.is_nested(f.type) or pa.types.is_interval(f.type)]
            what = f"column {odd[0]!r}" if odd else str(error).splitlines()[0]
            reason = f"a {self.ending} file cannot hold what the input has: {what}"
            raise BadOutput(reason=reason, repair="leave it out of the input") from error

    def note(self, facts: Mapping[str, str]) -> None:
        """Write facts into the footer of a Parquet file."""
        self.file.add_key_value_metadata(facts)

    def _write(self, batch: pa.RecordBatch) -> None:
        columns = [_without_coded_views(column) for column in batch.columns]
        batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        if self.ending == ".csv":
            self._write_csv(batch)
        else:
            self.file = self.file or pa_parquet.ParquetWriter(str(self.path), batch.schema)
            self.file.write_batch(batch.cast(self.file.schema))

    def _write_csv(self, batch: pa.RecordBatch) -> None:
        """Quote a block's texts only where one of them needs it: Arrow quotes all of them or none."""
        first = self.file is None
        self.file = self.file or self.path.open("wb")
        start = self.file.tell()
        try:
            plain = pa_csv.WriteOptions(include_header=first, quoting_style="none")
            pa_csv.write_csv(batch, self.file, plain)
        except pa.ArrowInvalid:  # a text holds a comma, a quote or a line break
            self.file.seek(start)
            self.file.truncate()
            pa_csv.write_csv(batch, self.file, pa_csv.WriteOptions(include_header=first))


def _without_coded_views(column: pa.Array) -> pa.Array:
    """Return what polars has as codes of views as plain text: no file but Arrow's takes that."""
    kind = column.type
    if not (pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type)):
        return column
    return column.dictionary.cast(pa.large_string()).take(column.indices)


def check_output(path: Path, *, read: str = "") -> Path:
    """Return the path if a CSV or Parquet file can be written there, which is not the one that is `read`.

    Raises BadOutput.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise BadOutput(
            reason=f"output {path.name!r} names no format",
            repair="end it in .csv or .parquet, or in / for a folder of parts",
        )
    if not path.absolute().parent.is_dir():
        raise BadOutput(
            reason=f"there is no folder {path.parent}", repair="make it, or pass an absolute path"
        )
    if path.is_file() and Path(read).is_file() and path.samefile(read):
        raise BadOutput(reason=f"output {path.name!r} is the input", repair="name another file")
    return path
