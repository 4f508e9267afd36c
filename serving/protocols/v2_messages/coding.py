"""gRPC's messages -> named tensors, and back. Answers are raw where the request was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from data.schema import Schema
from serving.errors import Malformed, RequestError, TooLarge
from serving.protocols import responses, translation
from serving.protocols.open_inference import tensor_parameters, tensors
from serving.protocols.protocol import Call, Inputs, MlflowRequest
from serving.protocols.v2_messages.messages import message
from serving.rows import Rows, budget
from serving.scorer import Bounds, Floats
from serving.settings import Limits

FIELDS = {
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
"""Where a tensor of a datatype has its values, if they are not raw."""

FIELDS_TYPES = {"int_contents": "INT32", "uint_contents": "UINT32"}
"""The datatype of the fields that hold narrower ones too."""

TEXT_BYTES = 80
"""That a short text takes as a Python object, in a list."""

InferResponse = message("ModelInferResponse")


class MessageForm(NamedTuple):
    """What the answer needs to know."""

    asked: tensors.WantedOutputs
    is_raw: bool


class Refusal(NamedTuple):
    """Why a call is not answered: an HTTP status, for which gRPC has a code of its own, and a text."""

    status: int
    text: str
    error_id: str


def parse(kind: Any, raw: bytes) -> Any:
    """Return a message of a kind; raises Malformed where its bytes are none."""
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise Malformed(f"the message is no {kind.DESCRIPTOR.name} in protobuf's form") from error


def decode(request: Any, limits: Limits) -> tuple[list[tensors.NamedTensor], MessageForm]:
    """Return a request's tensors, and what it wants back; raises RequestError."""
    raw, inputs = request.raw_input_contents, request.inputs
    if len(inputs) > limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    if not inputs or (raw and len(raw) != len(inputs)):
        raise Malformed("a request must have inputs, and raw_input_contents for each of them or none")
    given = [_tensor(each, raw[index] if raw else None) for index, each in enumerate(inputs)]
    return given, MessageForm(_wanted(request), bool(raw))


def _wanted(request: Any) -> tensors.WantedOutputs:
    coverage = tensor_parameters.coverage_of(_plain(request.parameters)) if request.parameters else None
    for output in request.outputs:
        if output.parameters:
            tensor_parameters.check_output(_plain(output.parameters))
    return tensors.asked(request.id, [output.name for output in request.outputs], coverage)


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as REST has them; one without a value is null."""
    chosen = {name: given.WhichOneof("parameter_choice") for name, given in parameters.items()}
    return {name: choice and getattr(parameters[name], choice) for name, choice in chosen.items()}


def _tensor(given: Any, raw: bytes | None) -> tensors.NamedTensor:
    shape, datatype = list(given.shape), given.datatype
    if datatype not in FIELDS:
        raise Malformed(f"a tensor's datatype must be one of {', '.join(tensors.DATATYPES)}")
    if not shape or min(shape) < 0:
        raise Malformed("a tensor's shape must be whole numbers, none below 0")
    if raw is None:
        tensor = tensors.NamedTensor(given.name, datatype, shape, _typed(given.contents, datatype, shape))
    else:
        if given.HasField("contents") and given.contents.ListFields():
            raise Malformed("a tensor must have either contents or raw_input_contents")
        tensor = tensors.NamedTensor(given.name, datatype, shape, tensors.unpack(raw, datatype, prod(shape)))
    return _as_meant(tensor, _plain(given.parameters), raw) if given.parameters else tensor


def _as_meant(
    tensor: tensors.NamedTensor, parameters: Mapping[str, Any], raw: bytes | None
) -> tensors.NamedTensor:
    size = parameters.get("binary_data_size")
    if size is not None and (raw is None or size != len(raw)):
        raise Malformed("binary_data_size must be the length of the tensor's raw_input_contents")
    return tensor_parameters.as_meant(tensor, parameters)


def _typed(contents: Any, datatype: str, shape: Sequence[int]) -> Any:
    """Return the values of the one field that may have some, for a datatype."""
    field = FIELDS[datatype]
    others = [each.name for each, _ in contents.ListFields() if each.name != field]
    if others:
        raise Malformed(f"values of a tensor of {datatype} must be in {field}, found in {others[0]}")
    values = getattr(contents, field)
    if len(values) != prod(shape):
        raise Malformed(f"a tensor's shape must say how many values there are in {field}")
    if datatype == "BYTES":
        budget.need(TEXT_BYTES * len(values))
        try:
            return [text.decode("utf-8") for text in values]
        except UnicodeDecodeError as error:
            raise Malformed("BYTES must be text in UTF-8") from error
    array = np.array(values, dtype=tensors.NUMPY[FIELDS_TYPES.get(field, datatype)])
    kind = tensors.NUMPY[datatype]
    if kind.kind in "iu" and array.size and not _within(array, kind):
        raise Malformed(f"a tensor's data must be of its datatype, {datatype}")
    return array


def _within(array: Any, kind: np.dtype[Any]) -> bool:
    span = np.iinfo(kind)
    return bool(array.min() >= span.min and array.max() <= span.max)


class OpenInferenceMessages:
    """The Open Inference Protocol in protobuf's messages; a call's body is a ModelInferRequest."""

    name = "grpc"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def decode(self, call: Call[Any], schema: Schema, /) -> tuple[Rows, MessageForm]:
        """Return a call's rows; raises RequestError."""
        given, request = decode(call.body, self._limits)
        return tensors.rows_of(given, request.asked, schema, self._limits), request

    def encode(self, values: Floats | Bounds, rows: Rows, request: MessageForm, call: Call[Any], /) -> Any:
        """Return predictions as tensors; raises Malformed for outputs that nobody has."""
        return _encode(tensors.outputs_of(values), request, call, coverage=rows.coverage)

    def to_mlflow(self, call: Call[Any], inputs: Inputs, /) -> tuple[MlflowRequest, MessageForm]:
        """Return an MLflow request that says the same; raises RequestError."""
        given, request = decode(call.body, self._limits)
        return translation.request_for(given, request.asked, inputs), request

    def from_mlflow(self, reply: bytes, request: MessageForm, call: Call[Any], /) -> Any:
        """Return what MLflow replied as tensors; raises Malformed for outputs that nobody has."""
        return _encode(translation.to_tensors(reply), request, call)

    def refused(self, error: RequestError, error_id: str) -> Refusal:
        """Answer for a mistake of the client's."""
        return Refusal(error.status, str(error), error_id)

    def failed(self, error_id: str) -> Refusal:
        """Answer for a mistake of ours."""
        return Refusal(500, responses.FAILED.format(error_id), error_id)


def _encode(
    outputs: Sequence[tensors.NamedTensor],
    request: MessageForm,
    call: Call[Any],
    *,
    coverage: float | None = None,
) -> Any:
    """Return the outputs that a request named, in the form that its inputs had."""
    asked, is_raw = request
    answer = InferResponse(model_name=call.model, model_version=call.version, id=asked.id)
    for each in tensors.chosen(outputs, asked):
        output = answer.outputs.add(name=each.name, datatype=each.datatype, shape=each.shape)
        if is_raw:
            answer.raw_output_contents.append(tensors.pack(each))
            continue
        values = [text.encode() for text in each.values] if each.datatype == "BYTES" else each.values.tolist()
        getattr(output.contents, FIELDS[each.datatype]).extend(values)
    if coverage is not None:
        answer.parameters["coverage"].double_param = coverage
    return answer
