"""What all protocols over HTTP have in common: gzip, the Content-Type, and the coverage that an address may ask for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import parse_qs

from data.schema import Schema
from serving.errors import CoverageRefused, Malformed, RequestError
from serving.protocols.protocol import NO_INTERVALS, Call, Inputs, MlflowRequest
from serving.protocols.responses import Answer
from serving.rows import Rows, media
from serving.scorer import Bounds, Floats
from serving.settings import Limits

MOST_PARAMETERS = 100
JSON = media.JSON.encode()

Form = TypeVar("Form")
"""What a protocol has to know of a request to answer it."""


class HttpProtocol(ABC, Generic[Form]):
    """A protocol whose calls have a body in bytes, headers and an address."""

    name: str

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    @abstractmethod
    def refused(self, error: RequestError, error_id: str) -> Answer:
        """Answer for a mistake of the client's."""

    @abstractmethod
    def failed(self, error_id: str) -> Answer:
        """Answer for a mistake of ours."""

    @abstractmethod
    def read(self, body: bytes, kind: str, call: Call[Answer], schema: Schema, /) -> tuple[Rows, Form]:
        """Return the rows of a body, which the call may have had compressed; raises RequestError."""

    @abstractmethod
    def translate(
        self, body: bytes, kind: str, call: Call[Answer], inputs: Inputs, /
    ) -> tuple[MlflowRequest, Form]:
        """Return an MLflow request that says the same; raises RequestError."""

    @abstractmethod
    def encode(self, values: Floats | Bounds, rows: Rows, form: Form, call: Call[Answer], /) -> Answer:
        """Answer with what a scorer predicts for the rows; raises RequestError."""

    @abstractmethod
    def from_mlflow(self, reply: bytes, form: Form, call: Call[Answer], /) -> Answer:
        """Answer with what MLflow replied; raises RequestError."""

    def decode(self, call: Call[Answer], schema: Schema, /) -> tuple[Rows, Form]:
        """Return a call's rows; raises RequestError."""
        body, kind = self._opened(call)
        rows, form = self.read(body, kind, call, schema)
        return _within(rows, call.query) if call.query else rows, form

    def to_mlflow(self, call: Call[Answer], inputs: Inputs, /) -> tuple[MlflowRequest, Form]:
        """Return an MLflow request that says the same, for the inputs of a signature; raises RequestError."""
        if call.query and _coverage_in(call.query):
            raise CoverageRefused(NO_INTERVALS)
        body, kind = self._opened(call)
        return self.translate(body, kind, call, inputs)

    def _opened(self, call: Call[Answer]) -> tuple[bytes, str]:
        body, headers = call.body, call.headers
        if b"content-encoding" in headers:
            body = media.expand(body, _text(headers, b"content-encoding").lower(), self.limits)
        if headers.get(b"content-type") == JSON:
            return body, media.JSON
        return body, media.media_type(_text(headers, b"content-type"))


def _within(rows: Rows, query: bytes) -> Rows:
    """Return the rows with the coverage that the address asks for, if it does; raises Malformed."""
    given = _coverage_in(query)
    if not given:
        return rows
    try:
        (coverage,) = given
        return rows.within(float(coverage))
    except ValueError as error:
        raise Malformed("coverage in the address must be one number, such as ?coverage=0.9") from error


def _coverage_in(query: bytes) -> list[str]:
    """Return what an address says of the coverage; other names in it are for proxies and logs. Raises Malformed."""
    try:
        named = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise Malformed(f"the address has more than {MOST_PARAMETERS} parameters") from error
    return named.get("coverage", [])


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()
