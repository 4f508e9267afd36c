"""A Dask cluster for tests: two workers in processes of their own, which are replaced where they are killed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.workers import Address
from tests.conftest import missing_part


def needs_dask() -> None:
    """Skip, or fail in CI, where the extra is absent."""
    if not importlib.util.find_spec("distributed"):
        missing_part("Dask (pip install '.[dask]')")


@contextmanager
def two_workers(folder: Path, **options: Any) -> Iterator[Address]:
    """Start a cluster, and yield its scheduler's address."""
    needs_dask()
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        memory_limit=None,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        local_directory=str(folder),
        silence_logs=logging.CRITICAL,
        **options,
    ) as cluster:
        yield Address.of(cluster.scheduler_address)
