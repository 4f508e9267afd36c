"""The server's OpenAPI document, typed by the model's schema."""

from __future__ import annotations

from typing import Any

from data.schema import Column, Schema

_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": ["number", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "category": {"type": ["string", "null"]},
    "datetime": {"type": ["string", "null"], "format": "date-time"},
}
_ERRORS = {
    400: "Unusable",
    401: "No key",
    405: "Method",
    408: "Body too slow",
    413: "Too large",
    415: "Type not read",
    421: "Host",
    500: "Our failure",
    503: "Busy",
    504: "Too slow",
}


def document(schema: Schema, *, name: str, version: str) -> dict[str, Any]:
    """Return OpenAPI 3.1 for this model."""
    record = {
        "type": "object",
        "required": list(schema.names),
        "properties": {column.name: _column(column) for column in schema.columns},
    }
    rows = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}}
    variants = [_object(key, rows) for key in ("dataframe_records", "instances", "inputs")]
    invocations = {"oneOf": [*variants, _object("dataframe_split", _split())]}
    numbers = {"type": "array", "items": {"type": ["number", "null"]}}
    paths = {
        "/invocations": {"post": _call("Score rows", invocations, _object("predictions", numbers))},
        "/predict": {"post": _call("Score", _object("x", {}), _object("y", {}))},
    }
    for path in ("/ping", "/health", "/version", "/livez", "/readyz", "/metrics", "/openapi.json"):
        paths[path] = {"get": {"responses": _responses({"description": "OK"})}}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name or 'model'}: {schema.target}", "version": version or "0"},
        "paths": paths,
        "components": {"schemas": {"Row": record, "Error": _error()}},
    }


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


def _call(summary: str, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": request}}}
    good = {"description": "OK", "content": {"application/json": {"schema": answer}}}
    return {"summary": summary, "requestBody": body, "responses": _responses(good)}


def _responses(good: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"200": good} | {
        str(status): {"description": text, "content": content} for status, text in _ERRORS.items()
    }
