"""Rows in columns -> a CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from serving.errors import BadOutput


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
