"""What is counted of what is kept, for Prometheus; across workers as in `serving.front.telemetry`."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry, Counter, Gauge

REASONS = ("full", "disk", "error", "rate")
"""No room in memory, none on the disk, a write that failed, more rows a second than are wanted."""

logger = logging.getLogger(__name__)


class CaptureFigures:
    """One worker's. All are made at once, so that none needs room later; without room for them nothing is counted."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        try:
            self._rows = Counter("slipway_capture_rows", "Rows kept", registry=registry)
            self._bytes = Counter("slipway_capture_bytes", "Written for kept rows", registry=registry)
            dropped = Counter("slipway_capture_dropped_rows", "Not kept", ["reason"], registry=registry)
            self._dropped = {reason: dropped.labels(reason) for reason in REASONS}
            self._lag, self._on = (
                Gauge(name, text, multiprocess_mode="livemostrecent", registry=registry)
                for name, text in (
                    ("slipway_capture_lag_seconds", "From a frame's begin until it was written"),
                    ("slipway_capture_on", "Whether predictions are kept"),
                )
            )
            self._is_counting = True
        except OSError as error:
            logger.error("captures are not counted: %s", error.strerror)  # noqa: TRY400 - the text says it all
            self._is_counting = False

    def written(self, rows: int, length: int, lag: float) -> None:
        """Count a frame."""
        if self._is_counting:
            self._rows.inc(rows)
            self._bytes.inc(length)
            self._lag.set(lag)

    def dropped(self, reason: str, rows: int) -> None:
        """Count rows that are not kept."""
        if self._is_counting:
            self._dropped[reason].inc(rows)

    def show(self, *, on: bool) -> None:
        """Show whether predictions are kept."""
        if self._is_counting:
            self._on.set(on)
