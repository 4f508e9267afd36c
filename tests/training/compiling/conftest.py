"""Small fits gain nothing from a second thread, and lose much when another process holds the core; Keras."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from tests.conftest import missing_part


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep OpenMP and BLAS to one thread."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras, whose import takes seconds."""
    if importlib.util.find_spec("tensorflow") is None:
        missing_part("TensorFlow (pip install '.[tensorflow]')")
    import keras

    return keras
