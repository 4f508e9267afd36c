"""One meaning for each value, whatever format and however many rows it came with."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import Column, Schema
from serving.coercion import KINDS, Fault, Packer
from training.transformers import seconds

CATEGORIES = ("", "01234", "7", "NA", "UA", "é")
SCHEMA = Schema(
    (
        Column("x", "number"),
        Column("late", "boolean", missing=True),
        Column("carrier", "category", categories=CATEGORIES),
        Column("date", "datetime", missing=True),
    ),
    target="y",
)
PACKER = Packer(SCHEMA)
GOOD = {"x": 1.5, "late": True, "carrier": "UA", "date": "2013-01-01T05:15"}

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**54), 2**54),
    st.floats(),
    st.sampled_from(
        [2**53, 2**53 + 1, -(2**53) - 1, 10**400, 0, 1, 1.0, -0.0, *CATEGORIES, "2013-02-30", "2013-01-31"]
    ),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.text(), st.integers(), max_size=1),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
)
texts = st.one_of(
    st.text(max_size=4),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            " 1 ",
            "1_0",
            "٣",
            "1e3",
            ".5",
            "NA",
            "None",
            "true",
            "FALSE",
            "2013-01-01",
            "1e400",
            "inf",
            "9007199254740993",
        ]
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@given(values=st.lists(anything, min_size=1, max_size=40))
def test_a_column_packs_as_its_cells_do_one_by_one(kind: str, values: list[object]) -> None:
    """The fast paths are an optimisation: they never decide differently from `cell`."""
    packer = Packer(Schema((Column("c", kind, categories=CATEGORIES),), target="y"))  # type: ignore[arg-type]
    cells = [packer.kinds[0].cell(value) for value in values]
    packed = packer.columns({"c": values}, rows=len(values))
    assert packed.n_faults == cells.count(None)
    assert [fault.row for fault in packed.faults] == [
        row for row, cell in enumerate(cells, 1) if cell is None
    ][:20]
    expected = [math.nan if cell is None else cell for cell in cells]
    np.testing.assert_array_equal(packed.matrix[:, 0], expected)
    by_row = packer.rows([{"c": value} for value in values])
    assert by_row.n_faults == packed.n_faults
    assert by_row.missing == packed.missing
    assert by_row.unseen == packed.unseen


@pytest.mark.parametrize("kind", KINDS)
@given(values=st.lists(texts, min_size=1, max_size=40))
def test_csv_fields_pack_alike_from_lists_and_from_arrow(kind: str, values: list[str]) -> None:
    """The server reads CSV without pyarrow and the batch job with it; both must agree."""
    packer = Packer(Schema((Column("c", kind, categories=CATEGORIES),), target="y"))  # type: ignore[arg-type]
    cells = [packer.kinds[0].text(value) for value in values]
    expected = [math.nan if cell is None else cell for cell in cells]
    batch = pa.record_batch({"c": pa.array(values, pa.string())})
    for packed in (packer.texts({"c": values}, rows=len(values)), packer.arrow(batch, as_text=True)):
        assert packed.n_faults == cells.count(None)
        np.testing.assert_array_equal(packed.matrix[:, 0], expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2**53, None], pa.int64()), "number"),
        (pa.array([1, 2**53 + 1, None], pa.int64()), "number"),
        (pa.array([2**64 - 1], pa.uint64()), "number"),
        (pa.array([1.5, math.inf, math.nan, None]), "number"),
        (pa.array([0.1], pa.float32()), "number"),
        (pa.array([True, None]), "boolean"),
        (pa.array([1, 0, 2], pa.int8()), "boolean"),
        (pa.array(["UA", "XX", None, "7"]), "category"),
        (pa.array(["UA", "XX", None, "7"]).dictionary_encode(), "category"),
        (pa.array([7, 1234], pa.int32()), "category"),
        (pa.array(["UA"], pa.large_string()), "category"),
        (pa.array([None, None]), "number"),
        (pa.array(["2013-01-01T05:15Z", "2013-02-30", None]), "datetime"),
    ],
)
def test_arrow_values_mean_what_the_same_values_mean_in_json(values: pa.Array, kind: str) -> None:
    """A client may change the format without changing an answer."""
    packer = Packer(Schema((Column("c", kind, categories=CATEGORIES),), target="y"))  # type: ignore[arg-type]
    arrow = packer.arrow(pa.record_batch({"c": values}))
    listed = packer.columns({"c": values.to_pylist()}, rows=len(values))
    np.testing.assert_array_equal(arrow.matrix, listed.matrix)
    assert (arrow.faults, arrow.unseen, arrow.missing) == (listed.faults, listed.unseen, listed.missing)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(["1"]), "number"),
        (pa.array([True]), "number"),
        (pa.array([1.5]), "category"),
        (pa.array([1]), "datetime"),
    ],
)
def test_an_arrow_column_of_a_wrong_type_is_one_fault(values: pa.Array, kind: str) -> None:
    """A type says it for all rows."""
    packer = Packer(Schema((Column("c", kind),), target="y"))  # type: ignore[arg-type]
    packed = packer.arrow(pa.record_batch({"c": values}))
    assert [fault.row for fault in packed.faults] == [None]


def test_decimals_are_rounded_once() -> None:
    """Arrow's own decimal to double cast is not correctly rounded."""
    written = ["0.1", "123456789012345678.9", "-7.30"]
    batch = pa.record_batch({"c": pa.array([Decimal(text) for text in written], pa.decimal128(30, 2))})
    packed = Packer(Schema((Column("c", "number"),), target="y")).arrow(batch)
    assert packed.matrix[:, 0].tolist() == [float(text) for text in written]


dates = st.builds(
    lambda moment, form, offset: moment.strftime(form) + (offset if "H" in form else ""),
    st.datetimes(datetime(1000, 1, 1), datetime(9990, 1, 1)),
    st.sampled_from(
        ["%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"]
    ),
    st.sampled_from(["", "Z", "+02", "-0330", "+05:45"]),
)


@given(values=st.lists(st.one_of(st.none(), dates), min_size=1, max_size=40))
def test_dates_agree_with_the_pipeline_s_own_reading(values: list[str | None]) -> None:
    """The graph gets seconds where the pipeline gets text: both must mean the same instant."""
    packer = Packer(Schema((Column("c", "datetime", missing=True),), target="y"))
    expected = seconds(pd.Series(values, dtype=object)) if any(values) else [math.nan] * len(values)
    np.testing.assert_array_equal(packer.columns({"c": values}, rows=len(values)).matrix[:, 0], expected)
    cells = [math.nan if cell is None else cell for cell in map(packer.kinds[0].cell, values)]
    np.testing.assert_array_equal(cells, expected)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_arrow_timestamps_are_instants(unit: str, zone: str | None) -> None:
    """A stamp with a zone is an instant in UTC, one without is taken as it stands."""
    stamps = pa.array(
        [datetime(2013, 1, 1, 5, 15, tzinfo=UTC), None, datetime(1960, 1, 1, tzinfo=UTC)],
        pa.timestamp(unit, zone),
    )
    packed = Packer(Schema((Column("c", "datetime"),), target="y")).arrow(pa.record_batch({"c": stamps}))
    np.testing.assert_array_equal(packed.matrix[:, 0], [1357017300.0, math.nan, -315619200.0])


def test_arrow_dates_are_midnights() -> None:
    """As the text of a date is."""
    days = pa.array([datetime(2013, 1, 1).date(), None])
    for kind in (pa.date32(), pa.date64()):
        packed = Packer(Schema((Column("c", "datetime"),), target="y")).arrow(
            pa.record_batch({"c": days.cast(kind)})
        )
        np.testing.assert_array_equal(packed.matrix[:, 0], [1356998400.0, math.nan])


def test_every_fault_is_told_with_row_column_expected_and_found() -> None:
    """One answer is enough to mend a request."""
    packed = PACKER.rows(
        [GOOD, {**GOOD, "x": "1.5", "late": 2}, {"x": 2**53 + 1, "carrier": 1.5, "date": "soon"}, 5]
    )
    assert [(fault.row, fault.column, fault.found) for fault in packed.faults] == [
        (2, "x", "text '1.5'"),
        (2, "late", "2"),
        (3, "x", "9007199254740993"),
        (3, "late", "no such column in this row"),
        (3, "carrier", "1.5"),
        (3, "date", "text 'soon'"),
        *((4, name, "a row that is no object") for name in SCHEMA.names),
    ]


def test_a_missing_column_is_one_fault_however_many_rows() -> None:
    """It is the request that lacks it, not each row."""
    packed = PACKER.rows([{"x": 1.0, "late": None, "date": None}] * 100)
    assert packed.faults == [Fault(None, "carrier", "a column of text, or a whole number", "no such column")]


def test_only_the_first_faults_are_listed_and_all_are_counted() -> None:
    """An answer to 100,000 wrong rows stays small."""
    packed = PACKER.columns(
        {"x": ["a"] * 1000, "late": [None] * 1000, "carrier": ["UA"] * 1000, "date": [3] * 1000}, rows=1000
    )
    assert (len(packed.faults), packed.n_faults) == (20, 2000)
    assert [fault.row for fault in packed.faults[:4]] == [1, 1, 2, 2]


def test_unseen_missing_and_extra_are_counted() -> None:
    """They are scored, and said."""
    packed = PACKER.rows([{**GOOD, "carrier": "ZZ", "x": None, "more": 1}, GOOD])
    assert (packed.faults, packed.unseen, packed.missing, packed.extra) == ([], {"carrier": 1}, {"x": 1}, 1)


def test_lists_follow_their_names_in_any_order() -> None:
    """dataframe_split may order its columns as it likes."""
    names = [*reversed(SCHEMA.names), "more"]
    row = [*(GOOD[name] for name in reversed(SCHEMA.names)), 9]
    for count in (1, 100):
        packed = PACKER.lists(names, [row] * count)
        np.testing.assert_array_equal(packed.matrix, np.repeat(PACKER.rows([GOOD]).matrix, count, axis=0))
        assert packed.extra == 1
    with pytest.raises(ValueError, match="must have 5 values"):
        PACKER.lists(names, [row, row[:-1]])


def test_a_hundred_thousand_rows_take_no_python_per_cell() -> None:
    """Eight columns of Arrow data pack in a fraction of a second even on a busy machine."""
    rows = 100_000
    schema = Schema(
        (
            *(Column(f"x{i}", "number") for i in range(5)),
            *(Column(f"c{i}", "category", categories=CATEGORIES) for i in range(3)),
        ),
        target="y",
    )
    rng = np.random.default_rng(0)
    batch = pa.record_batch(
        {f"x{i}": pa.array(rng.normal(size=rows)) for i in range(5)}
        | {f"c{i}": pa.array(rng.choice(["UA", "7", "zz"], size=rows)) for i in range(3)}
    )
    started = time.process_time()
    packed = Packer(schema).arrow(batch)
    assert time.process_time() - started < 0.2
    assert packed.unseen.keys() == {"c0", "c1", "c2"}
