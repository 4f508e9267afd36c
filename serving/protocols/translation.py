"""Other protocols' requests as MLflow's, and its answers back: for models that only MLflow can run.

A signature of columns takes a table, one of tensors takes arrays; without one, what was sent decides.
Numbers keep the datatype that they were sent in: 1 in an FP64 tensor stays a double.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import orjson

from serving.errors import CoverageRefused, Malformed, TooLarge
from serving.protocols.open_inference import NUMPY, NamedTensor, WantedOutputs, check_date
from serving.protocols.protocol import NO_INTERVALS, Inputs, MlflowRequest
from serving.rows import budget, media, read_json
from serving.settings import Limits

WIDTH = "an instance must be an object of columns, or a list of {} values in the model's order"
_DATATYPES = {
    "double": "FP64",
    "float": "FP32",
    "long": "INT64",
    "integer": "INT32",
    "boolean": "BOOL",
    "float64": "FP64",
    "float32": "FP32",
    "bool": "BOOL",
    **{name.lower(): name for name in NUMPY if "INT" in name},
}
"""V2's datatype by MLflow's type of a column, or numpy's of a tensor; any other is text."""


def describe(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return V2's description of one input or output of a signature."""
    tensor = written.get("tensor-spec", {})
    kind = tensor.get("dtype") or str(written.get("type"))
    shape = list(tensor.get("shape", [-1]))
    return {
        "name": written.get("name", "input"),
        "datatype": _DATATYPES.get(kind, "BYTES"),
        "shape": shape,
    }


def check_size(form: str, given: Any, limits: Limits) -> None:
    """Hold what the table takes that MLflow makes of one of its forms; raises TooLarge or Busy.

    Records that have a column each make as many columns as rows. Lists within lists are no larger than their JSON.
    """
    rows, columns = _shape(form, given)
    if rows > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    if columns > limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    budget.before_rows(rows, columns)


def _shape(form: str, given: Any) -> tuple[int, int]:
    """Return rows, and columns that have a name."""
    if type(given) is dict and form == "dataframe_split":
        return _length(given.get("data")), _length(given.get("columns"))
    if type(given) is dict:
        return max(map(_length, given.values()), default=1), len(given)
    if type(given) is list:
        return len(given), len(set().union(*(row for row in given if type(row) is dict)))
    return 1, 0


def _length(given: Any) -> int:
    return len(given) if type(given) is list else 1


def request_for(tensors: Sequence[NamedTensor], wanted: WantedOutputs, inputs: Inputs) -> MlflowRequest:
    """Return an MLflow request for tensors and what is asked of them; raises RequestError."""
    if wanted.coverage is not None:
        raise CoverageRefused(NO_INTERVALS)
    return MlflowRequest(from_tensors(tensors, inputs), media.JSON)


def from_tensors(tensors: Sequence[NamedTensor], inputs: Inputs) -> bytes:
    """Return an MLflow request that says the same as these tensors; raises Malformed.

    Parameters
    ----------
    inputs : sequence of mapping
        Of the model's signature, as MLflow writes it; empty without one.
    """
    dates = {str(each.get("name")) for each in inputs if each.get("type") == "datetime"}
    for tensor in tensors:
        if tensor.is_date and inputs:
            check_date(tensor.name, dates)
        if not tensor.shape or min(tensor.shape) < 0 or prod(tensor.shape) != len(tensor.values):
            raise Malformed("a tensor must have as many values as its shape says")
    if len({tensor.shape[0] for tensor in tensors}) != 1:
        raise Malformed("all tensors must have the same number of rows")
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise Malformed("two tensors have the same name")
    flat = all(prod(tensor.shape[1:]) == 1 for tensor in tensors)
    names = [each.get("name") for each in inputs if "tensor-spec" not in each]
    by_column = bool(inputs) and None not in names and len(names) == len(inputs)
    if by_column and not flat:
        return _packed(tensors, names)
    if by_column or (flat and not inputs and len(tensors) > 1):
        rows = [list(row) for row in zip(*map(_cells, tensors), strict=True)]
        return _dump({"dataframe_split": {"columns": [each.name for each in tensors], "data": rows}})
    if len(tensors) == 1 and not (inputs and "name" in inputs[0]):
        return _dump({"inputs": _nested(tensors[0])})
    return _dump({"inputs": {tensor.name: _nested(tensor) for tensor in tensors}})


def _packed(tensors: Sequence[NamedTensor], names: Sequence[Any]) -> bytes:
    """Return the request for one tensor of shape [rows, columns]."""
    wide = len(names)
    if len(tensors) > 1 or len(tensors[0].shape) != 2 or tensors[0].shape[1] != wide:
        raise Malformed(f"send one tensor for each column, or one of the shape [n, {wide}] for all")
    return _dump({"dataframe_split": {"columns": names, "data": _nested(tensors[0])}})


def _cells(tensor: NamedTensor) -> list[Any]:
    """Return the values in their datatype as plain ones; a missing number stays missing."""
    kind = NUMPY.get(tensor.datatype)
    if kind is not None and kind.kind == "f":
        return list(np.asarray(tensor.values, dtype=kind).tolist())
    return list(tensor.values.tolist() if isinstance(tensor.values, np.ndarray) else tensor.values)


def _nested(tensor: NamedTensor) -> Any:
    """Return the values as lists within lists, of the tensor's shape."""
    cells = _cells(tensor)
    for size in reversed(tensor.shape[1:]):
        cells = [cells[start : start + size] for start in range(0, len(cells), size)] if size else cells
    return cells


def _dump(request: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as error:
        raise Malformed("the body has a whole number beyond 64 bits") from error


def to_tensors(answer: bytes) -> list[NamedTensor]:
    """Return the predictions as outputs: one for each column of a table, else one called `prediction`."""
    predictions = orjson.loads(answer)["predictions"]
    if type(predictions) is list and predictions and all(type(row) is dict for row in predictions):
        predictions = {name: [row.get(name) for row in predictions] for name in predictions[0]}
    named = predictions if type(predictions) is dict else {"prediction": predictions}
    return [_output(name, values) for name, values in named.items()]


def _output(name: str, values: Any) -> NamedTensor:
    """Return one output; what is neither a number, a boolean nor text is written as JSON text."""
    try:
        array = np.asarray(values)
    except ValueError:  # of uneven lengths
        array = np.array([json.dumps(value) for value in values], dtype=object)
    shape = list(array.shape) or [1]
    if array.dtype.kind in "fiub":
        datatype = {"f": "FP64", "i": "INT64", "u": "UINT64", "b": "BOOL"}[array.dtype.kind]
        return NamedTensor(name, datatype, shape, array.reshape(-1))
    if all(value is None or type(value) in (int, float) for value in array.flat):
        return NamedTensor(name, "FP64", shape, array.astype(np.float64).reshape(-1))
    cells = array.reshape(-1).tolist()
    return NamedTensor(
        name, "BYTES", shape, [cell if type(cell) is str else json.dumps(cell) for cell in cells]
    )


def from_simple(body: bytes, kind: str, limits: Limits) -> tuple[bytes, bool]:
    """Return an MLflow request for `{"x": ...}`, and whether one value is to be answered; raises Malformed."""
    if kind != media.JSON:
        raise media.wrong_type(kind, media.JSON)
    request = read_json(body, limits)
    if type(request) is not dict or set(request) != {"x"}:
        raise Malformed('the body must be an object with the key "x"')
    x = request["x"]
    check_size("inputs", x, limits)
    if type(x) is dict and not any(type(values) is list for values in x.values()):
        return _dump({"dataframe_records": [x]}), True
    if type(x) is list and x and all(type(row) is dict for row in x):
        return _dump({"dataframe_records": x}), False
    single = type(x) not in (list, dict)
    return _dump({"inputs": [x] if single else x}), single


def from_instances(name: str, given: Any, inputs: Inputs) -> bytes:
    """Return an MLflow request for `instances` or `inputs`; a list of values gets the columns' names.

    Raises Malformed.
    """
    names = [each.get("name") for each in inputs if "tensor-spec" not in each]
    if name != "instances" or not names or None in names:
        return _dump({name: given})
    if all(type(row) is dict for row in given):
        return _dump({"dataframe_records": given})
    rows = [row if type(row) is list else [row] for row in given]
    if any(len(row) != len(names) for row in rows):
        raise Malformed(WIDTH.format(len(names)))
    return _dump({"dataframe_split": {"columns": names, "data": rows}})


def to_simple(answer: bytes, *, single: bool) -> bytes:
    """Return `{"y": ...}`."""
    predictions = orjson.loads(answer)["predictions"]
    return orjson.dumps(
        {"y": predictions[0] if single and type(predictions) is list and predictions else predictions}
    )
