"""What MLflow inserts if it is not there yet: two writers that insert at once both looked before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow.exceptions import MlflowException


def insert(write: Callable[..., Any], *words: Any, **named: Any) -> None:
    """Call what writes, and again if refused: what another writer inserted meanwhile is found then."""
    try:
        write(*words, **named)
    except MlflowException:
        write(*words, **named)
