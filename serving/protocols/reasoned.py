"""`POST /explain`: why each row is predicted as it is, for the bodies that `/invocations` takes."""

from __future__ import annotations

from dataclasses import replace

from data.schema import Schema
from serving.errors import NotExplained
from serving.protocols.invocations import decode_json
from serving.protocols.over_http import HttpProtocol
from serving.protocols.protocol import Call, Inputs, MlflowRequest
from serving.protocols.responses import JSON_TYPE, Answer, MlflowErrors, dump, explanations, noticed
from serving.rows import Rows, from_table, media
from serving.scorer import Bounds, Floats
from serving.settings import Limits

MOST_ROWS = 1_000
"""Of one request, read at all; a model that is asked itself explains fewer."""


class Reasoned(MlflowErrors, HttpProtocol[None]):
    """The protocol of reasons."""

    name = "explain"

    def __init__(self, limits: Limits) -> None:
        super().__init__(replace(limits, rows=min(limits.rows, MOST_ROWS)))

    def read(self, body: bytes, kind: str, _call: Call[Answer], schema: Schema, /) -> tuple[Rows, None]:
        """Return the rows of a body, to be explained; raises RequestError."""
        if kind != media.JSON:
            return from_table(body, kind, schema, self.limits).explained(None), None
        rows, params = decode_json(body, schema, self.limits, "top")
        return rows.explained(params.get("top")), None

    def encode(self, _values: Floats | Bounds, rows: Rows, _form: None, _call: Call[Answer], /) -> Answer:
        """Return `{"explanations": [...], "target": ..., "unit": ...}`."""
        assert rows.reasons is not None
        target, unit = rows.reasons.target, rows.reasons.unit
        body = {"explanations": explanations(rows.reasons, rows.top or 0), "target": target, "unit": unit}
        return Answer(dump(body), headers=(JSON_TYPE, *noticed(rows.unseen)))

    def translate(
        self, _body: bytes, _kind: str, _call: Call[Answer], _inputs: Inputs, /
    ) -> tuple[MlflowRequest, None]:
        """Refuse: nobody knows what is inside a model that MLflow runs."""
        raise NotExplained(reason="it runs with --runtime pyfunc; a version that compiles has them")

    def from_mlflow(self, reply: bytes, _form: None, _call: Call[Answer], /) -> Answer:
        """Return the reply; nothing asks for it."""
        return Answer(reply)
