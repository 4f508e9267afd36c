"""What is counted of labels, for Prometheus; across workers as in `serving.front.telemetry`."""

from __future__ import annotations

import logging
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter

logger = logging.getLogger(__name__)


class FeedbackFigures:
    """One worker's; without room for them nothing is counted."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._labels = self._refused = None
        try:
            self._labels = Counter("slipway_feedback_labels", "Labels kept", registry=registry)
            self._refused = Counter(
                "slipway_feedback_refused", "Requests with labels refused", ["reason"], registry=registry
            )
        except OSError as error:
            logger.error("labels are not counted: %s", error.strerror)  # noqa: TRY400 - the text says it all

    def kept(self, labels: int) -> None:
        """Count labels."""
        if self._labels:
            self._labels.inc(labels)

    def refused(self, reason: str) -> None:
        """Count a request by the kind of its error."""
        if self._refused:
            with suppress(OSError):  # a first one of its kind needs room
                self._refused.labels(reason).inc()
