"""CSV, Parquet and Arrow IPC bodies -> record batches, their sizes checked before they are decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc
import pyarrow.parquet as pq

from data.delimited import BOM, blank_line, line_breaks, quote_fault, quotes
from data.schema import Schema
from serving import parquet_sizes
from serving.budget import need
from serving.costs import before_csv, before_rows
from serving.errors import Malformed, TooLarge
from serving.ipc_sizes import claimed
from serving.requests import BATCH_ROWS, CSV, PARQUET
from serving.settings import Limits
from serving.table_types import refuse_types, refuse_views

COPIES = 2
"""Of what is expanded: as it was read, and as the column is compared or parsed."""

_OTHER_WIDTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


def open_batches(body: bytes, kind: str, schema: Schema, limits: Limits) -> tuple[Iterator[Any], int]:
    """Return the batches, and how many columns the model does not know."""
    if kind == CSV:
        return _csv(body, schema, limits)
    return _parquet(body, schema, limits) if kind == PARQUET else _arrow(body, schema, limits)


def _csv(body: bytes, schema: Schema, limits: Limits) -> tuple[Iterator[Any], int]:
    if not body.strip():
        raise Malformed("the CSV body is empty: send a header and at least one row")
    before_csv(body, limits)
    body = body.removeprefix(BOM)
    quoted = quotes(body)
    if quoted.bad >= 0 or quoted.is_open:
        _refuse_quote(body)
    table = _in_one_block(body, schema)
    if table.num_columns == 1 and (place := blank_line(body, quoted)) >= 0:
        raise Malformed(
            f"line {1 + line_breaks(body[:place])} is empty, and in a table of one column may be a missing value: "
            'write "" for one'
        )
    extra = _check_names(table.column_names, schema, limits)
    return iter(table.to_batches()), extra


def _refuse_quote(body: bytes) -> None:
    if fault := quote_fault(body):
        offset, reason, repair = fault
        raise Malformed(f"line {1 + line_breaks(body[:offset])}: {reason}: {repair}")


def _in_one_block(body: bytes, schema: Schema) -> Any:
    """Read what is in memory at once: a block's border could fall between a CR and its LF, or within a row."""
    try:
        return pa_csv.read_csv(
            pa.BufferReader(body),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=min(len(body) + 1, 2**31 - 1)),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                strings_can_be_null=True,
                null_values=_missing_in_text(schema),
                column_types=dict.fromkeys(schema.names, pa.string()),
            ),
        )
    except pa.ArrowInvalid as error:
        if found := _OTHER_WIDTH.search(str(error)):
            record, expected, cells = found.groups()
            raise Malformed(
                f"record {record} (the header is the first): has {cells} fields, the header has {expected}"
            ) from error
        raise


def _missing_in_text(schema: Schema) -> list[str]:
    """Return what pandas reads as missing; a word that training knows as a category stays one."""
    known = {category for column in schema.columns for category in column.categories}
    return [word for word in (*pa_csv.ConvertOptions().null_values, "None", "<NA>") if word not in known]


def _parquet(body: bytes, schema: Schema, limits: Limits) -> tuple[Iterator[Any], int]:
    # Text stays coded, whatever its column is for: one long text may stand in a million rows.
    need(parquet_sizes.footer_cost(body))
    present = pq.read_schema(pa.BufferReader(body))
    refuse_types(present, schema)
    names = set(present.names)
    coded = [field.name for field in present if pa.types.is_string(field.type) or _is_binary(field.type)]
    file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=coded)
    found = file.metadata
    _refuse_shared_prefixes(found)
    if found.num_rows > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    extra = _check_names(file.schema_arrow.names, schema, limits)
    wanted = [name for name in schema.names if name in names]
    _hold(*parquet_sizes.claimed(body, found, wanted), schema, limits)
    return file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False), extra


def _arrow(body: bytes, schema: Schema, limits: Limits) -> tuple[Iterator[Any], int]:
    fields = pa.ipc.open_stream(pa.BufferReader(body)).schema
    present = fields.names
    extra = _check_names(present, schema, limits)
    refuse_types(fields, schema)
    _hold(*claimed(body), schema, limits)
    known = [place for place, name in enumerate(present) if name in schema.names]
    wanted = pa.ipc.IpcReadOptions(included_fields=known, use_threads=False)
    # With no field wanted pyarrow takes all; the answer is the columns that are lacking.
    return _validated(pa.ipc.open_stream(pa.BufferReader(body), options=wanted), limits), extra


def _validated(reader: Any, limits: Limits) -> Iterator[Any]:
    for batch in reader:
        batch.validate(full=True)  # lengths and offsets are the sender's word until here
        need(COPIES * refuse_views(batch, limits))
        yield batch


def _hold(rows: int, expanded: int, schema: Schema, limits: Limits) -> None:
    """Hold what a table takes that claims so many rows, and bytes once expanded; raises TooLarge or Busy."""
    if rows > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    if expanded > limits.body_bytes:
        raise TooLarge(what="bytes when expanded", limit=limits.body_bytes)
    need(COPIES * expanded)
    before_rows(rows, len(schema.columns))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def _refuse_shared_prefixes(found: pq.FileMetaData) -> None:
    """Refuse an encoding whose expanded size stands nowhere: each text as a change to the one before."""
    chunks = (
        found.row_group(group).column(column)
        for group in range(found.num_row_groups)
        for column in range(found.num_columns)
    )
    if any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks):
        raise Malformed(
            "Parquet's DELTA_BYTE_ARRAY encoding is not read: write text plainly or by dictionary"
        )


def _check_names(names: Sequence[str], schema: Schema, limits: Limits) -> int:
    if len(names) > limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    if len(set(names)) != len(names):
        raise Malformed("a column is named twice")
    return sum(name not in schema.names for name in names)
