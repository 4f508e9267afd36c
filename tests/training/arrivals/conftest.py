"""What the tests of arrivals share: the houses that are watched, and those that are served."""

from __future__ import annotations

from tests.training.arrivals.served_houses import look, served
from tests.training.arrivals.watched_houses import houses_registry, put_houses

__all__ = ["houses_registry", "look", "put_houses", "served"]
