"""What the server counts, for Prometheus; right across workers through prometheus-client's shared files.

The parent sets PROMETHEUS_MULTIPROC_DIR before a worker imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
PROTOCOLS = ("mlflow", "simple")


class Telemetry:
    """One worker's counters."""

    def __init__(self, *, name: str, version: str, digest: str) -> None:
        registry = CollectorRegistry()
        self._requests = Counter("slipway_requests", "Answers", ["protocol", "status"], registry=registry)
        self._errors = Counter("slipway_errors", "Requests refused or failed", ["kind"], registry=registry)
        self._columns = {
            noun: Counter(f"slipway_{noun}", text, ["column"], registry=registry)
            for noun, text in (
                ("unseen_categories", "Unseen categories scored"),
                ("unexpected_gaps", "Nulls where training saw none"),
            )
        }
        seconds = Histogram(
            "slipway_seconds",
            "From the request's head to its answer",
            ["protocol"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._rows = Counter("slipway_rows", "Rows scored", registry=registry)
        self._extra = Counter(
            "slipway_extra_columns", "Columns sent that the model ignores", registry=registry
        )
        self.in_flight = Gauge(
            "slipway_in_flight", "Requests being answered", multiprocess_mode="livesum", registry=registry
        )
        info = Gauge(
            "slipway_model",
            "The model served",
            ["name", "version", "digest"],
            multiprocess_mode="max",
            registry=registry,
        )
        info.labels(name, version, digest).set(1)
        self._seconds = {protocol: seconds.labels(protocol) for protocol in PROTOCOLS}
        self._good = {protocol: self._requests.labels(protocol, "200") for protocol in PROTOCOLS}

    def scored(self, protocol: str, rows: int, seconds: float, *, extra: int) -> None:
        """Count one answered request."""
        self._good[protocol].inc()
        self._rows.inc(rows)
        self._seconds[protocol].observe(seconds)
        if extra:
            self._extra.inc(extra)

    def noticed(self, noun: str, counts: Mapping[str, int]) -> None:
        """Count unseen categories or unexpected gaps; the columns are the schema's, so few."""
        for column, count in counts.items():
            self._columns[noun].labels(column).inc(count)

    def refused(self, protocol: str, status: int, kind: str) -> None:
        """Count one request that got no predictions."""
        self._requests.labels(protocol, str(status)).inc()
        self._errors.labels(kind).inc()


def exposition() -> bytes:
    """Return all workers' figures as Prometheus reads them."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
