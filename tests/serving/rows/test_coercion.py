"""The one coercion routine: the same values are taken and refused in every format."""

import io
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.schema import UNSEEN, Column, Kind, Schema
from serving.rows.cells.coercion import pack_arrow, pack_columns, pack_row
from training.transformers import seconds


def one(kind: Kind) -> Schema:
    """Return a schema of one column."""
    return Schema((Column("c", kind, categories=("a", "b") if kind == "category" else ()),), target="y")


def from_json(kind, *values):
    """Pack JSON values."""
    return pack_columns({"c": list(values)}, one(kind))


def from_arrow(kind, array, *, is_text=False):
    """Pack an Arrow array."""
    return pack_arrow(pa.record_batch({"c": array}), one(kind), is_text=is_text)


def same(left, right):
    """Say whether floats are equal, NaN being equal to NaN."""
    return np.array_equal(left, right, equal_nan=True)


@pytest.mark.parametrize("value", [2**53, -(2**53), 0, 3])
def test_whole_numbers_that_float64_holds_are_taken_in_every_format(value):
    """±2^53 is the last that is unambiguous."""
    packed = [from_json("number", value), from_arrow("number", pa.array([value], pa.int64()))]
    packed.append(from_arrow("number", pa.array([str(value)]), is_text=True))
    packed.append(from_arrow("number", pa.array([Decimal(value)], pa.decimal128(20, 0))))
    assert all(p.matrix[0, 0] == value and not p.n_faults for p in packed)


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**62])
def test_whole_numbers_that_float64_would_change_are_refused_in_every_format(value):
    """2^53 + 1 rounds to 2^53, so a comparison after the cast would miss it."""
    packed = [from_json("number", value), from_arrow("number", pa.array([value], pa.int64()))]
    packed.append(from_arrow("number", pa.array([str(value)]), is_text=True))
    packed.append(from_arrow("number", pa.array([Decimal(value)], pa.decimal128(20, 0))))
    assert [p.n_faults for p in packed] == [1, 1, 1, 1]


@pytest.mark.parametrize("value", ["1.5", True, [1], {"a": 1}, float("inf"), 10**400])
def test_what_is_no_number_is_refused_with_its_place(value):
    """Text, truth values and containers are never turned into numbers."""
    packed = from_json("number", 1.0, value)
    assert packed.n_faults == 1
    assert packed.faults[0].row == 1
    assert packed.faults[0].column == "c"


@pytest.mark.parametrize(
    "array", [pa.array([True]), pa.array(["1"]), pa.array([date(2020, 1, 1)]), pa.array([[1]])]
)
def test_arrow_types_that_are_no_numbers_are_refused(array):
    """MLflow's Parquet path refuses a boolean for a double as well; its JSON path does not."""
    assert from_arrow("number", array).n_faults == 1


def test_a_boolean_takes_true_one_and_their_text_in_csv():
    """Stock MLflow's signature has a double here, so its clients send 1.0."""
    assert same(from_json("boolean", True, 0, 1.0, None).matrix[:, 0], [1, 0, 1, np.nan])
    assert same(from_arrow("boolean", pa.array([True, None])).matrix[:, 0], [1, np.nan])
    texts = pa.array(["true", "False", "1", "0.0", None])
    assert same(from_arrow("boolean", texts, is_text=True).matrix[:, 0], [1, 0, 1, 0, np.nan])
    assert from_json("boolean", 2, "true").n_faults == 2
    assert from_arrow("boolean", pa.array([2])).n_faults == 1


def test_categories_are_coded_counted_when_unseen_and_never_numbers():
    """An unseen category is a fact for the caller; a number for a category is a mistake."""
    for packed in (
        from_json("category", "b", "z", None),
        from_arrow("category", pa.array(["b", "z", None])),
        from_arrow("category", pa.array(["b", "z", None]).dictionary_encode()),
    ):
        assert same(packed.matrix[:, 0], [1.0, UNSEEN, np.nan])
        assert packed.unseen == {"c": 1}
        assert packed.missing == {"c": 1}
    assert from_json("category", 5).n_faults == 1
    assert from_arrow("category", pa.array([5])).n_faults == 1


def test_columns_of_nulls_are_gaps():
    """A whole column of null has Arrow's null type."""
    assert same(from_arrow("number", pa.nulls(2)).matrix[:, 0], [np.nan, np.nan])


def test_an_absent_column_is_one_fault():
    """However many rows there are."""
    packed = pack_columns({"d": [1, 2]}, one("number"))
    assert (packed.n_faults, packed.faults[0].row) == (1, None)


moments = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
offsets = st.sampled_from(["", "Z", "+02", "-0330", "+05:45"])


@settings(max_examples=60)
@given(st.lists(st.tuples(moments, offsets, st.sampled_from(["T", " "])), min_size=1, max_size=5))
def test_dates_are_the_instants_that_training_saw(parts):
    """Pandas reads the text in training; neither path here does, and all three must agree."""
    texts = [moment.isoformat(sep) + zone for moment, zone, sep in parts]
    expected = seconds(pd.Series(texts, dtype=object))
    assert same(from_json("datetime", *texts).matrix[:, 0], expected)
    assert same(from_arrow("datetime", pa.array(texts)).matrix[:, 0], expected)


@pytest.mark.parametrize(
    "text", ["2020-01-02T03:04:05.123456789", "1969-12-31T23:59:59.123456789", "2020-01-02"]
)
def test_more_digits_than_microseconds_are_cut_as_in_training(text):
    """Below zero cutting digits and rounding towards zero differ."""
    expected = seconds(pd.Series([text], dtype=object))
    assert same(from_json("datetime", text).matrix[:, 0], expected)
    assert same(from_arrow("datetime", pa.array([text])).matrix[:, 0], expected)


@pytest.mark.parametrize(
    "text", ["now", "2020-02-30", "2020", "20200102", "", "2020-01-02T25:00", "0000-01-01"]
)
def test_text_that_is_no_date_is_refused(text):
    """Pandas takes "now" for the current time."""
    assert from_json("datetime", "2020-01-01", text).n_faults == 1
    assert from_arrow("datetime", pa.array(["2020-01-01", text])).n_faults == 1


def test_arrow_timestamps_of_every_unit_are_the_same_instant():
    """A nanosecond before 1970 lies in the microsecond before it."""
    moment = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    for unit in ("s", "ms", "us", "ns"):
        assert from_arrow("datetime", pa.array([moment], pa.timestamp(unit, "UTC"))).matrix[0, 0] == -1.0
    assert from_arrow("datetime", pa.array([-1], pa.timestamp("ns"))).matrix[0, 0] == -1e-6
    assert from_arrow("datetime", pa.array([date(1970, 1, 2)])).matrix[0, 0] == 86400.0
    assert from_arrow("datetime", pa.array([2**62], pa.timestamp("s"))).n_faults == 1


json_cells = st.none() | st.floats(allow_infinity=False, allow_nan=False) | st.integers(-(2**60), 2**60)


@settings(max_examples=100)
@given(st.lists(json_cells, min_size=1, max_size=6))
def test_numbers_agree_in_json_and_csv(values):
    """repr() of a float is read back exactly, so the same request in CSV gives the same matrix."""
    written = io.BytesIO(("c\n" + "\n".join("NA" if v is None else repr(v) for v in values) + "\n").encode())
    options = pa_csv.ConvertOptions(strings_can_be_null=True, column_types={"c": pa.string()})
    left, right = (
        from_json("number", *values),
        pack_arrow(pa_csv.read_csv(written, convert_options=options), one("number"), is_text=True),
    )
    assert left.n_faults == right.n_faults
    if not left.n_faults:
        assert same(left.matrix, right.matrix)


@settings(max_examples=100)
@given(
    st.sampled_from(["number", "boolean", "category", "datetime"]),
    json_cells | st.text(max_size=3) | st.booleans(),
)
def test_one_row_is_packed_as_many_are(kind, value):
    """The short path for one row must not have an opinion of its own."""
    single, many = pack_row({"c": value}, one(kind)), from_json(kind, value)
    assert same(single.matrix, many.matrix)
    assert (single.n_faults, single.unseen, single.missing) == (many.n_faults, many.unseen, many.missing)


def test_a_batch_is_packed_without_a_loop_over_its_cells():
    """A hundred times the rows take the same lines of Python: a loop would take a hundred times as many."""
    columns = [Column(f"n{i}", "number") for i in range(5)] + [
        Column(f"k{i}", "category", categories=("a", "b")) for i in range(3)
    ]
    schema = Schema(tuple(columns), target="y")

    def lines(rows: int) -> int:
        numbers, texts = np.arange(float(rows)), pa.array(["a", "b"] * (rows // 2))
        batch = pa.record_batch({c.name: numbers if c.kind == "number" else texts for c in columns})
        return lines_of(lambda: pack_arrow(batch, schema))

    assert lines(100_000) < 1.1 * lines(1_000)


def lines_of(call):
    """Return how many lines of Python a call runs through."""
    count = 0

    def trace(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def test_a_loop_takes_more_lines_the_more_it_goes_through():
    """Else the test above would hold whatever is counted."""
    assert lines_of(lambda: [str(cell) for cell in range(1_000)]) > 500
