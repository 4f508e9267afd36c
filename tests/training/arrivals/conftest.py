"""What the tests of arrivals share: the houses that are watched."""

from __future__ import annotations

from tests.training.arrivals.watched_houses import houses_registry, put_houses

__all__ = ["houses_registry", "put_houses"]
