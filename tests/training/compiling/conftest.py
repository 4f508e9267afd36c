"""Small fits gain nothing from a second thread, and lose much when another process holds the core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep OpenMP and BLAS to one thread."""
    with threadpool_limits(1):
        yield
