"""The simplest call: `POST /predict` with `{"x": 3}` answers `{"y": 11.02}`."""

from __future__ import annotations

from typing import Any

from data.schema import Schema
from serving.errors import Malformed
from serving.protocols import translation
from serving.protocols.over_http import HttpProtocol
from serving.protocols.protocol import Call, Inputs, MlflowRequest
from serving.protocols.responses import JSON_TYPE, Answer, MlflowErrors, dump, noticed
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


class Simple(MlflowErrors, HttpProtocol[bool]):
    """The protocol of one key; its form is whether one value is to be answered rather than a list."""

    name = "simple"

    def read(self, body: bytes, kind: str, _call: Call[Answer], schema: Schema, /) -> tuple[Rows, bool]:
        """Return the rows of a body; raises RequestError."""
        return decode(body, kind, schema, self.limits)

    def encode(self, values: Floats | Bounds, rows: Rows, single: bool, _call: Call[Answer], /) -> Answer:
        """Return `{"y": ...}`, with `lower` and `upper` where a coverage was asked for."""
        named = {"y": values}
        if isinstance(values, Bounds):
            named = {"y": values.predictions, "lower": values.lower, "upper": values.upper}
        body = {name: each[0] if single else each for name, each in named.items()}  # type: ignore[index]
        return Answer(dump(body), headers=(JSON_TYPE, *noticed(rows.unseen)))

    def translate(
        self, body: bytes, kind: str, _call: Call[Answer], _inputs: Inputs, /
    ) -> tuple[MlflowRequest, bool]:
        """Return an MLflow request that says the same; raises RequestError."""
        request, single = translation.from_simple(body, kind, self.limits)
        return MlflowRequest(request, media.JSON), single

    def from_mlflow(self, reply: bytes, single: bool, _call: Call[Answer], /) -> Answer:
        """Return `{"y": ...}`."""
        return Answer(translation.to_simple(reply, single=single))
