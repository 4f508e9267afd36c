"""The server's OpenAPI document, typed by the model's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.schema import Column, Schema
from serving.intervals import LOWEST, Intervals
from serving.scorer_format import Document
from serving.tensors import DATATYPES, OF_KIND

_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": ["number", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "category": {"type": ["string", "null"]},
    "datetime": {"type": ["string", "null"], "format": "date-time"},
}
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
_PAGES = {
    "/ping": ("application/json", {}),
    "/health": ("application/json", {}),
    "/version": ("application/json", {}),
    "/livez": ("application/json", {"schema": {"type": "object"}}),
    "/readyz": ("application/json", {"schema": {"type": "object"}}),
    "/metrics": ("text/plain; version=0.0.4; charset=utf-8", {}),
    "/status": ("application/json", {"schema": {"type": "object"}}),
    "/openapi.json": ("application/json", {"schema": {"type": "object"}}),
}
_V2_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_TABLES = ("text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream")


def document(scorer: Document, *, name: str, version: str) -> dict[str, Any]:
    """Return OpenAPI 3.1 for this model; its golden rows are the examples.

    `name` is what the Open Inference Protocol calls it.
    """
    schema = scorer.schema
    record = {
        "type": "object",
        "required": list(schema.names),
        "properties": {column.name: _column(column) for column in schema.columns},
    }
    examples = [row for row, _ in zip(scorer.golden_rows, range(2), strict=False)]
    rows = {
        "type": "array",
        "minItems": 1,
        "items": {"$ref": "#/components/schemas/Row"},
        "examples": [examples],
    }
    coverage = _coverage(scorer.intervals)
    params = {"params": {"type": "object", "properties": coverage}} if coverage else {}
    variants = [_with(params, _object(key, rows)) for key in ("dataframe_records", "instances", "inputs")]
    invocations = {"oneOf": [*variants, _with(params, _object("dataframe_split", _split()))]}
    number = {"type": ["number", "null"], "description": _unit(schema)}
    numbers = {"type": "array", "items": number}
    y = {"oneOf": [number, numbers]}
    paths: dict[str, Any] = {
        "/invocations": {"post": _call("Score rows", invocations, _predictions(numbers), tables=True)},
        "/predict": {"post": _call("Score", _with(coverage, _object("x", _simple(schema))), _bounded(y))},
    }
    paths |= _open_inference(scorer, name)
    for path, (kind, content) in _PAGES.items():
        paths[path] = {"get": {"responses": _responses({kind: content}, _ASKED)}}
    paths["/readyz"]["get"]["responses"]["503"] = {"description": "Draining"}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name or 'model'}: {schema.target}", "version": version or "0"},
        "paths": paths,
        "components": {"schemas": {"Row": record, "Error": _error(), "V2Error": _V2_ERROR}},
    }


def _open_inference(scorer: Document, name: str) -> dict[str, Any]:
    """Return the paths of the Open Inference Protocol for this model; they have no prefix."""
    answers = {
        "/v2": (("name", "version", "extensions"), {}),
        "/v2/health/live": (("live",), {}),
        "/v2/health/ready": (("ready",), {503: "Draining"}),
        f"/v2/models/{name}": (("name", "versions", "platform", "inputs", "outputs"), {}),
        f"/v2/models/{name}/ready": (("name", "ready"), {}),
    }
    paths: dict[str, Any] = {
        path: {"get": {"responses": _responses(_json(_having(*keys)), _ASKED | errors, "V2Error")}}
        for path, (keys, errors) in answers.items()
    }
    infer = _call("Score tensors", _tensors(scorer), _having("model_name", "model_version", "outputs"))
    infer["responses"] = _responses(_json(_having("model_name", "outputs")), _SCORED, "V2Error")
    paths[f"/v2/models/{name}/infer"] = {"post": infer}
    return {path: {"servers": [{"url": "/"}]} | operations for path, operations in paths.items()}


def _tensors(scorer: Document) -> dict[str, Any]:
    """Return the protocol's request: a tensor for each column, the golden row's as the example."""
    schema = scorer.schema
    row = next(iter(scorer.golden_rows), {})
    example = [
        {"name": column.name, "shape": [1], "datatype": OF_KIND[column.kind], "data": [row.get(column.name)]}
        for column in schema.columns
    ]
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string", "examples": list(schema.names)},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"enum": list(DATATYPES)},
            "data": {"type": "array"},
        },
    }
    outputs = {"type": "array", "items": _having("name")}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "minItems": 1, "items": tensor, "examples": [example]},
            "outputs": outputs,
            "parameters": {"type": "object", "properties": _coverage(scorer.intervals)},
        },
    }


def _having(*keys: str) -> dict[str, Any]:
    return {"type": "object", "required": list(keys)}


def _json(described: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": described}}


def _simple(schema: Schema) -> dict[str, Any]:
    """Return what `x` may be: for one column its value or values, else rows or columns."""
    if len(schema.columns) == 1:
        cell = _column(schema.columns[0])
        return {"anyOf": [cell, {"type": "array", "minItems": 1, "items": cell}]}
    row = {"$ref": "#/components/schemas/Row"}
    lists = {
        column.name: {"type": "array", "minItems": 1, "items": _column(column)} for column in schema.columns
    }
    columns = {"type": "object", "required": list(schema.names), "properties": lists}
    return {"anyOf": [row, {"type": "array", "minItems": 1, "items": row}, columns]}


def _unit(schema: Schema) -> str:
    return f"{schema.target} in {schema.target_unit}" if schema.target_unit else schema.target


def _column(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = dict(_TYPES[column.kind])
    notes = [column.unit] if column.unit else []
    if column.minimum is not None:
        notes.append(f"training saw {column.minimum:g} to {column.maximum:g}")
    if notes:
        described["description"] = "; ".join(notes)
    if column.categories:
        described["examples"] = list(column.categories[:10])
    return described


def _object(key: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [key], "properties": {key: content}}


def _coverage(intervals: Intervals | None) -> dict[str, Any]:
    """Return what may be asked for; nothing where the version has no intervals."""
    if intervals is None:
        return {}
    described = {
        "type": "number",
        "minimum": LOWEST,
        "maximum": intervals.coverage[-1],
        "description": "share of targets that the interval should hold",
    }
    return {"coverage": described}


def _with(more: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    return described | {"properties": described["properties"] | more}


def _predictions(numbers: dict[str, Any]) -> dict[str, Any]:
    ends = {"coverage": {"type": "number"}, "lower": numbers, "upper": numbers}
    intervals = {"type": "object", "required": list(ends), "properties": ends}
    return {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": numbers, "intervals": intervals},
    }


def _bounded(y: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": ["y"], "properties": {"y": y, "lower": y, "upper": y}}


def _split() -> dict[str, Any]:
    data = {"type": "array", "items": {"type": "array"}}
    return {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {"columns": {"type": "array", "items": {"type": "string"}}, "data": data},
    }


def _error() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {
            "error_code": text,
            "message": text,
            "stack_trace": text,
            "errors": {"type": "array"},
            "error_count": {"type": "integer"},
        },
    }


def _call(
    summary: str, request: dict[str, Any], answer: dict[str, Any], *, tables: bool = False
) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": request}}
    if tables:
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _TABLES}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": _responses({"application/json": {"schema": answer}}, _SCORED),
    }


def _responses(good: dict[str, Any], errors: Mapping[int, str], form: str = "Error") -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{form}"}}}
    return {"200": {"description": "OK", "content": good}} | {
        str(status): {"description": text, "content": content} for status, text in errors.items()
    }
