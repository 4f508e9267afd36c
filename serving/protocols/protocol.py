"""What every protocol offers, and the call that it is handed.

A protocol knows how rows, predictions and errors are written. Who scores them, and which door they came by, is
not its matter: the same object serves a model that is compiled and one that only MLflow can run.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from data.schema import Schema
from serving.errors import RequestError
from serving.rows import Rows, budget
from serving.scorer import Bounds, Floats

A = TypeVar("A")
"""What a protocol answers with: bytes and their headers, or a message of gRPC's."""
R_co = TypeVar("R_co", covariant=True)
"""What it refuses with."""
Inputs = Sequence[Mapping[str, Any]]
"""Of a model's signature, as MLflow writes them; empty without one."""
NO_INTERVALS = "this model has no intervals"


class MlflowRequest(NamedTuple):
    """A request as MLflow's own server takes it: a body and its Content-Type."""

    body: bytes
    kind: str


class Errors(typing.Protocol[R_co]):
    """How a protocol writes its errors, and what the metrics call it."""

    @property
    def name(self) -> str:
        """What the metrics call it."""

    def refused(self, error: RequestError, error_id: str) -> R_co:
        """Answer for a mistake of the client's."""

    def failed(self, error_id: str) -> R_co:
        """Answer for a mistake of ours: a fixed text and the id under which the log has the rest."""


class Protocol(typing.Protocol[A]):
    """One way to send rows and to be answered.

    What `decode` and `to_mlflow` return beside the rows is the protocol's own; it gets that back to write the answer.
    """

    @property
    def name(self) -> str:
        """What the metrics call it."""

    def decode(self, call: Call[A], schema: Schema, /) -> tuple[Rows, Any]:
        """Return a call's rows; raises RequestError."""

    def encode(self, values: Floats | Bounds, rows: Rows, form: Any, call: Call[A], /) -> A:
        """Answer with what a scorer predicts for the rows; raises RequestError."""

    def to_mlflow(self, call: Call[A], inputs: Inputs, /) -> tuple[MlflowRequest, Any]:
        """Return an MLflow request that says the same, for the inputs of a signature; raises RequestError."""

    def from_mlflow(self, reply: bytes, form: Any, call: Call[A], /) -> A:
        """Answer with what MLflow replied; raises RequestError."""


class Call(NamedTuple, Generic[A]):
    """One request that brings rows, read whole.

    Attributes
    ----------
    body : bytes or message
        As it came.
    model, version : str
        Who answers, as the Open Inference Protocol names it.
    size : int
        How long reading it takes, in bytes of JSON.
    kept : int
        Bytes of memory that it takes until it is answered.
    began, deadline : float
        By `time.perf_counter`.
    held : Held or None
        What it holds of the budget of memory; None for what is too small to be counted.
    headers : mapping
        Names in lower case; of a message its metadata, where somebody wants to know them.
    query : bytes
        Of the address.
    tries : bool
        Whether who asks only tries something, and may say so: it is kept as no traffic.
    """

    protocol: Protocol[A]
    body: Any
    model: str
    version: str
    size: int
    kept: int
    began: float
    deadline: float
    held: budget.Held | None
    headers: Mapping[bytes, bytes] = {}
    query: bytes = b""
    tries: bool = False
