"""One line of JSON for a request: a sample of those that were answered, and those that were refused.

A refusal's line has the id that its client got. They are written at a bounded rate, so that a
flood of bad requests fills no disk; how many went unwritten stands in the next line.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Mapping
from typing import Any, Protocol

MOST_REFUSALS_A_SECOND = 10

logger = logging.getLogger(__name__)


class Ended(Protocol):
    """How a request ended: an answer of either door's."""

    @property
    def status(self) -> int:
        """HTTP's, also of what came over gRPC."""

    @property
    def error_id(self) -> str:
        """Of what was refused or failed; nothing where it was answered."""


class AccessLog:
    """One worker's log."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._second = 0
        self._written = self._unwritten = 0

    def note(self, scope: Mapping[str, Any], answer: Ended, seconds: float, version: str) -> None:
        """Write the request's line, if it is to be written."""
        if not (self._has_room() if answer.error_id else random.random() < self._share):  # noqa: S311 - a sample
            return
        line = {
            "time": round(time.time(), 3),
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": answer.status,
            "ms": round(seconds * 1e3, 3),
            "version": version,
        }
        if answer.error_id:
            line |= {"error_id": answer.error_id, "unwritten": self._unwritten}
            self._unwritten = 0
        logger.info("%s", json.dumps(line))

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        self._unwritten += self._written > MOST_REFUSALS_A_SECOND
        return self._written <= MOST_REFUSALS_A_SECOND
