"""A CSV or Parquet body that another process reads whole: what it takes there is known before it goes there."""

from __future__ import annotations

import datetime
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.errors import Malformed, RequestError, TooLarge
from serving.rows.budget import Held, MemoryBudget
from serving.rows.decoding import check_table
from serving.rows.media import CSV, PARQUET
from serving.settings import Limits

MEMORY = 2**27


def parquet(table: pa.Table, **options: Any) -> bytes:
    """Return a table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def coded(text: str, rows: int) -> pa.DictionaryArray:
    """Return one text in many rows."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def views(text: str, rows: int) -> pa.ChunkedArray:
    """Return the same, as views."""
    return pa.chunked_array([pa.array([text], pa.string_view())] * rows)


def held(body: bytes, kind: str, limits: Limits) -> int:
    """Return what a body holds; raises RequestError."""
    request = Held(MemoryBudget(MEMORY))
    request.run(lambda: check_table(body, kind, limits))
    return request.peak


ZEROS = pa.array(np.zeros(200_000))
DEEP = pa.array([[0.0] * 100_000] * 10)
DAYS = pa.array([datetime.date(2026, 1, 1)] * 200_000)
MONEY = pa.array([Decimal("1.25")] * 200_000, pa.decimal128(9, 2))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"x": ZEROS}, "more than 100000 rows"),
        ({f"x{place}": [1.0] for place in range(21)}, "more than 20 columns"),
        ({f"x{place}": ZEROS[:90_000] for place in range(12)}, "more than 8388608 bytes when expanded"),
        ({"x": coded("a" * 20_000, 50_000)}, "bytes of memory"),
        ({"x": views("a" * 200_000, 1_000)}, "bytes of memory"),
        ({f"x{place}": DAYS[:90_000] for place in range(20)}, "bytes of memory"),
        ({f"x{place}": MONEY[:90_000] for place in range(20)}, "bytes of memory"),
        ({"x": DEEP}, "column 'x' is of type list, which is not read from Parquet here: send JSON"),
        ({"x": pa.array([{"a": 1.0}])}, "column 'x' is of type struct"),
    ],
    ids=["rows", "columns", "pages", "text", "views", "dates", "decimals", "lists", "structs"],
)
def test_a_small_file_fills_no_other_process(table: dict[str, Any], said: str) -> None:
    """A few kB of each were megabytes to gigabytes once pandas had read them."""
    body = parquet(
        pa.table(table), compression="zstd", use_dictionary=not isinstance(table.get("x0"), pa.DoubleArray)
    )
    assert len(body) < 100_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(RequestError, match=said):
        held(body, PARQUET, Limits(rows=100_000, columns=20, body_bytes=2**23))
    assert pa.default_memory_pool().max_memory() - before < 64 * 2**20


def test_files_as_people_have_them_pass() -> None:
    """Numbers with gaps, texts, categories, dates, an index and no rows at all; more is held than pandas takes."""
    frame = pd.DataFrame(
        {
            "x": [1.5, None, 3.0] * 5_000,
            "word": ["some words", "more", None] * 5_000,
            "kind": pd.Categorical(["a", "b", "a"] * 5_000),
            "when": pd.to_datetime(["2026-01-01"] * 15_000),
        },
        index=range(7, 15_007),
    )
    whole = frame.to_parquet()
    assert held(whole, PARQUET, Limits()) > frame.memory_usage().sum()
    for body in (frame.head(0).to_parquet(), pq_of(frame, row_group_size=999)):
        assert held(body, PARQUET, Limits()) > 0
    with pytest.raises(Malformed, match="no readable"):
        held(whole[:-9], PARQUET, Limits())
    with pytest.raises(Malformed, match="more than one Parquet file"):
        held(whole + whole, PARQUET, Limits())


def pq_of(frame: pd.DataFrame, **options: Any) -> bytes:
    """Return a frame as a file, written otherwise."""
    return parquet(pa.Table.from_pandas(frame), **options)


@pytest.mark.parametrize(
    "body",
    [
        b"x\n" + b"1\n" * 10,
        b"x\r\n" + b"1\r\n\r\n" * 10,
        b"x,y\n" + b'1,"a\n\nb"\n' * 10 + b"\n\n",
        b"x,y\n" + b'5" pipe,"a\n""b"\n' * 10,
    ],
    ids=["plain", "empty lines", "breaks in quotes", "a quote that is text"],
)
def test_rows_of_csv_are_counted_before_they_are_read(body: bytes) -> None:
    """Never more than there are: a row within quotes, and an empty line, is none."""
    check_table(body, CSV, Limits(rows=10))
    with pytest.raises(TooLarge, match="more than 9 rows"):
        check_table(body, CSV, Limits(rows=9))
