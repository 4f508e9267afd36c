"""MLflow's scoring protocol: `POST /invocations`."""

from __future__ import annotations

from typing import Any

from data.schema import Schema
from serving.errors import Malformed, TooLarge
from serving.protocols import translation
from serving.protocols.over_http import HttpProtocol
from serving.protocols.protocol import Call, Inputs, MlflowRequest
from serving.protocols.responses import Answer, MlflowErrors, predictions
from serving.rows import (
    Rows,
    budget,
    check_table,
    from_columns,
    from_records,
    from_split,
    from_table,
    media,
    read_json,
)
from serving.scorer import Bounds, Floats
from serving.settings import Limits

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


ASKED = ("coverage", "explain", "top")
"""What params may hold."""


def decode(body: bytes, kind: str, schema: Schema, limits: Limits) -> Rows:
    """Return a request's rows; raises RequestError."""
    if kind != media.JSON:
        return from_table(body, kind, schema, limits)
    rows, params = decode_json(body, schema, limits, *ASKED)
    explain, rows = params.get("explain"), rows.within(params.get("coverage"))
    if explain is not None and type(explain) is not bool:
        raise Malformed("explain must be true or false")
    if "top" in params and not explain:
        raise Malformed("top goes with explain: true")
    return rows.explained(params.get("top")) if explain else rows


def decode_json(body: bytes, schema: Schema, limits: Limits, *asked: str) -> tuple[Rows, dict[str, Any]]:
    """Return a JSON body's rows and its params, which may hold what is named; raises RequestError."""
    request = read_json(body, limits)
    if type(request) is not dict:
        raise Malformed(f"the body must be an object with exactly one of {', '.join(FORMATS)}")
    given = [name for name in FORMATS if name in request]
    if len(given) != 1:
        raise Malformed(
            f"the body must have exactly one of {', '.join(FORMATS)}; it has {len(given)} of them"
        )
    params = request.get("params") or {}
    if type(params) is not dict or not set(params) <= {*asked}:
        raise Malformed(f"params may hold {' and '.join(asked)}, and nothing else")
    return _READERS[given[0]](request[given[0]], schema, limits), params


def _split(given: Any, schema: Schema, limits: Limits) -> Rows:
    if type(given) is not dict or not {"data"} <= set(given) <= {"columns", "index", "data"}:
        raise Malformed("dataframe_split must be an object with columns, data, and index if you like")
    names, data = given.get("columns"), given["data"]
    if type(data) is list and type(names) is list and len(names) == 1:
        data = [row if type(row) is list else [row] for row in data]
    return from_split(names, data, schema, limits)


def _columns_or_records(given: Any, schema: Schema, limits: Limits) -> Rows:
    """Read `instances` or `inputs`: objects, columns, or the bare values of a model of one column.

    A single value beside lists stands in every row, as pandas has it.
    """
    if type(given) is list and len(schema.columns) == 1 and given and type(given[0]) is not dict:
        return from_columns({schema.names[0]: given}, schema, limits)
    if type(given) is not dict:
        return from_records(given, schema, limits)
    lengths = {len(values) for values in given.values() if type(values) is list}
    if not lengths:
        return from_records([given], schema, limits)
    longest = max(lengths)
    if longest > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)
    budget.before_rows(longest, len(schema.columns), copies=1)
    columns = {
        name: [values] * longest if type(values) is not list and name in schema.names else values
        for name, values in given.items()
        if type(values) is list or name in schema.names  # a value that the model ignores is not repeated
    }
    return from_columns(columns, schema, limits, extra=len(given.keys() - set(schema.names)))


_READERS = {
    "dataframe_split": _split,
    "dataframe_records": from_records,
    "instances": _columns_or_records,
    "inputs": _columns_or_records,
}


class Invocations(MlflowErrors, HttpProtocol[None]):
    """MLflow's own protocol, with intervals and reasons where they were asked for."""

    name = "mlflow"

    def read(self, body: bytes, kind: str, _call: Call[Answer], schema: Schema, /) -> tuple[Rows, None]:
        """Return the rows of a body; raises RequestError."""
        return decode(body, kind, schema, self.limits), None

    def encode(self, values: Floats | Bounds, rows: Rows, _form: None, _call: Call[Answer], /) -> Answer:
        """Return `{"predictions": [...]}`, the intervals and the reasons."""
        return predictions(values, rows)

    def translate(
        self, body: bytes, kind: str, _call: Call[Answer], _inputs: Inputs, /
    ) -> tuple[MlflowRequest, None]:
        """Return the request as it is, once it is known to be one, and not too large; raises RequestError."""
        if kind not in (media.JSON, media.CSV, media.PARQUET):
            raise media.wrong_type(kind, media.JSON, media.CSV, media.PARQUET)
        if kind != media.JSON:
            check_table(body, kind, self.limits)
            return MlflowRequest(body, kind), None
        body = media.without_mark(body)
        request = read_json(body, self.limits)
        if type(request) is not dict:
            raise Malformed("the body must be an object")
        for form in FORMATS:
            if form in request:
                translation.check_size(form, request[form], self.limits)
        return MlflowRequest(body, kind), None

    def from_mlflow(self, reply: bytes, _form: None, _call: Call[Answer], /) -> Answer:
        """Return the reply as it is."""
        return Answer(reply)
