"""The server's OpenAPI document: every path, what it takes and gives, and every error, for one model.

What is the same for all models stands in `skeleton.json`; a model's forms, its name and its version fill it. The
errors that each kind of call may end with, and the paths that name a version, are added here to each operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from serving.openapi.forms import NUMBER, TOP, Described, Forms, closed, list_of, object_of, ref
from serving.protocols import tensors
from serving.rows import media

FEEDBACK = Path(__file__).with_name("feedback.json")
SKELETON = Path(__file__).with_name("skeleton.json")

_ASKED = {
    "401": "No known key or token",
    "403": "A known key or token that may not do this, or no certificate that is let in",
    "405": "Another method is due",
    "421": "Host header of another machine",
    "429": "More often than this key may ask",
    "500": "Our failure",
}
_SCORED = _ASKED | {
    "400": "The body cannot be used; `errors` names each place",
    "408": "The body came too slowly",
    "413": "More bytes, rows, columns or levels than the server takes",
    "415": "A Content-Type or Content-Encoding that is not read here",
    "503": "As many requests are in flight as the worker takes",
    "504": "Scoring took too long",
}
_ERRORS = {"get": _ASKED, "post": _SCORED}
"""By method; what a single path says of a status stands in the skeleton."""
_NOT_SERVED = {"404": "No such version"}
_FILE: Described = {"schema": {"type": "string", "format": "binary"}}
_ENDS = (tensors.LOWER, tensors.UPPER)


def document(forms: Forms, *, name: str, version: str) -> Described:
    """Return OpenAPI 3.1 for a model; `name` and `version` are what the Open Inference Protocol calls it."""
    made: Described = orjson.loads(SKELETON.read_bytes())
    made["info"] = {"title": f"{name or 'model'}: {forms.title}", "version": version}
    _fill_invocations(made["paths"]["/invocations"]["post"], forms)
    if forms.explains:
        made["paths"]["/explain"]["post"]["requestBody"]["content"] |= dict.fromkeys(forms.tables, _FILE)
    else:
        del made["paths"]["/explain"]
    made["paths"] = _paths(made["paths"], name, version)
    schemas = made["components"]["schemas"]
    _fill_tensors(schemas, forms)
    made["components"]["schemas"] = {**forms.named, **_tables(forms), **schemas}
    return made


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


@lru_cache(maxsize=8)
def with_captures(described: bytes) -> bytes:
    """Return a document that has the path for labels too, and the headers by which predictions are known there."""
    document, feedback = orjson.loads(described), orjson.loads(FEEDBACK.read_bytes())
    for item in document["paths"].values():
        if "post" in item:
            item["post"].setdefault("parameters", []).extend(feedback["parameters"])
            item["post"]["responses"]["200"].setdefault("headers", {}).update(feedback["headers"])
    document["paths"] |= {path: _with_errors(item, "Error", {}) for path, item in feedback["paths"].items()}
    document["components"]["schemas"] |= feedback["schemas"]
    return orjson.dumps(document)


def _paths(skeleton: Mapping[str, Any], name: str, version: str) -> dict[str, Any]:
    """Return the paths with a model's name in them, each of a model's also with its version, and all with errors."""
    paths = {}
    for path, item in skeleton.items():
        # What has no model's prefix answers errors as the Open Inference Protocol does.
        form = "V2Error" if "servers" in item else "Error"
        paths[path.replace("{model}", name)] = _with_errors(item, form, {})
        if "{model}" in path:
            versioned = path.replace("{model}", f"{name}/versions/{{version}}")
            paths[versioned] = _of_version(_with_errors(item, form, _NOT_SERVED), version)
    return paths


def _with_errors(item: Mapping[str, Any], form: str, others: Mapping[str, str]) -> dict[str, Any]:
    """Return a path's operations with what each may end with."""
    made = dict(item)
    for method in _ERRORS.keys() & item.keys():
        content = {media.JSON: {"schema": ref(form)}}
        errors = {
            status: {"description": text, "content": content}
            for status, text in {**_ERRORS[method], **others}.items()
        }
        made[method] = item[method] | {"responses": errors | item[method]["responses"]}
    return made


def _of_version(item: dict[str, Any], version: str) -> dict[str, Any]:
    """Return a path's operations for the path that names a version too."""
    for method in _ERRORS.keys() & item.keys():
        item[method]["operationId"] += "_of_version"
    text = {"type": "string"}
    named = {"name": "version", "in": "path", "required": True, "schema": text, "example": version}
    return item | {"parameters": [named]}


def _fill_invocations(operation: dict[str, Any], forms: Forms) -> None:
    """Add examples, the tables that are taken, and the coverage."""
    rows, predictions = forms.golden
    taken, given = operation["requestBody"]["content"], operation["responses"]["200"]["content"]
    for content, key, golden in ((taken, "dataframe_records", rows), (given, "predictions", predictions)):
        if golden:
            content[media.JSON]["examples"] = {"golden": {"value": {key: golden}}}
    taken |= dict.fromkeys(forms.tables, _FILE)
    if forms.coverage:
        operation["parameters"] = [{"name": "coverage", "in": "query", "schema": forms.coverage["coverage"]}]


def _fill_tensors(schemas: dict[str, Any], forms: Forms) -> None:
    """Add the datatypes, what the tensors are called here, an example, and the coverage."""
    schemas["Datatype"]["enum"] = list(tensors.DATATYPES)
    if forms.names:
        schemas["Tensor"]["properties"]["name"]["examples"] = list(forms.names)
    if forms.tensors:
        schemas["InferRequest"]["properties"]["inputs"]["examples"] = [forms.tensors]
    schemas["InferParameters"]["properties"] |= forms.coverage


def _tables(forms: Forms) -> dict[str, Described]:
    """Return what `/invocations` and `/predict` take and give; the first has a name for each of its keys."""
    others = {"params": forms.params} if forms.params else {}
    named = {"".join(map(str.title, key.split("_"))): key for key in forms.rows}
    schemas = {name: object_of({key: forms.rows[key]}, others) for name, key in named.items()}
    more = {"intervals": ref("Intervals")} if forms.coverage else {}
    if forms.explains:
        schemas |= _explain(forms, named)
        more["explanations"] = list_of(ref("Explanation"))
    schemas |= {
        "Invocations": {"oneOf": [ref(name) for name in named]},
        "Predictions": object_of({"predictions": forms.predictions}, more),
        "PredictRequest": object_of({"x": forms.x}, forms.coverage),
        "PredictResponse": object_of({"y": forms.y}, dict.fromkeys(_ENDS, forms.y) if forms.coverage else {}),
    }
    if forms.coverage:
        ends = dict.fromkeys(_ENDS, list_of(NUMBER))
        schemas["Intervals"] = object_of({"coverage": {"type": "number"}} | ends)
    return schemas


def _explain(forms: Forms, named: Mapping[str, str]) -> dict[str, Described]:
    """Return what `/explain` takes: the rows of `/invocations` in JSON, and how many columns are to be shown."""
    params = {"params": closed({"top": TOP}) or {}}
    made = {f"Explain{name}": object_of({key: forms.rows[key]}, params) for name, key in named.items()}
    return {"Explain": {"oneOf": [ref(name) for name in made]}} | made
