"""The server's OpenAPI document: every path, what it takes and gives, and every error, for one model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from serving.openapi.forms import NUMBER, Described, Forms, any_of, list_of, object_of, ref
from serving.protocols import tensors, v2
from serving.rows import media

_ASKED = {
    401: "No known key",
    405: "Another method is due",
    421: "Host header of another machine",
    500: "Our failure",
}
_SCORED = _ASKED | {
    400: "The body cannot be used; `errors` names each place",
    408: "The body came too slowly",
    413: "More bytes, rows, columns or levels than the server takes",
    415: "A Content-Type or Content-Encoding that is not read here",
    503: "As many requests are in flight as the worker takes",
    504: "Scoring took too long",
}
_NOT_SERVED = {404: "No such version"}
_OBJECT: Described = {"schema": {"type": "object"}}
_PAGES: dict[str, tuple[str, Described]] = {
    "/ping": (media.JSON, {}),
    "/health": (media.JSON, {}),
    "/version": (media.JSON, {}),
    "/livez": (media.JSON, _OBJECT),
    "/readyz": (media.JSON, _OBJECT),
    "/metrics": ("text/plain; version=0.0.4; charset=utf-8", {}),
    "/status": (media.JSON, _OBJECT),
    "/openapi.json": (media.JSON, _OBJECT),
}
_TEXT: Described = {"type": "string"}
_FILE: Described = {"schema": {"type": "string", "format": "binary"}}
_TRUTH: Described = {"type": "boolean"}
_ENDS = (tensors.LOWER, tensors.UPPER)


def document(forms: Forms, *, name: str, version: str) -> Described:
    """Return OpenAPI 3.1 for a model; `name` and `version` are what the Open Inference Protocol calls it."""
    rows, predictions = forms.golden
    scored = _content("Predictions", {"predictions": predictions} if predictions else None)
    invocations = _content("Invocations", {"dataframe_records": rows} if rows else None)
    paths: dict[str, Any] = {
        "/invocations": {
            "post": _call(
                "invocations", "Score rows", invocations | dict.fromkeys(forms.tables, _FILE), scored
            )
        },
        "/predict": {
            "post": _call("predict", "Score", _content("PredictRequest"), _content("PredictResponse"))
        },
    }
    if forms.coverage:
        described = {"name": "coverage", "in": "query", "schema": forms.coverage["coverage"]}
        paths["/invocations"]["post"]["parameters"] = [described]
    paths |= {path: _page(path) for path in _PAGES} | _from_the_root(
        _open_inference(name, version) | _first_protocol(name, version)
    )
    schemas = {**forms.named, **_tables(forms), **_tensors(forms), **_V1, **_ERRORS}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name or 'model'}: {forms.title}", "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


@lru_cache(maxsize=8)
def under(described: bytes, prefix: str) -> bytes:
    """Return a document whose servers stand under a prefix: one of this server's, or a proxy's."""
    document = orjson.loads(described)
    for part in (document, *document["paths"].values()):
        served = part.get("servers", [{"url": ""}] if part is document else [])
        for each in served:
            each["url"] = prefix + each["url"].rstrip("/")
            part["servers"] = served
    return orjson.dumps(document)


def _tables(forms: Forms) -> dict[str, Described]:
    """Return what `/invocations` and `/predict` take and give; the first has a name for each of its keys."""
    others = {"params": forms.params} if forms.params else {}
    named = {"".join(map(str.title, key.split("_"))): key for key in forms.rows}
    schemas = {name: object_of({key: forms.rows[key]}, others) for name, key in named.items()}
    intervals = {"intervals": ref("Intervals")} if forms.coverage else {}
    schemas |= {
        "Invocations": {"oneOf": [ref(name) for name in named]},
        "Predictions": object_of({"predictions": forms.predictions}, intervals),
        "PredictRequest": object_of({"x": forms.x}, forms.coverage),
        "PredictResponse": object_of({"y": forms.y}, dict.fromkeys(_ENDS, forms.y) if intervals else {}),
    }
    if intervals:
        ends = dict.fromkeys(_ENDS, list_of(NUMBER))
        schemas["Intervals"] = object_of({"coverage": {"type": "number"}} | ends)
    return schemas


def _tensors(forms: Forms) -> dict[str, Described]:
    """Return what the Open Inference Protocol's paths take and give."""
    value = {"type": ["number", "string", "boolean", "null"]}
    binary = {"parameters": object_of({}, {"binary_data": _TRUTH})}
    typed = {"name": _TEXT, "shape": list_of({"type": "integer"}), "datatype": ref("Datatype")}
    inputs = list_of(ref("Tensor"), minItems=1) | ({"examples": [forms.tensors]} if forms.tensors else {})
    asked = {"binary_data_output": _TRUTH, **forms.coverage}
    named = _TEXT | ({"examples": list(forms.names)} if forms.names else {})
    return {
        "Datatype": {"type": "string", "enum": list(tensors.DATATYPES)},
        "Tensor": object_of(typed | {"name": named, "data": list_of(any_of(value, list_of({})))}),
        "OutputTensor": object_of(typed | {"data": list_of(value)}),
        "RequestedOutput": object_of({"name": _TEXT}, binary),
        "InferParameters": object_of({}, asked) | {"additionalProperties": False},
        "InferRequest": object_of(
            {"inputs": inputs},
            {
                "id": _TEXT,
                "outputs": list_of(ref("RequestedOutput")),
                "parameters": ref("InferParameters"),
            },
        ),
        "InferResponse": object_of(
            {"model_name": _TEXT, "model_version": _TEXT, "outputs": list_of(ref("OutputTensor"))},
            {"id": _TEXT, "parameters": {"type": "object"}},
        ),
        "TensorMetadata": object_of(typed),
        "ModelMetadata": object_of(
            {"name": _TEXT, "versions": list_of(_TEXT), "platform": _TEXT}
            | dict.fromkeys(("inputs", "outputs"), list_of(ref("TensorMetadata")))
        ),
        "ServerMetadata": object_of({"name": _TEXT, "version": _TEXT, "extensions": list_of(_TEXT)}),
        "ModelReady": object_of({"name": _TEXT, "ready": _TRUTH}),
        "ServerReady": object_of({"ready": _TRUTH}),
        "ServerLive": object_of({"live": _TRUTH}),
    }


_FAULT = object_of({"row": {"type": ["integer", "null"]}, "column": _TEXT, "expected": _TEXT, "found": _TEXT})
_ERRORS = {
    "Fault": _FAULT | {"description": "A cell that cannot be used; rows are counted from 0"},
    "Error": object_of(
        {"error_code": _TEXT, "message": _TEXT},
        {"stack_trace": _TEXT, "errors": list_of(ref("Fault")), "error_count": {"type": "integer"}},
    ),
    "V2Error": object_of({"error": _TEXT}),
}


def _open_inference(name: str, label: str) -> dict[str, Any]:
    """Return the paths of the Open Inference Protocol."""
    model, draining = f"/v2/models/{name}", {503: "Draining"}
    paths = {
        "/v2": _question("server_metadata", "ServerMetadata"),
        "/v2/health/live": _question("server_live", "ServerLive"),
        "/v2/health/ready": _question("server_ready", "ServerReady", draining),
    }
    version = {"name": "version", "in": "path", "required": True, "schema": _TEXT, "example": label}
    for path, suffix, errors in (
        (model, "", {}),
        (model + "/versions/{version}", "_of_version", _NOT_SERVED),
    ):
        more = {"parameters": [version]} if suffix else {}
        paths[path] = _question("model_metadata" + suffix, "ModelMetadata", errors) | more
        paths[path + "/ready"] = _question("model_ready" + suffix, "ModelReady", errors) | more
        paths[path + "/infer"] = {"post": _infer("infer" + suffix, errors)} | more
    return paths


_V1 = {
    "V1Request": object_of({}, {"instances": list_of({}), "inputs": {}, "signature_name": _TEXT})
    | {
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
        "description": "instances: a row each, an object or a list in the columns' order; inputs: an object of columns",
    },
    "V1Response": object_of({"predictions": {}}, {"outputs": {}, "intervals": {}}),
    "V1Models": object_of({"models": list_of(_TEXT)}),
    "V1Model": object_of(
        {"name": _TEXT, "ready": _TRUTH, "model_version_status": list_of({"type": "object"})}
    ),
}


def _first_protocol(name: str, label: str) -> dict[str, Any]:
    """Return the paths of KServe's first protocol, which is TensorFlow Serving's."""
    model, draining = f"/v1/models/{name}", {503: "Draining"}
    taken, given = _content("V1Request"), _content("V1Response")
    version = {"name": "version", "in": "path", "required": True, "schema": _TEXT, "example": label}
    paths: dict[str, Any] = {"/v1/models": _question("v1_models", "V1Models")}
    for path, suffix, errors in (
        (model, "", {}),
        (model + "/versions/{version}", "_of_version", _NOT_SERVED),
    ):
        more = {"parameters": [version]} if suffix else {}
        call = _call("v1_predict" + suffix, "Score rows", taken, given)
        call["responses"] = _responses(given, _SCORED | errors, "V2Error")
        question = _question("v1_model" + suffix, "V1Model", draining | errors)
        question["get"]["responses"]["503"]["content"] = _content("V1Model")
        paths[path] = question | more
        paths[path + ":predict"] = {"post": call} | more
    return paths


def _from_the_root(paths: Mapping[str, Any]) -> dict[str, Any]:
    """Return paths that have no model's prefix."""
    return {path: {"servers": [{"url": "/"}]} | operations for path, operations in paths.items()}


def _infer(operation: str, errors: Mapping[int, str]) -> Described:
    taken, given = _content("InferRequest"), _content("InferResponse")
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "schema": {"type": "integer", "minimum": 0},
        "description": "Of the JSON that a body with binary tensors begins with",
    }
    call = _call(operation, "Score tensors", taken | {v2.BINARY: _FILE}, given | {v2.BINARY: _FILE})
    return call | {
        "parameters": [length],
        "responses": _responses(given | {v2.BINARY: _FILE}, _SCORED | dict(errors), "V2Error"),
    }


def _question(operation: str, answer: str, errors: Mapping[int, str] | None = None) -> dict[str, Any]:
    responses = _responses(_content(answer), _ASKED | dict(errors or {}), "V2Error")
    return {"get": {"operationId": operation, "responses": responses}}


def _page(path: str) -> dict[str, Any]:
    kind, content = _PAGES[path]
    responses = _responses({kind: content}, _ASKED)
    if path == "/readyz":
        responses["503"] = {"description": "Draining"}
    return {"get": {"operationId": path[1:].replace(".", "_"), "responses": responses}}


def _content(name: str, example: Any = None) -> dict[str, Described]:
    shown = {"examples": {"golden": {"value": example}}} if example else {}
    return {media.JSON: {"schema": ref(name), **shown}}


def _call(operation: str, summary: str, taken: Described, given: Described) -> Described:
    return {
        "operationId": operation,
        "summary": summary,
        "requestBody": {"required": True, "content": taken},
        "responses": _responses(given, _SCORED),
    }


def _responses(good: Described, errors: Mapping[int, str], form: str = "Error") -> Described:
    return {"200": {"description": "OK", "content": good}} | {
        str(status): {"description": text, "content": _content(form)} for status, text in errors.items()
    }
