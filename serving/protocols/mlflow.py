"""MLflow's scoring protocol: `POST /invocations`."""

from __future__ import annotations

from typing import Any

from data.schema import Schema
from serving.coercion import Floats
from serving.errors import Malformed
from serving.requests import JSON, Rows, from_columns, from_records, from_split, from_table, read_json
from serving.responses import Answer
from serving.responses import predictions as answer_predictions
from serving.settings import Limits

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def decode(body: bytes, kind: str, schema: Schema, limits: Limits) -> Rows:
    """Return a request's rows; raises RequestError."""
    if kind != JSON:
        return from_table(body, kind, schema, limits)
    request = read_json(body)
    if type(request) is not dict:
        raise Malformed(f"the body must be an object with exactly one of {', '.join(FORMATS)}")
    given = [name for name in FORMATS if name in request]
    if len(given) != 1:
        raise Malformed(
            f"the body must have exactly one of {', '.join(FORMATS)}; it has {len(given)} of them"
        )
    if request.get("params"):
        raise Malformed("this model takes no params")
    return _READERS[given[0]](request[given[0]], schema, limits)


def encode(values: Floats, rows: Rows) -> Answer:
    """Return `{"predictions": [...]}`."""
    return answer_predictions(values, rows)


def _split(given: Any, schema: Schema, limits: Limits) -> Rows:
    if type(given) is not dict or not {"data"} <= set(given) <= {"columns", "index", "data"}:
        raise Malformed("dataframe_split must be an object with columns, data, and index if you like")
    return from_split(given.get("columns"), given["data"], schema, limits)


def _columns_or_records(given: Any, schema: Schema, limits: Limits) -> Rows:
    if type(given) is not dict:
        return from_records(given, schema, limits)
    if given and all(type(values) is list for values in given.values()):
        return from_columns(given, schema, limits)
    return from_records([given], schema, limits)


_READERS = {
    "dataframe_split": _split,
    "dataframe_records": from_records,
    "instances": from_records,
    "inputs": _columns_or_records,
}
