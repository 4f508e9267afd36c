"""CSV, Parquet and Arrow IPC bodies -> record batches, their sizes checked before they are decoded."""

from __future__ import annotations

import io
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.ipc
import pyarrow.parquet as pq

from data.column_names import named
from data.schema import Schema
from data.sources import is_joined
from data.text import WholeText
from serving.errors import Malformed, TooLarge
from serving.rows.budget import before_rows, need
from serving.rows.costs import before_csv
from serving.rows.media import CSV, PARQUET
from serving.rows.tabular import parquet_sizes
from serving.rows.tabular.column_types import makes_objects, refuse_types, refuse_unbounded, refuse_views
from serving.rows.tabular.ipc_sizes import FILE_MAGIC, claimed, claimed_by_file
from serving.settings import Limits

BATCH_ROWS = 65_536

TEXTS = (
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view()),
)
"""Views, too, have each text written out where a file's column is read as they are."""

OBJECT = 128
"""Bytes of one of Python's decimals or dates in a column of pandas'."""

COPIES = 2
"""Of what is expanded: as it was read, and as the column is compared or parsed."""

_OTHER_WIDTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


def open_batches(
    body: bytes, kind: str, schema: Schema, limits: Limits
) -> tuple[Iterator[Any], Sequence[str]]:
    """Return the batches, and all names that came; the batches may hold only those that the model knows."""
    if kind == CSV:
        return _csv(body, schema, limits)
    return _parquet(body, schema, limits) if kind == PARQUET else _arrow(body, schema, limits)


def _csv(body: bytes, schema: Schema, limits: Limits) -> tuple[Iterator[Any], Sequence[str]]:
    if not body.strip():
        raise Malformed("the CSV body is empty: send a header and at least one row")
    before_csv(body, limits)
    whole = WholeText(body)
    if flaw := whole.broken_quote():
        raise Malformed(flaw)
    table = _in_one_block(whole.text, schema)
    table = table.rename_columns(named(table.column_names))
    if table.num_columns == 1 and (flaw := whole.blank_line()):
        raise Malformed(flaw)
    sent = _check_names(table.column_names, limits)
    return iter(table.to_batches()), sent


def _in_one_block(body: bytes, schema: Schema) -> Any:
    """Read what is in memory at once: a block's border could fall between a CR and its LF, or within a row."""
    try:
        return pa_csv.read_csv(
            pa.BufferReader(body),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=min(len(body) + 1, 2**31 - 1)),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                strings_can_be_null=True,
                null_values=schema.missing_words,
                column_types=dict.fromkeys(schema.names, pa.string()),
            ),
        )
    except pa.ArrowInvalid as error:
        if match := _OTHER_WIDTH.search(str(error)):
            record, expected, cells = match.groups()
            raise Malformed(
                f"record {record} (the header is the first): has {cells} fields, the header has {expected}"
            ) from error
        raise


def _parquet(body: bytes, schema: Schema, limits: Limits) -> tuple[Iterator[Any], Sequence[str]]:
    need(parquet_sizes.footer_cost(body))
    present = pq.read_schema(pa.BufferReader(body))
    refuse_types(present, schema)
    metadata = _metadata(body, limits)
    sent = _check_names(present.names, limits)
    if not metadata.num_rows:  # whose columns have no pages to be looked at
        return iter(()), sent
    wanted = [name for name in schema.names if name in set(present.names)]
    _hold(*parquet_sizes.claimed(body, metadata, wanted), len(schema.columns), limits)
    return _row_groups(body, metadata, wanted), sent


def _metadata(body: bytes, limits: Limits) -> pq.FileMetaData:
    """Return what a file's footer says; raises Malformed or TooLarge."""
    metadata = pq.read_metadata(pa.BufferReader(body))
    if is_joined(io.BytesIO(body), metadata):
        raise Malformed("the body is more than one Parquet file: send one")
    _refuse_shared_prefixes(metadata)
    if metadata.num_rows > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    return metadata


def check_parquet(body: bytes, limits: Limits) -> None:
    """Hold what reading a whole file takes, as pandas does: each column, and each text at its full length.

    Raises Malformed, TooLarge or Busy.
    """
    need(parquet_sizes.footer_cost(body))
    present = pq.read_schema(pa.BufferReader(body))
    metadata = _metadata(body, limits)
    _check_names(present.names, limits)
    refuse_unbounded(present, metadata)
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    if any(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)):
        rows, expanded = parquet_sizes.claimed(body, metadata, [column.path for column in columns])
        _hold(rows, expanded, len(columns), limits)
        need(rows * OBJECT * sum(makes_objects(field.type) for field in present))
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    for batch in _row_groups(body, metadata, texts) if texts and metadata.num_rows else ():
        need(COPIES * sum(map(_full_length, batch.columns)))


def _full_length(column: Any) -> int:
    """Return the bytes of a column's texts where each stands in its row; what is not coded was counted in its page."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = pc.binary_length(column.dictionary).take(column.indices)
    return int(pc.sum(lengths, min_count=0).as_py())


def _row_groups(body: bytes, metadata: pq.FileMetaData, wanted: list[str]) -> Iterator[Any]:
    """Yield batches; text stays coded, whatever its column is for: one long text may stand in a million rows.

    Texts that each stand at their full length in the file cannot be read as codes, and need not be.
    """
    kinds = metadata.schema.to_arrow_schema()
    coded = {field.name for field in kinds if field.type in TEXTS}
    for plain, groups in itertools.groupby(
        range(metadata.num_row_groups), lambda group: _plain(metadata, group)
    ):
        reader = pq.ParquetFile(
            pa.BufferReader(body), metadata=metadata, read_dictionary=sorted(coded & set(wanted) - plain)
        )
        read = partial(reader.iter_batches, BATCH_ROWS, row_groups=list(groups), use_threads=False)
        try:
            yield from read(columns=wanted)
        except (pa.ArrowException, OSError) as error:
            raise Malformed(_unreadable(read, wanted)) from error


def _unreadable(read: Callable[..., Iterator[Any]], names: list[str]) -> str:
    for name in names:
        try:
            deque(read(columns=[name]), maxlen=0)
        except pa.ArrowInvalid as error:
            what = "holds text that is not UTF-8" if "UTF8" in str(error) else "cannot be read"
            return f"column {name!r} {what}"
        except OSError:
            return f"column {name!r} is broken"
    return "the body is no readable Parquet file"


def _plain(metadata: pq.FileMetaData, group: int) -> frozenset[str]:
    """Return the columns of a row group whose texts all stand at full length, as DuckDB writes them."""
    chunks = _chunks(metadata, group)
    lengths = [chunk for chunk in chunks if "DELTA_LENGTH_BYTE_ARRAY" in chunk.encodings]
    if any("RLE_DICTIONARY" in chunk.encodings or "PLAIN_DICTIONARY" in chunk.encodings for chunk in lengths):
        raise Malformed(
            "Parquet text that is in part coded, in part DELTA_LENGTH_BYTE_ARRAY is not read: "
            "write it plainly or by dictionary"
        )
    return frozenset(chunk.path_in_schema for chunk in lengths)


def _chunks(metadata: pq.FileMetaData, group: int) -> list[Any]:
    described = metadata.row_group(group)
    return [described.column(index) for index in range(described.num_columns)]


def _arrow(body: bytes, schema: Schema, limits: Limits) -> tuple[Iterator[Any], Sequence[str]]:
    """Read a stream, or a file (Feather), which begins with its name."""
    is_file = body.startswith(FILE_MAGIC)
    opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
    fields = opened(pa.BufferReader(body)).schema
    present = fields.names
    sent = _check_names(present, limits)
    refuse_types(fields, schema)
    claim = claimed_by_file(body) if is_file else claimed(body)
    _hold(claim.rows, claim.expanded, len(schema.columns), limits)
    if claim.schemas > 1 or claim.end < len(body):
        raise Malformed("more follows the end of the Arrow data: send one stream, or one file")
    known = [index for index, name in enumerate(present) if name in schema.names]
    wanted = pa.ipc.IpcReadOptions(included_fields=known, use_threads=False)
    # With no field wanted pyarrow takes all; the answer is the columns that are lacking.
    reader = opened(pa.BufferReader(body), options=wanted)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    return _validated(batches, limits), sent


def _validated(batches: Iterable[Any], limits: Limits) -> Iterator[Any]:
    """Yield batches whose lengths and offsets, the sender's word until here, were checked; texts are not yet."""
    for batch in batches:
        for column in batch.columns:
            if pa.types.is_dictionary(column.type):
                _as_bytes(column.dictionary).validate(full=True)
                column.indices.validate(full=True)
                _check_codes(column)
            else:
                _as_bytes(column).validate(full=True)
        need(COPIES * refuse_views(batch, limits))
        yield batch


def _hold(rows: int, expanded: int, columns: int, limits: Limits) -> None:
    """Hold what a table takes that claims so many rows, and bytes once expanded; raises TooLarge or Busy."""
    if rows > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    if expanded > limits.body_bytes:
        raise TooLarge(what="bytes when expanded", limit=limits.body_bytes)
    need(COPIES * expanded)
    before_rows(rows, columns)


def _check_codes(column: Any) -> None:
    extremes = pc.min_max(column.indices).as_py()
    if extremes["min"] is not None and not 0 <= extremes["min"] <= extremes["max"] < len(column.dictionary):
        raise Malformed("a code of an Arrow dictionary stands for nothing")


def _as_bytes(column: Any) -> Any:
    """Return text as bytes: whether they are UTF-8 is a question about each cell."""
    binary = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}.get(column.type)
    if pa.types.is_string_view(column.type):
        binary = pa.binary_view()
    return column.view(binary) if binary else column


def _refuse_shared_prefixes(metadata: pq.FileMetaData) -> None:
    """Refuse an encoding whose expanded size stands nowhere: each text as a change to the one before."""
    chunks = (chunk for group in range(metadata.num_row_groups) for chunk in _chunks(metadata, group))
    if any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks):
        raise Malformed(
            "Parquet's DELTA_BYTE_ARRAY encoding is not read: write text plainly or by dictionary"
        )


def _check_names(names: Sequence[str], limits: Limits) -> Sequence[str]:
    if len(names) > limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    if len(set(names)) != len(names):
        raise Malformed("a column is named twice")
    return names
