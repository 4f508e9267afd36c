"""What every runtime offers: a loaded version that answers calls, whatever runs it."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from data.schema import Column
from serving.errors import Headers
from serving.protocols import Call
from serving.rows.cells import Texts
from serving.runtimes.background import Background
from serving.scorer import Floats
from serving.settings import Model

A = TypeVar("A")
NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True)
class Description:
    """What is said of a version to those who do not ask for predictions.

    Attributes
    ----------
    name : str
        Of the model, as the Open Inference Protocol has it.
    label : str
        Its number in the registry, or what stands for it; answers name it so.
    digest : str
        Of the scorer; nothing for what MLflow runs.
    columns : tuple of Column
        Of the packed matrix; none for what MLflow runs.
    form : callable
        What the page asks for: columns, examples, intervals.
    mlflow : str
        The version of MLflow that logged it.
    metadata : mapping
        In the Open Inference Protocol's words.
    openapi : bytes
        Its OpenAPI document.
    """

    name: str
    label: str
    digest: str
    mlflow: str
    metadata: Mapping[str, Any]
    openapi: bytes
    columns: tuple[Column, ...] = ()
    form: Callable[[], dict[str, Any]] = dict

    @cached_property
    def headers(self) -> Headers:
        """That all its answers have."""
        return ((b"x-model-version", self.label.encode()),)


class Predicted(NamedTuple):
    """What a compiled version scored.

    Attributes
    ----------
    matrix : float64 array of shape (n_rows, n_columns)
    predictions : float64 array of shape (n_rows,)
    scale : float64 array of shape (n_rows,), or None where no interval was asked for
    texts : sequence of (row, column, text)
        Of unseen categories.
    request_id : str
        As the body has it.
    """

    matrix: Floats
    predictions: Floats
    scale: Floats | None
    texts: Texts
    request_id: str


class Scored(NamedTuple, Generic[A]):
    """An answer, and what is counted about it: rows, columns that were ignored, categories and gaps that were new.

    And what there is to keep of it.
    """

    answer: A
    rows: int
    extra: int = 0
    unseen: Mapping[str, int] = NOTHING
    missing: Mapping[str, int] = NOTHING
    predicted: Predicted | None = None


class Runtime(typing.Protocol):
    """One loaded version. A request takes it once, so that no answer mixes two."""

    @property
    def model(self) -> Model:
        """Which version it is, and where it is served."""

    @property
    def description(self) -> Description:
        """What it is."""

    async def predict(self, call: Call[A], background: Background) -> Scored[A]:
        """Decode a call, score its rows and encode the answer; raises RequestError."""

    def close(self) -> None:
        """Let go of it, once what it was asked is answered."""
