"""Predictions and errors -> the bytes of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np
import orjson

from serving.errors import Headers, RequestError, UnusableValues
from serving.rows import Rows
from serving.scorer import Bounds, Floats

if TYPE_CHECKING:
    from serving.scorer.reasons import Reasons

JSON_TYPE = (b"content-type", b"application/json")
FAILED = "the server failed; its log has the reason under {}"


class Answer(NamedTuple):
    """One HTTP response."""

    body: bytes
    status: int = 200
    headers: Headers = (JSON_TYPE,)
    error_id: str = ""


def predictions(values: Floats | Bounds, rows: Rows) -> Answer:
    """Answer as MLflow does. A prediction that is no number becomes null: JSON has no NaN."""
    body: dict[str, Any] = {"predictions": values}
    if isinstance(values, Bounds):
        intervals = {"coverage": rows.coverage, "lower": values.lower, "upper": values.upper}
        body = {"predictions": values.predictions, "intervals": intervals}
    if rows.reasons:
        body["explanations"] = explanations(rows.reasons, rows.top or 0)
    return Answer(dump(body), headers=(JSON_TYPE, *noticed(rows.unseen)))


def explanations(reasons: Reasons, top: int) -> list[dict[str, Any]]:
    """Return each row's reasons: all columns in the model's order, or the `top` largest and the rest as one number."""
    return [_explanation(reasons, index, top) for index in range(len(reasons.predictions))]


def _explanation(reasons: Reasons, place: int, top: int) -> dict[str, Any]:
    shares, prediction = reasons.shares[place], float(reasons.predictions[place])
    said: dict[str, Any] = {"prediction": prediction, "base": reasons.base, "contributions": None}
    said |= {"method": reasons.method, "exact": reasons.errors is None}
    if not np.isfinite(shares).all():
        return said
    shown = np.argsort(-np.abs(shares), kind="stable")[:top] if top else np.arange(len(shares))
    named = [(reasons.columns[column], column) for column in shown.tolist()]
    said["contributions"] = {name: float(shares[column]) for name, column in named}
    if len(shown) < len(shares):
        said["rest"] = float(np.delete(shares, shown).sum())
    if reasons.errors is not None:
        said["standard_errors"] = {name: float(reasons.errors[place, column]) for name, column in named}
    return said


def noticed(unseen: Mapping[str, int]) -> Headers:
    """Say which columns held categories that training did not see, and how many."""
    if not unseen:
        return ()
    listed = ", ".join(f"{quote(name)}={count}" for name, count in unseen.items())
    return ((b"x-unseen-categories", listed[:4096].encode()),)


def dump(body: Any) -> bytes:
    """Write JSON, numpy arrays included."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


class MlflowErrors:
    """Errors with MLflow's keys, the faults, and an id instead of a traceback."""

    name = "none"

    def refused(self, error: RequestError, error_id: str) -> Answer:
        """Answer for a mistake of the client's."""
        body: dict[str, object] = {
            "error_code": error.code,
            "message": str(error),
            "stack_trace": f"withheld; error id {error_id}",
        }
        if isinstance(error, UnusableValues):
            faults = [vars(fault) for fault in error.faults]
            body |= {"errors": faults, "error_count": error.count}
        return Answer(dump(body), error.status, (JSON_TYPE, *error.headers), error_id)

    def failed(self, error_id: str) -> Answer:
        """Answer for a mistake of ours."""
        body = {
            "error_code": "INTERNAL_ERROR",
            "message": FAILED.format(error_id),
            "stack_trace": f"withheld; error id {error_id}",
        }
        return Answer(dump(body), 500, error_id=error_id)


class OneTextErrors:
    """Errors as one text, which is what the Open Inference Protocol and its predecessor say."""

    name = "v2 page"

    def refused(self, error: RequestError, error_id: str) -> Answer:
        """Answer for a mistake of the client's."""
        return Answer(dump({"error": str(error)}), error.status, (JSON_TYPE, *error.headers), error_id)

    def failed(self, error_id: str) -> Answer:
        """Answer for a mistake of ours."""
        return Answer(dump({"error": FAILED.format(error_id)}), 500, error_id=error_id)
