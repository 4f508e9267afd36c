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
        self._of_no_kind: list[pa.Field] = []

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
            return
        if self.file is None:
            kinds = pa.schema([field.with_type(_with_texts(field.type)) for field in batch.schema])
            self._of_no_kind = [field for field in batch.schema if field.type != kinds.field(field.name).type]
            self.file = pa_parquet.ParquetWriter(str(self.path), kinds)
        for field in self._of_no_kind:
            self._refuse_other_kind(field, batch.schema.field(field.name).type)
        self.file.write_batch(batch.cast(self.file.schema))

    def _refuse_other_kind(self, was: pa.Field, kind: pa.DataType) -> None:
        """Raise ArrowInvalid where numbers would become the texts that a column got while it held nothing."""
        if _with_texts(kind) != self.file.schema.field(was.name).type and not pa.types.is_large_string(kind):
            raise pa.ArrowInvalid(f"column {was.name!r} is {was.type} in the first rows, and {kind} later")

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


def _with_texts(kind: pa.DataType) -> pa.DataType:
    """Return a kind of column with texts in the place of what has no kind, since nothing is in it.

    Spark reads such a column of a Parquet file as nothing else than itself, and no table of it can say that.
    """
    if pa.types.is_null(kind) or (pa.types.is_dictionary(kind) and pa.types.is_null(kind.value_type)):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_texts(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _with_texts(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        value = kind.value_field.with_type(_with_texts(kind.value_type))
        made = pa.large_list if pa.types.is_large_list(kind) else pa.list_
        return pa.list_(value, kind.list_size) if pa.types.is_fixed_size_list(kind) else made(value)
    return kind


def _without_coded_views(column: pa.Array) -> pa.Array:
    """Return what polars has as codes of views as plain text: no file but Arrow's takes that."""
    kind = column.type
    if not (pa.types.is_dictionary(kind) and pa.types.is_string_view(kind.value_type)):
        return column
    return column.dictionary.cast(pa.large_string()).take(column.indices)
