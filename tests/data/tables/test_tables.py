"""What a column is: found from all its values, and never at the price of one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.checks import check_table
from data.errors import UnusableColumn
from data.schema import Schema
from data.tables import Table, describe, load_kept, load_table, seconds
from tests.data.tables.given import Given
from training import transformers


def loaded(values: list[object] | pa.Array, *, is_text: bool = False) -> Table:
    """Load a table of one column."""
    return load_table(Given("given", is_text, pa.table({"c": values})))


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "2.5", "-3e4", " 7 "], "number"),
        (["1", "2.5", None], "number"),
        (["1", "2.5", "x"], "category"),
        (["01234", "10115"], "category"),
        (["0", "0.5"], "number"),
        (["9007199254740993", "1"], "category"),
        (["true", "False", None], "boolean"),
        (["2013-01-01", "2013-12-31 23:59"], "datetime"),
        (["2013-01-01T05:00:00Z", "2013-01-01T05:00:00+02:00"], "datetime"),
        (["2013-02-30", "2013-01-01"], "category"),
        ([None, None], None),
    ],
)
def test_the_kind_of_a_text_column_is_found_from_all_its_values(
    texts: list[object], kind: str | None
) -> None:
    """Postal codes and long numbers stay text: a float64 would not give them back."""
    assert loaded(pa.array(texts, pa.string()), is_text=True).kinds["c"] == kind


@pytest.mark.parametrize(
    ("array", "kind", "first"),
    [
        (pa.array([3, None], pa.int64()), "number", 3.0),
        (pa.array([2**53 + 1, 1]), "category", "9007199254740993"),
        (pa.array([True, None]), "boolean", 1.0),
        (pa.array(["1", "2"]), "category", "1"),
        (pa.array(["a", "b"]).dictionary_encode(), "category", "a"),
        (pa.array([pd.Timestamp("2013-01-01 05:00:00.25")]), "datetime", "2013-01-01T05:00:00.250000"),
        (pa.array([pd.Timestamp("2013-01-01").date()]), "datetime", "2013-01-01"),
        (pa.array([float("nan"), float("nan")]), None, None),
    ],
)
def test_typed_columns_keep_their_meaning(array: pa.Array, kind: str | None, first: object) -> None:
    """A format with types says what a column is; only exactness can overrule it."""
    table = loaded(array)
    assert table.kinds["c"] == kind
    assert table.frame["c"][0] == first


@pytest.mark.parametrize("make", [pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256])
def test_decimals_are_the_floats_that_their_digits_mean(make: Callable[[int, int], pa.DataType]) -> None:
    """Arrow's own cast made 1.5 of five digits 1.5000000000000002: another row than the server and a CSV have."""
    cells = [Decimal(number).scaleb(-5) for number in range(-300_000, 300_000, 997)]
    assert pa.array(cells).cast(pa.float64()).to_pylist() != list(map(float, cells))
    assert loaded(pa.array(cells, make(9, 5))).frame["c"].tolist() == list(map(float, cells))


NO_KIND = {
    "list": pa.array([[1, 2]]),
    "struct": pa.array([{"a": 1}]),
    "binary": pa.array([b"1"]),
    "duration": pa.array([1], pa.duration("s")),
    "text that is no UTF-8": pa.Array.from_buffers(
        pa.string(), 1, [None, *pa.array([b"\xff"]).buffers()[1:]]
    ),
}


@pytest.mark.parametrize("name", NO_KIND)
def test_columns_of_no_kind_are_in_doubt_and_stop_who_wants_them(name: str) -> None:
    """`exclude` was the advice, and excluding such a column did not help."""
    rows = pa.table(
        {"c": pa.chunked_array([NO_KIND[name]] * 60), "y": np.arange(60) % 50 / 4, "x": np.arange(60) / 4}
    )
    source = Given("given", False, rows)
    table = load_table(source)
    assert check_table(table, target="y", exclude=["c"]).features == ("x",)
    for wanted in ({"target": "y"}, {"target": "c"}, {"target": "y", "reserved": {"key": ["c"]}}):
        with pytest.raises(UnusableColumn, match=r"'c'.*: holds "):
            check_table(table, **wanted)
    assert load_kept(source, {"x": "number", "c": None}).kinds["c"] is None
    with pytest.raises(UnusableColumn, match=r"'c'.*: holds "):
        load_kept(source, {"x": "number", "c": "category"})


def test_the_schema_states_what_the_rows_hold_and_reads_back() -> None:
    """Range, quantiles and categories are those of the rows given, in the JSON form too."""
    frame = pd.DataFrame(
        {"x": [1.0, 2.0, np.nan], "c": ["b", "a", "b"], "d": ["1970-01-02", None, "1970-01-03"]}
    )
    table = Table(
        "given", frame.astype({"c": object, "d": object}), {"x": "number", "c": "category", "d": "datetime"}
    )
    schema = describe(table, ["x", "c", "d"], target="y", units={"x": "m²", "y": "EUR"})
    assert schema["x"].missing and not schema["c"].missing
    assert (schema["x"].minimum, schema["x"].maximum, schema["x"].unit) == (1.0, 2.0, "m²")
    assert schema["c"].categories == ("a", "b")
    assert schema["d"].minimum == 86_400.0
    assert Schema.from_dict(schema.as_dict()) == schema


def test_dates_mean_the_same_to_the_schema_and_to_the_shipped_transformer() -> None:
    """Two modules read dates, since one of them travels without the other."""
    texts = pd.Series(
        ["2013-01-01", None, "1900-02-28T23:59:59.999999", "2013-07-01T05:00:00+02:00"], dtype=object
    )
    np.testing.assert_array_equal(seconds(texts), transformers.seconds(texts))
