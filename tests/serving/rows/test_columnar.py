"""Parquet and Arrow as programs write them: every type by one rule at every door, and no row is lost."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from data.errors import UnreadableSource
from data.schema import Column, Schema
from data.sources import open_source
from data.tables import describe, load_table
from serving.batch import score_file
from serving.errors import BadOutput, FaultyRows, Malformed, TooLarge, UnusableValues
from serving.rows import coercion
from serving.rows.decoding import Rows, from_table
from serving.rows.media import ARROW, ARROW_FILE, CSV, PARQUET
from serving.scorer.scoring import Scorer
from serving.settings import Limits
from tests.data.tables.given import Given

FILES = Path(__file__).parent / "written_by"
KINDS = {".csv": CSV, ".parquet": PARQUET, ".arrow": ARROW_FILE, ".feather": ARROW, ".arrows": ARROW}
X = pa.table({"x": [1.0, 2.0]})
LATIN = pa.Array.from_buffers(pa.string(), 3, pa.array([b"2020-01-01", b"\xe9t\xe9", b"a"]).buffers())


def schema(kind: str, *categories: str) -> Schema:
    """One column `x` of a kind."""
    return Schema((Column("x", cast("Any", kind), missing=True, categories=categories),), target="y")


def stream(table: pa.Table) -> bytes:
    """Return an IPC stream."""
    with pa.ipc.new_stream(sink := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def arrow_file(table: pa.Table) -> bytes:
    """Return an IPC file, as Feather is."""
    with pa.ipc.new_file(sink := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    """Return a Parquet file."""
    pq.write_table(table, sink := io.BytesIO(), **options)
    return sink.getvalue()


def read(body: bytes, kind: str, known: Schema) -> Rows:
    """Read a body as the server does."""
    return from_table(body, kind, known, Limits())


@dataclass
class Stub:
    """A scorer that predicts its first column."""

    schema: Schema

    def predict(self, matrix: Any) -> Any:
        """Return it."""
        return matrix[:, 0]


def score(path: Path, known: Schema, ending: str = ".parquet") -> pd.DataFrame:
    """Score a file beside itself and return what was written."""
    output = path.with_name(f"out{ending}")
    score_file(cast("Scorer", Stub(known)), open_source(str(path)), output)
    return pd.read_parquet(output) if ending == ".parquet" else pd.read_csv(output)


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.iterdir() if path.suffix in KINDS))
def test_files_of_duckdb_and_polars_are_one_matrix_at_every_door(name: str, tmp_path: Path) -> None:
    """Trained from, scored as a file, and sent: forty rows, no gap more, no category unknown."""
    content = (FILES / name).read_bytes()
    typed = content if not name.endswith(".arrows") else arrow_file(pa.ipc.open_stream(content).read_all())
    path = tmp_path / f"rows{'.arrow' if name.endswith('.arrows') else Path(name).suffix}"
    path.write_bytes(typed)
    table = load_table(open_source(str(path)))
    known = describe(table, [column for column in table.names if table.kinds[column]], target="y")
    rows = read(content, KINDS[Path(name).suffix], known)
    assert rows.matrix.shape == (40, len(known.columns))
    assert not rows.unseen
    for column in ("n", "u8", "u64", "dec"):
        assert rows.matrix[:, known.names.index(column)].tolist() == list(range(40))
    assert int(np.isnan(rows.matrix).sum()) == 8
    assert score(path, known)["prediction"].tolist() == list(range(40))


INTEGERS = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
NUMBERS = [
    *INTEGERS,
    pa.float16(),
    pa.float32(),
    pa.float64(),
    *(make(4, 1) for make in (pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256)),
    *(make(4, 0) for make in (pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256)),
]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@pytest.mark.parametrize("coded", [False, True])
def test_numbers_of_every_type_are_the_same_numbers(kind: pa.DataType, coded: bool) -> None:
    """numpy, pandas and polars choose the narrowest; uint64 was no readable body."""
    cells = [Decimal(1), None, Decimal(100)] if pa.types.is_decimal(kind) else [1, None, 100]
    column = pa.array(cells, kind)
    if coded:
        column = pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.uint8()), column.drop_null())
    table = pa.table({"x": column})
    for body, door in ((stream(table), ARROW), (arrow_file(table), ARROW_FILE), (parquet(table), PARQUET)):
        np.testing.assert_array_equal(
            read(body, door, schema("number")).matrix[:, 0], [1, np.nan, 100], err_msg=door
        )
    trained = load_table(Given("given", False, table))
    assert trained.kinds == {"x": "number"}
    np.testing.assert_array_equal(trained.frame["x"], [1, np.nan, 100])


@pytest.mark.parametrize("cell", [2**53 + 1, 2**64 - 1])
def test_a_whole_number_that_float64_cannot_hold_is_a_fault_with_its_row(cell: int, tmp_path: Path) -> None:
    """Of unsigned kinds, too; 2^53 itself is exact."""
    table = pa.table({"x": pa.array([2**53, cell], pa.uint64())})
    for body, door in ((stream(table), ARROW), (parquet(table), PARQUET)):
        with pytest.raises(UnusableValues, match="row 1, column 'x': expected a finite number"):
            read(body, door, schema("number"))
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(FaultyRows, match="row 2"):
        score(tmp_path / "rows.parquet", schema("number"))


ODD = {
    "duration": pa.array([1, 2], pa.duration("s")),
    "binary": pa.array([b"a", b"b"]),
    "fixed": pa.array([b"a", b"b"], pa.binary(1)),
    "views of bytes": pa.array([b"a", b"b"], pa.binary_view()),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1.0])),
    "interval": pa.array([(1, 2, 3), (1, 2, 3)], pa.month_day_nano_interval()),
    "extension": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8())),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("kind", ["number", "boolean", "category", "datetime"])
def test_a_type_that_no_kind_has_is_a_fault_with_its_column(what: str, kind: str) -> None:
    """Never a traceback, nor a body that is just unreadable."""
    table = pa.table({"x": ODD[what]})
    with pytest.raises(UnusableValues, match="column 'x': expected"):
        read(stream(table), ARROW, schema(kind))
    assert "x" in load_table(Given("given", False, table)).doubts


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("captured", [False, True])
def test_text_of_every_type_is_the_same_text(type_: pa.DataType, coded: bool, captured: bool) -> None:
    """Polars writes views, and codes of views; a server that captures keeps the text that is unseen."""
    coercion.keep_texts(5 if captured else 0)
    column = pa.array(["b", None, "a", "zz"], type_)
    if coded:
        codes = pa.array([1, None, 0, 2], pa.uint32())
        column = pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b", "zz"], type_))
    table = pa.table({"x": column})
    rows = read(stream(table), ARROW, schema("category", "a", "b"))
    np.testing.assert_array_equal(rows.matrix[:, 0], [1, np.nan, 0, -1])
    assert [tuple(text) for text in rows.texts] == ([(3, "x", "zz")] if captured else [])
    assert load_table(Given("given", False, table)).frame["x"].tolist() == ["b", None, "a", "zz"]


@pytest.mark.parametrize("kind", ["category", "datetime"])
@pytest.mark.parametrize("coded", [False, True])
def test_bytes_that_are_no_utf_8_are_a_fault_with_row_and_column(
    kind: str, coded: bool, tmp_path: Path
) -> None:
    """They were an unknown category, and a traceback where a date was due."""
    known = schema(kind, "a", "2020-01-01")
    column = LATIN if kind == "category" else LATIN.slice(0, 2)
    if coded:
        column = pa.DictionaryArray.from_arrays(pa.array(range(len(column)), pa.int8()), column)
    table = pa.table({"x": column})
    for body, door in ((stream(table), ARROW), (parquet(table, store_schema=False), PARQUET)):
        with pytest.raises(
            UnusableValues, match=r"row 1, column 'x'.*found text that is not UTF-8"
        ) as caught:
            read(body, door, known)
        assert caught.value.count == 1
    (tmp_path / "rows.parquet").write_bytes(parquet(table, store_schema=False))
    with pytest.raises(FaultyRows, match=r"row 2.*text that is not UTF-8"):
        score(tmp_path / "rows.parquet", known)
    doubt = load_table(open_source(str(tmp_path / "rows.parquet"))).doubts["x"]
    assert str(doubt).startswith("column 'x', row 2: holds bytes that are not UTF-8")


def test_where_pyarrow_itself_stops_the_column_is_named(tmp_path: Path) -> None:
    """Codes that pandas' schema within the file asks for: the reader refuses them before any row is seen."""
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), LATIN)
    body = parquet(pa.table({"z": [1, 2], "x": coded}))
    with pytest.raises(Malformed, match="column 'x' holds text that is not UTF-8"):
        read(body, PARQUET, schema("category", "a"))
    (tmp_path / "rows.parquet").write_bytes(body)
    with pytest.raises(UnreadableSource, match=r"rows.parquet, column 'x': Invalid UTF8"):
        score(tmp_path / "rows.parquet", schema("category"))
    with pytest.raises(UnreadableSource, match=r"rows.parquet, column 'x': Invalid UTF8"):
        load_table(open_source(str(tmp_path / "rows.parquet")))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (stream(X) + stream(X), ARROW),
        (stream(X)[:-8] + stream(X), ARROW),
        (stream(X) + b"more", ARROW),
        (stream(X) + b"\0" * 8, ARROW),
        (arrow_file(X) + arrow_file(X), ARROW),
        (arrow_file(X) + b"more", ARROW),
        (arrow_file(X)[:-1], ARROW),
        (parquet(X) + parquet(X), PARQUET),
        (parquet(pa.table({"x": [7.0, 8.0]})) + parquet(X), PARQUET),
        (parquet(X) + b"more", PARQUET),
    ],
)
def test_what_follows_is_refused_and_not_dropped(body: bytes, kind: str) -> None:
    """Two bodies joined, as `cat` does: one was answered, or the first in place of the second."""
    with pytest.raises(Malformed):
        read(body, kind, schema("number"))


def test_a_stream_need_not_say_where_it_ends() -> None:
    """The end of the body is one, by the format."""
    assert read(stream(X)[:-8], ARROW, schema("number")).matrix[:, 0].tolist() == [1, 2]


def test_an_arrow_file_of_zeros_is_refused_by_its_headers() -> None:
    """What a batch becomes is added up before one is expanded, as in a stream."""
    table = pa.table({"x": np.zeros(1_000_000)})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink := io.BytesIO(), table.schema, options=options) as writer:
        writer.write_table(table)
    with pytest.raises(TooLarge, match="expanded"):
        from_table(sink.getvalue(), ARROW, schema("number"), Limits(body_bytes=2**20))
    with pytest.raises(TooLarge, match="rows"):
        from_table(sink.getvalue(), ARROW, schema("number"), Limits(rows=1000))


@pytest.mark.parametrize("place", range(1, 60))
def test_a_broken_footer_is_the_senders_mistake(place: int) -> None:
    """Every byte of its end turned, none leads outside the body."""
    body = bytearray(arrow_file(X))
    body[-place] ^= 0xFF
    with contextlib.suppress(Malformed, UnusableValues, TooLarge):
        read(bytes(body), ARROW, schema("number"))


def test_a_parquet_file_whose_groups_are_coded_each_in_its_way_is_read() -> None:
    """One long text in many rows stays coded; texts at full length are read as they stand."""
    plain = pa.table({"x": [f"text {row}" for row in range(10)]})
    with pq.ParquetWriter(
        sink := io.BytesIO(),
        plain.schema,
        use_dictionary=False,
        column_encoding={"x": "DELTA_LENGTH_BYTE_ARRAY"},
    ) as writer:
        writer.write_table(plain)
        writer.write_table(plain)
    rows = read(sink.getvalue(), PARQUET, schema("category", *(f"text {row}" for row in range(10))))
    assert rows.matrix[:, 0].tolist() == [*range(10), *range(10)]


def test_a_list_beside_the_rows_cannot_be_written_as_csv(tmp_path: Path) -> None:
    """One line that names the column, and no file."""
    pq.write_table(X.append_column("tags", pa.array([[1], [2]])), tmp_path / "rows.parquet")
    with pytest.raises(BadOutput, match=r"a .csv file cannot hold .*column 'tags'"):
        score(tmp_path / "rows.parquet", schema("number"), ".csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.parquet"]
    assert len(score(tmp_path / "rows.parquet", schema("number"))) == 2


def test_times_and_dates_of_every_unit_are_one_instant() -> None:
    """With a zone and without, date32 and date64."""
    day = dt.datetime(2020, 1, 2)
    columns = [
        pa.array([day], pa.timestamp(unit, zone)) for unit in ("s", "ms", "us", "ns") for zone in ("", "UTC")
    ]
    columns += [pa.array([day.date()], kind) for kind in (pa.date32(), pa.date64())]
    for column in columns:
        table = pa.table({"x": column})
        assert read(stream(table), ARROW, schema("datetime")).matrix[0, 0] == 1577923200.0
        assert read(parquet(table), PARQUET, schema("datetime")).matrix[0, 0] == 1577923200.0


@pytest.mark.parametrize("groups", [0, 1])
def test_a_parquet_file_without_rows_is_told_as_that(groups: int) -> None:
    """It was no readable Parquet: a group of no rows has no pages."""
    sink, empty = io.BytesIO(), pa.table({"x": pa.array([], pa.float64())})
    with pq.ParquetWriter(sink, empty.schema) as writer:
        for _ in range(groups):
            writer.write_table(empty)
    with pytest.raises(Malformed, match="there are no rows: send at least one"):
        from_table(sink.getvalue(), PARQUET, schema("number"), Limits())
