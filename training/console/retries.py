"""What a command waits for where MLflow's server fails: its client asks again for minutes, without a word.

It says so to a logger alone, for whoever looks into it. Here it becomes a line: what fails, how long until it is asked
again, and how often it was. Where what is said there changes, the lines are missing, and nothing else. A bucket that is
asked without a server is asked three times within a second: nobody has to be told.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from training.console.progress import Say

SHORTEST = 0.5
"""Seconds that nobody has to be told of."""

LOGGER = "urllib3.util.retry"

FILES = "mlflow-artifacts"
"""In the address by which MLflow's server takes files."""


def tell(say: Say) -> None:
    """Let each wait before another attempt be told, to nobody else than by now."""
    logger = logging.getLogger(LOGGER)
    logger.handlers = [_Listener(say)]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


class _Listener(logging.Handler):
    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        # Nobody listens any more, or what is said there has changed: no reason to end a request.
        with suppress(OSError, ValueError, TypeError, AttributeError, IndexError):
            args: Any = record.args
            is_another = str(record.msg).startswith("Incremented Retry") and isinstance(args, tuple)
            if is_another and (told := _waited_for(*args)):
                self._say("wait", told)


def _waited_for(url: object, retry: Any) -> str:
    """Return what fails and how long it is waited, by urllib3's `Retry`; or nothing."""
    last, count, seconds = retry.history[-1], len(retry.history), retry.get_backoff_time()
    if seconds < SHORTEST:
        return ""
    why = f"answers {last.status}" if last.status else f"does not answer ({type(last.error).__name__})"
    what = "files: its bucket may be down, or full" if FILES in str(url) else "tracking"
    return f"the server {why} for {what}; trying again in {seconds:.0f} s ({count} of {count + int(retry.total or 0)})"
