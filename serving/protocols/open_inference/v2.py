"""Open Inference Protocol over REST: `POST /v2/models/NAME/infer`, in JSON or with binary tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from data.schema import Schema
from serving.errors import Malformed
from serving.protocols import translation
from serving.protocols.open_inference.tensor_parameters import as_meant, check_output, coverage_of, flag
from serving.protocols.open_inference.tensors import (
    DATATYPES,
    NUMPY,
    NamedTensor,
    WantedOutputs,
    asked,
    chosen,
    of_request,
    outputs_of,
    pack,
    rows_of,
    unpack,
)
from serving.protocols.over_http import HttpProtocol
from serving.protocols.protocol import Call, Inputs, MlflowRequest
from serving.protocols.responses import Answer, OneTextErrors, dump, noticed
from serving.rows import Rows, from_records, media, read_json
from serving.scorer import Bounds, Floats
from serving.settings import Limits

BINARY = "application/octet-stream"
MOST_DIMENSIONS = 8
HEADER_LENGTH = b"inference-header-content-length"
BINARY_TYPE = (b"content-type", BINARY.encode())

_RANGES = {
    name: (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    for name, kind in NUMPY.items()
    if kind.kind in "iu"
}
_TYPES: dict[str, set[type]] = {
    "FP64": {float, int, type(None)},
    "FP32": {float, int, type(None)},
    "BOOL": {bool, type(None)},
    "BYTES": {str, type(None)},
}
"""JSON's types of a datatype's values."""

_PLAIN = {datatype: kinds - {type(None)} for datatype, kinds in _TYPES.items()}


class AnswerForm(NamedTuple):
    """What the answer needs to know; `binary` are the outputs to send raw."""

    asked: WantedOutputs
    binary: frozenset[str] | None = frozenset()


def decode(
    body: bytes, kind: str, headers: Mapping[bytes, bytes], limits: Limits
) -> tuple[list[NamedTensor], AnswerForm]:
    """Return a request's tensors; raises RequestError."""
    request, raw = _read(body, kind, headers, limits)
    return _tensors(request, raw), _wanted(request)


def decode_rows(
    body: bytes, kind: str, headers: Mapping[bytes, bytes], schema: Schema, limits: Limits
) -> tuple[Rows, AnswerForm]:
    """Return a request's rows; raises RequestError."""
    request, raw = _read(body, kind, headers, limits)
    wanted = _wanted(request)
    row = _one_row(request["inputs"])
    if row is not None and not raw:
        return of_request(from_records([row], schema, limits), wanted.asked), wanted
    return rows_of(_tensors(request, raw), wanted.asked, schema, limits), wanted


def _read(
    body: bytes, kind: str, headers: Mapping[bytes, bytes], limits: Limits
) -> tuple[dict[str, Any], memoryview]:
    head, raw = _parted(body, kind, headers.get(HEADER_LENGTH))
    request = read_json(head, limits)
    if type(request) is not dict or type(request.get("inputs")) is not list or not request["inputs"]:
        raise Malformed("the body must be an object with a list of tensors as inputs")
    return request, raw


def _one_row(inputs: list[Any]) -> dict[str, Any] | None:
    """Return what most requests are, one plain value in each tensor, or None where each must be looked at."""
    row = {}
    try:
        for given in inputs:
            (size,), values = given["shape"], given["data"]
            if len(given) != 4 or size != 1 or type(size) is not int:  # name, shape, datatype, data
                return None
            if type(values) is not list:
                return None
            (value,) = values
            if type(value) not in _PLAIN[given["datatype"]]:
                return None
            row[given["name"]] = value
    except (KeyError, TypeError, ValueError):
        return None
    return row if len(row) == len(inputs) and set(map(type, row)) == {str} else None


def _tensors(request: Mapping[str, Any], raw: memoryview) -> list[NamedTensor]:
    tensors, start = [], 0
    for given in request["inputs"]:
        if type(given) is not dict:
            raise Malformed("a tensor must be an object with name, shape, datatype and data")
        parameters = _parameters(given)
        size = _binary_size(parameters)
        tensor = _tensor(given, None if size is None else raw[start : start + size])
        tensors.append(as_meant(tensor, parameters) if parameters else tensor)
        start += size or 0
    if start != len(raw):
        raise Malformed("the binary data must be as long as the tensors' binary_data_size say together")
    return tensors


def _parted(body: bytes, kind: str, length: bytes | None) -> tuple[bytes, memoryview]:
    """Return the JSON part of a body and the raw tensors behind it."""
    if length is None:
        if kind != media.JSON:
            raise media.wrong_type(kind, media.JSON, f"{BINARY} with Inference-Header-Content-Length")
        return body, memoryview(b"")
    if kind not in (media.JSON, BINARY):
        raise media.wrong_type(kind, BINARY, media.JSON)
    if not length.isdigit() or len(length) > 12 or int(length) > len(body):
        raise Malformed(
            "Inference-Header-Content-Length must be the length of the JSON that the body begins with"
        )
    return body[: int(length)], memoryview(body)[int(length) :]


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    parameters = given.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict:
        raise Malformed("parameters must be an object")
    return parameters


def _binary_size(parameters: Mapping[str, Any]) -> int | None:
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise Malformed("binary_data_size must be a number of bytes")
    return size


def _tensor(given: dict[str, Any], raw: memoryview | None) -> NamedTensor:
    name, shape, datatype, values = (given.get(key) for key in ("name", "shape", "datatype", "data"))
    if type(name) is not str or type(datatype) is not str or type(shape) is not list:
        raise Malformed("a tensor must have a name, a shape and a datatype")
    if not set(map(type, shape)) <= {int} or not 1 <= len(shape) <= MOST_DIMENSIONS or min(shape) < 0:
        raise Malformed(f"a tensor's shape must be one to {MOST_DIMENSIONS} whole numbers, none below 0")
    if datatype not in DATATYPES:
        raise Malformed(f"a tensor's datatype must be one of {', '.join(DATATYPES)}")
    if raw is not None:
        if values is not None:
            raise Malformed("a tensor must have either data or binary_data_size")
        return NamedTensor(name, datatype, shape, unpack(raw, datatype, prod(shape)))
    if type(values) is not list:
        raise Malformed("a tensor's data must be a list")
    for size in shape[1:]:
        if values and type(values[0]) is list:
            values = _flat(values, size)
    if not _fits(values, datatype):
        raise Malformed(f"a tensor's data must be of its datatype, {datatype}")
    return NamedTensor(name, datatype, shape, values)


def _flat(values: list[Any], wide: int) -> list[Any]:
    if not all(type(row) is list and len(row) == wide for row in values):
        raise Malformed("nested data must have the form that the shape says")
    return [cell for row in values for cell in row]


def _fits(values: list[Any], datatype: str) -> bool:
    if datatype in _RANGES:
        low, high = _RANGES[datatype]
        return set(map(type, values)) <= {int} and all(low <= value <= high for value in values)
    return set(map(type, values)) <= _TYPES[datatype]


def _wanted(request: Mapping[str, Any]) -> AnswerForm:
    parameters, outputs = _parameters(request), request.get("outputs")
    coverage = coverage_of(parameters) if parameters else None
    everything = flag(parameters, "binary_data_output", otherwise=False) if parameters else False
    if outputs is None or outputs == []:
        return AnswerForm(asked(request.get("id"), (), coverage), None if everything else frozenset())
    if type(outputs) is not list or not all(
        type(each) is dict and type(each.get("name")) is str for each in outputs
    ):
        raise Malformed("outputs must be a list of objects with a name")
    raw = {each["name"] for each in outputs if _is_raw(each, otherwise=everything)}
    return AnswerForm(asked(request.get("id"), [each["name"] for each in outputs], coverage), frozenset(raw))


def _is_raw(output: Mapping[str, Any], *, otherwise: bool) -> bool:
    parameters = _parameters(output)
    check_output(parameters)
    return flag(parameters, "binary_data", otherwise=otherwise)


class OpenInference(OneTextErrors, HttpProtocol[AnswerForm]):
    """The Open Inference Protocol over REST."""

    name = "v2"

    def read(self, body: bytes, kind: str, call: Call[Answer], schema: Schema, /) -> tuple[Rows, AnswerForm]:
        """Return the rows of a body; raises RequestError."""
        return decode_rows(body, kind, call.headers, schema, self.limits)

    def encode(
        self, values: Floats | Bounds, rows: Rows, request: AnswerForm, call: Call[Answer], /
    ) -> Answer:
        """Return predictions as tensors; raises Malformed for outputs that nobody has."""
        answer = _encode(outputs_of(values), request, call, coverage=rows.coverage)
        return answer._replace(headers=answer.headers + noticed(rows.unseen)) if rows.unseen else answer

    def translate(
        self, body: bytes, kind: str, call: Call[Answer], inputs: Inputs, /
    ) -> tuple[MlflowRequest, AnswerForm]:
        """Return an MLflow request that says the same; raises RequestError."""
        given, request = decode(body, kind, call.headers, self.limits)
        return translation.request_for(given, request.asked, inputs), request

    def from_mlflow(self, reply: bytes, request: AnswerForm, call: Call[Answer], /) -> Answer:
        """Return what MLflow replied as tensors; raises Malformed for outputs that nobody has."""
        return _encode(translation.to_tensors(reply), request, call)


def _encode(
    outputs: Sequence[NamedTensor], request: AnswerForm, call: Call[Answer], *, coverage: float | None = None
) -> Answer:
    """Return the outputs, in JSON or raw as the request asked for each."""
    described, raw = [], []
    for output in chosen(outputs, request.asked):
        form: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if request.binary is None or output.name in request.binary:
            raw.append(pack(output))
            form["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            form["data"] = output.values
        described.append(form)
    answer: dict[str, Any] = {"model_name": call.model, "model_version": call.version}
    if request.asked.id:
        answer["id"] = request.asked.id
    if coverage is not None:
        answer["parameters"] = {"coverage": coverage}
    body = dump(answer | {"outputs": described})
    if not raw:
        return Answer(body)
    length = (HEADER_LENGTH, str(len(body)).encode())
    return Answer(b"".join([body, *raw]), headers=(BINARY_TYPE, length))
