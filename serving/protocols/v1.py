"""KServe's first protocol, which is TensorFlow Serving's REST form too: `POST /v1/models/NAME:predict`.

`instances` are rows, `inputs` columns. An instance is an object, or a list of values in the order of the
model's columns. A value may stand in a list of its own, as TensorFlow has it for a column of shape [n, 1].
"""

from __future__ import annotations

from typing import Any

import orjson

from data.schema import Schema
from serving.errors import Malformed
from serving.protocols import translation
from serving.protocols.over_http import HttpProtocol
from serving.protocols.protocol import Call, Inputs, MlflowRequest
from serving.protocols.responses import JSON_TYPE, Answer, OneTextErrors, dump, predictions
from serving.rows import Rows, from_columns, from_records, from_split, media, read_json
from serving.scorer import Bounds, Floats
from serving.settings import Limits

SIGNATURES = (None, "", "serving_default")
"""TensorFlow's names of the one function that a model has here."""


def decode(body: bytes, kind: str, schema: Schema, limits: Limits) -> tuple[Rows, bool]:
    """Return the rows, and whether they came as columns; raises RequestError."""
    name, given = read(body, kind, limits)
    rows = _instances if name == "instances" else _inputs
    return rows(given, schema, limits), name == "inputs"


def state(name: str, version: str, *, ready: bool) -> Answer:
    """Say whether a model is served: `ready` is for KServe, the rest for TensorFlow; no version to who may not know."""
    status = ({"version": version} if version else {}) | {
        "state": "AVAILABLE" if ready else "UNLOADING",
        "status": {"error_code": "OK", "error_message": ""},
    }
    body = {"name": name, "ready": ready, "model_version_status": [status]}
    return Answer(dump(body), 200 if ready else 503, (JSON_TYPE,))


def _with_outputs(answer: Answer) -> Answer:
    body = orjson.loads(answer.body)
    return answer._replace(body=dump(body | {"outputs": body["predictions"]}))


def read(body: bytes, kind: str, limits: Limits) -> tuple[str, Any]:
    """Return `instances` or `inputs`, and what stands there; raises RequestError."""
    if kind != media.JSON:
        raise media.wrong_type(kind, media.JSON)
    request = read_json(body, limits)
    given = [name for name in ("instances", "inputs") if type(request) is dict and name in request]
    if len(given) != 1:
        raise Malformed("the body must be an object with either instances (rows) or inputs (columns)")
    if request.get("signature_name") not in SIGNATURES:
        raise Malformed("signature_name must be serving_default, or left out")
    if given == ["instances"] and type(request["instances"]) is not list:
        raise Malformed("instances must be a list, one element for each row")
    return given[0], request[given[0]]


def _instances(given: list[Any], schema: Schema, limits: Limits) -> Rows:
    if given and all(type(row) is dict for row in given):
        return from_records([_opened(row) for row in given], schema, limits)
    rows = [row if type(row) is list else [row] for row in given]
    if any(len(row) != len(schema.columns) for row in rows):
        raise Malformed(translation.WIDTH.format(len(schema.columns)))
    return from_split(list(schema.names), rows, schema, limits)


def _inputs(given: Any, schema: Schema, limits: Limits) -> Rows:
    if type(given) is list and (len(schema.columns) == 1 or all(type(row) is list for row in given)):
        return _instances(given, schema, limits)
    if type(given) is not dict or not all(type(values) is list for values in given.values()):
        raise Malformed("inputs must be an object of columns, each a list with a value for each row")
    return from_columns({name: [*map(_value, values)] for name, values in given.items()}, schema, limits)


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    return value[0] if type(value) is list and len(value) == 1 else value


class FirstProtocol(OneTextErrors, HttpProtocol[bool]):
    """KServe's first protocol; its form is whether the rows came as columns."""

    name = "v1"

    def read(self, body: bytes, kind: str, _call: Call[Answer], schema: Schema, /) -> tuple[Rows, bool]:
        """Return the rows of a body; raises RequestError."""
        return decode(body, kind, schema, self.limits)

    def encode(self, values: Floats | Bounds, rows: Rows, columnar: bool, _call: Call[Answer], /) -> Answer:
        """Return `{"predictions": [...]}`; columns get `outputs` too, which TensorFlow's clients read then."""
        answer = predictions(values, rows)
        return _with_outputs(answer) if columnar else answer

    def translate(
        self, body: bytes, kind: str, _call: Call[Answer], inputs: Inputs, /
    ) -> tuple[MlflowRequest, bool]:
        """Return an MLflow request that says the same; raises RequestError."""
        name, given = read(body, kind, self.limits)
        translation.check_size(name, given, self.limits)
        request = translation.from_instances(name, given, inputs)
        return MlflowRequest(request, media.JSON), name == "inputs"

    def from_mlflow(self, reply: bytes, columnar: bool, _call: Call[Answer], /) -> Answer:
        """Return MLflow's answer as this protocol has it."""
        return _with_outputs(Answer(reply)) if columnar else Answer(reply)
