"""A small body never becomes a large one in memory: its size is known before it is expanded."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from data.schema import Column, Schema
from serving.errors import Malformed, TooLarge, UnusableValues
from serving.rows.decoding import from_table
from serving.rows.media import ARROW, PARQUET
from serving.rows.tabular.ipc_sizes import claimed
from serving.settings import Limits

SCHEMA = Schema((Column("x", "number"),), target="y")
DATES = Schema((Column("x", "datetime"),), target="y")


def stream(table, compression=None):
    """Return a table as an IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table, max_chunksize=1000)
    return sink.getvalue()


def parquet(table, **options):
    """Return a table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


TABLES = [
    pa.table({"x": np.arange(2500.0), "text": [f"row {row}" for row in range(2500)]}),
    pa.table({"x": pa.array([1.5, None, 3.0]), "coded": pa.array(["a", "b", "a"]).dictionary_encode()}),
    pa.table({"x": pa.array([], pa.float64())}),
]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("table", TABLES)
def test_claims_are_what_the_batches_hold(table, compression):
    """The headers are read by our own few lines: pyarrow is the independent reference."""
    claim = claimed(stream(table, compression))
    assert claim.rows == table.num_rows
    plain = claimed(stream(table)).expanded
    assert abs(claim.expanded - plain) <= 64 * table.num_columns * 4 * 3  # buffers are padded to 64 bytes
    assert claim.expanded >= table.get_total_buffer_size() // 2


def test_a_compressed_stream_is_refused_by_its_headers():
    """20 columns of a hundred thousand zeros: 16 MB out of a few kB."""
    table = pa.table({f"x{place}": np.zeros(100_000) for place in range(20)} | {"x": np.zeros(100_000)})
    body = stream(table, "zstd")
    assert len(body) < 300_000
    before = pa.total_allocated_bytes()
    with pytest.raises(TooLarge, match="expanded"):
        from_table(body, ARROW, SCHEMA, Limits(body_bytes=2**20))
    assert pa.total_allocated_bytes() - before < 2**20


def test_rows_are_counted_before_they_are_expanded():
    """The limit on rows holds for the headers' word."""
    with pytest.raises(TooLarge, match="rows"):
        from_table(stream(TABLES[0], "zstd"), ARROW, SCHEMA, Limits(rows=2499))


def test_columns_that_the_model_ignores_are_not_expanded():
    """They are counted, and that is all."""
    rows = from_table(stream(TABLES[0], "zstd"), ARROW, SCHEMA, Limits())
    assert (rows.matrix[:, 0] == np.arange(2500.0)).all()
    assert rows.extra == 1


def test_a_stream_without_any_known_column_says_which_is_lacking():
    """The request lacks it, however many others it has."""
    with pytest.raises(UnusableValues, match="no such column"):
        from_table(stream(pa.table({"z": [1.0]})), ARROW, SCHEMA, Limits())


@pytest.mark.parametrize("cut", [4, 8, 100, 300])
def test_a_broken_header_is_the_senders_mistake(cut):
    """Cut or flipped, it is refused as any unreadable body is."""
    body = stream(TABLES[0])
    with pytest.raises(Malformed):
        from_table(body[:cut], ARROW, SCHEMA, Limits())


@pytest.mark.parametrize("schema", [SCHEMA, DATES])
def test_one_long_text_in_many_rows_stays_one(schema):
    """Parquet keeps it once; written out it would be 200 MB."""
    coded = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), pa.array(["a" * 20_000]))
    body = parquet(pa.table({"x": coded}), store_schema=False)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(UnusableValues):
        from_table(body, PARQUET, schema, Limits())
    assert pa.default_memory_pool().max_memory() - before < 20 * 2**20


def test_one_long_text_that_is_to_be_read_as_views_stays_one():
    """Pyarrow wrote it into each view: 700 bytes took 400 MB."""
    views = pa.chunked_array([pa.array(["a" * 20_000], pa.string_view())] * 10_000)
    body = parquet(pa.table({"x": views}))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(UnusableValues):
        from_table(body, PARQUET, SCHEMA, Limits())
    assert pa.default_memory_pool().max_memory() - before < 20 * 2**20


def test_texts_that_are_changes_to_one_another_are_refused():
    """Nothing in the file tells how long they are."""
    table = pa.table({"x": [f"{'a' * 1000}{row}" for row in range(100)]})
    body = parquet(table, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"})
    with pytest.raises(Malformed, match="DELTA_BYTE_ARRAY"):
        from_table(body, PARQUET, SCHEMA, Limits())
