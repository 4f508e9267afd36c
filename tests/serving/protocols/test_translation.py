"""Tensors as MLflow's requests and back: values keep their datatype, and lies are refused before MLflow sees them."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from serving.errors import Malformed, TooLarge
from serving.protocols import Call, http_protocols
from serving.protocols.open_inference.tensors import NamedTensor
from serving.protocols.translation import describe, from_simple, from_tensors, to_simple, to_tensors
from serving.rows.budget import Held, MemoryBudget
from serving.settings import Limits

COLUMNS = [{"name": "a", "type": "double"}, {"name": "b", "type": "string"}]
IMAGE = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2, 2]}}]


def asked(tensors: list[NamedTensor], inputs: list[dict]) -> dict:
    """MLflow's request, parsed."""
    return json.loads(from_tensors(tensors, inputs))


def test_columns_become_a_table_in_their_datatypes() -> None:
    """1 in an FP64 tensor is a double, or MLflow's signature refuses it; null stays missing."""
    tensors = [NamedTensor("a", "FP64", [2], [1, None]), NamedTensor("b", "BYTES", [2, 1], ["x", None])]
    assert from_tensors(tensors, COLUMNS) == (
        b'{"dataframe_split":{"columns":["a","b"],"data":[[1.0,"x"],[null,null]]}}'
    )


def test_one_tensor_of_all_columns_becomes_a_table() -> None:
    """In the signature's order."""
    numbers = [{"name": name, "type": "double"} for name in "ab"]
    packed = NamedTensor("input-0", "FP32", [2, 2], np.array([1, 2, 3, 4], dtype=np.float32))
    assert asked([packed], numbers) == {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}}


def test_arrays_keep_their_shape() -> None:
    """Two images of two by two, under a signature of tensors and without any."""
    image = NamedTensor("image", "FP64", [2, 2, 2], list(range(8)))
    expected = np.arange(8.0).reshape(2, 2, 2).tolist()
    assert asked([image], IMAGE) == asked([image], []) == {"inputs": expected}
    named = [IMAGE[0] | {"name": "image"}]
    assert asked([image], named) == {"inputs": {"image": expected}}
    assert describe(named[0]) == {"name": "image", "datatype": "FP64", "shape": [-1, 2, 2]}


@pytest.mark.parametrize(
    ("tensors", "inputs"),
    [
        ([NamedTensor("a", "FP64", [3], [1.0])], COLUMNS),
        ([NamedTensor("a", "FP64", [-1], [])], COLUMNS),
        ([NamedTensor("a", "FP64", [1, 3], [1.0, 2.0, 3.0])], COLUMNS),
        ([NamedTensor("a", "FP64", [1, 2], [1.0, 2.0]), NamedTensor("b", "BYTES", [1], ["x"])], COLUMNS),
        ([NamedTensor("a", "FP64", [1], [1.0]), NamedTensor("b", "BYTES", [2], ["x", "y"])], COLUMNS),
        ([NamedTensor("a", "FP64", [1], [1.0]), NamedTensor("a", "FP64", [1], [1.0])], []),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensors: list[NamedTensor], inputs: list[dict]) -> None:
    """400, not a failure of ours."""
    with pytest.raises(Malformed):
        from_tensors(tensors, inputs)


@pytest.mark.parametrize(
    ("predictions", "outputs"),
    [
        ([1.5, None], [("prediction", "FP64", [2], [1.5, np.nan])]),
        ([1, 2], [("prediction", "INT64", [2], [1, 2])]),
        ([[0.1, 0.9]], [("prediction", "FP64", [1, 2], [0.1, 0.9])]),
        (["cat", "dog"], [("prediction", "BYTES", [2], ["cat", "dog"])]),
        ([True], [("prediction", "BOOL", [1], [True])]),
        ([[1, 2], [3]], [("prediction", "BYTES", [2], ["[1, 2]", "[3]"])]),
        ([{"y": 1.0, "why": "x"}], [("y", "FP64", [1], [1.0]), ("why", "BYTES", [1], ["x"])]),
        ({"y": [1.0], "z": [2]}, [("y", "FP64", [1], [1.0]), ("z", "INT64", [1], [2])]),
    ],
)
def test_predictions_of_any_form_become_outputs(predictions: object, outputs: list[tuple]) -> None:
    """One for each column of a table, else one called `prediction`."""
    found = to_tensors(json.dumps({"predictions": predictions}).encode())
    for tensor, expected in zip(found, outputs, strict=True):
        assert (tensor.name, tensor.datatype, tensor.shape) == expected[:3]
        np.testing.assert_array_equal(np.asarray(tensor.values), np.asarray(expected[3]))


@pytest.mark.parametrize(
    ("x", "request_", "single"),
    [
        ({"a": 1}, {"dataframe_records": [{"a": 1}]}, True),
        ([{"a": 1}], {"dataframe_records": [{"a": 1}]}, False),
        ({"a": [1, 2]}, {"inputs": {"a": [1, 2]}}, False),
        (3, {"inputs": [3]}, True),
        ([[1, 2]], {"inputs": [[1, 2]]}, False),
    ],
)
def test_the_simplest_call_is_translated(x: object, request_: dict, single: bool) -> None:
    """One value asks for one answer."""
    body, found = from_simple(json.dumps({"x": x}).encode(), "application/json", Limits())
    assert (json.loads(body), found) == (request_, single)
    assert json.loads(to_simple(b'{"predictions": [7]}', single=single)) == {"y": 7 if single else [7]}


def test_whole_numbers_that_json_cannot_be_written_of_again_are_refused() -> None:
    """Beyond 64 bits: a refusal, not a failure of ours."""
    with pytest.raises(Malformed, match="beyond 64 bits"):
        from_simple(b'{"x": [{"a": 100000000000000000000}]}', "application/json", Limits())


SPARSE = [{f"x{place}": 1.0} for place in range(9)]
WIDE = {f"x{place}": 1.0 for place in range(9)}
LONG = {"x": [1.0] * 9}
SPLIT = {"columns": ["x"], "data": [[1.0]] * 9}
SPLIT_WIDE = {"columns": [*WIDE], "data": [[*WIDE.values()]]}


@pytest.mark.parametrize(
    ("name", "request_", "what"),
    [
        ("mlflow", {"dataframe_split": SPLIT}, "rows"),
        ("mlflow", {"dataframe_split": SPLIT_WIDE}, "columns"),
        ("mlflow", {"dataframe_records": SPARSE}, "columns"),
        ("mlflow", {"instances": [{"x": 1.0}] * 9}, "rows"),
        ("mlflow", {"inputs": LONG}, "rows"),
        ("mlflow", {"inputs": WIDE}, "columns"),
        ("v1", {"instances": SPARSE}, "columns"),
        ("v1", {"instances": [[1.0]] * 9}, "rows"),
        ("v1", {"inputs": LONG}, "rows"),
        ("simple", {"x": WIDE}, "columns"),
        ("simple", {"x": [1.0] * 9}, "rows"),
    ],
)
def test_rows_and_columns_are_counted_before_mlflow_has_them(
    name: str, request_: dict[str, Any], what: str
) -> None:
    """For a model that MLflow runs; its process would make a table of them first."""
    rows = 9 if what == "columns" else 8
    with pytest.raises(TooLarge, match=f"more than 8 {what}"):
        translated(name, request_, Limits(rows=rows, columns=8))
    assert translated(name, request_, Limits(rows=9, columns=9))


def translated(name: str, request: dict[str, Any], limits: Limits, held: Held | None = None) -> bytes:
    """Return MLflow's request."""
    body, now = json.dumps(request).encode(), time.perf_counter()
    protocol = http_protocols(limits)[name]
    call = Call(protocol, body, "m", "1", len(body), len(body), now, now + 60, held)
    read = lambda: protocol.to_mlflow(call, [])[0].body  # noqa: E731
    return held.run(read) if held else read()


def test_records_of_a_column_each_hold_what_their_table_takes() -> None:
    """As many columns as rows: 120 kB of JSON make a table of 800 MB."""
    held = Held(MemoryBudget(2**40))
    translated("mlflow", {"dataframe_records": [{f"x{i}": 1} for i in range(5_000)]}, Limits(), held)
    assert held.peak > 8 * 5_000**2
