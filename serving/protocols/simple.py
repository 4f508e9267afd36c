"""The simplest call: `POST /predict` with `{"x": 3}` answers `{"y": 11.02}`."""

from __future__ import annotations

from typing import Any

from data.schema import Schema
from serving.errors import Malformed
from serving.protocols.responses import JSON_TYPE, Answer, dump, noticed
from serving.rows import Rows, from_columns, from_records, media, read_json
from serving.scorer import Bounds, Floats
from serving.settings import Limits


def decode(body: bytes, kind: str, schema: Schema, limits: Limits) -> tuple[Rows, bool]:
    """Return the rows, and whether one value is to be answered rather than a list."""
    if kind != media.JSON:
        raise media.wrong_type(kind, media.JSON)
    request = read_json(body, limits)
    if type(request) is not dict or not {"x"} <= set(request) <= {"x", "coverage"}:
        raise Malformed('the body must be an object with the key "x", and "coverage" if you like')
    rows, single = _read(request["x"], schema, limits)
    return rows.within(request.get("coverage")), single


def _read(x: Any, schema: Schema, limits: Limits) -> tuple[Rows, bool]:
    if type(x) is dict and any(type(values) is list for values in x.values()):
        if not all(type(values) is list for values in x.values()):
            raise Malformed("the columns of x must be all lists or all single values")
        return from_columns(x, schema, limits), False
    if type(x) is dict:
        return from_records([x], schema, limits), True
    if type(x) is list and x and all(type(row) is dict for row in x):
        return from_records(x, schema, limits), False
    if len(schema.columns) != 1:
        raise Malformed(
            f"this model has {len(schema.columns)} columns: x must be an object of them, or a list of objects"
        )
    single = type(x) is not list
    return from_columns({schema.names[0]: [x] if single else x}, schema, limits), single


def encode(values: Floats | Bounds, rows: Rows, *, single: bool) -> Answer:
    """Return `{"y": ...}`, with `lower` and `upper` where a coverage was asked for."""
    named = {"y": values}
    if isinstance(values, Bounds):
        named = {"y": values.predictions, "lower": values.lower, "upper": values.upper}
    body = {name: found[0] if single else found for name, found in named.items()}  # type: ignore[index]
    return Answer(dump(body), headers=(JSON_TYPE, *noticed(rows)))
