"""A look that is taken again and again, until somebody ends it: each night, or each so many hours.

What can pass, such as a store that does not answer, is said, and the look is taken again a few minutes later. What
only the user can mend ends it, as long as no look has succeeded: later it is said, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from training.console.failures import MENDABLE, failure_of, is_of_tracking
from training.console.interrupts import remembered_signals
from training.console.progress import Say
from training.errors import CapturesBusy, MonitorBusy, TrackingUnavailable

LATE = timedelta(minutes=20)
"""After midnight, and after each of the spans: a day is over a quarter of an hour after it."""

SOON = timedelta(minutes=5)
"""Until the next look after one that failed, at most."""

PASSING = (CapturesBusy, MonitorBusy, TrackingUnavailable, OSError)
"""What another time may be otherwise, though nobody mends how it was asked for."""


def follow(look: Callable[[], object], every: timedelta, say: Say) -> None:
    """Look at once and then after each span, until Ctrl-C or SIGTERM.

    Raises
    ------
    Exception
        What a first look raises and nobody else mends; and at any time what we have to mend.
    """
    has_succeeded = False
    with remembered_signals() as raise_again:
        try:
            while True:
                failed = _failed(look, is_first=not has_succeeded)
                has_succeeded |= not failed
                at = _next(datetime.now(tz=UTC), every)
                if failed:
                    at = min(at, datetime.now(tz=UTC) + SOON)
                    say("failed", failed)
                say("wait", f"until {at:%Y-%m-%d %H:%M:%S} UTC for the next look; Ctrl-C or SIGTERM ends it")
                _wait(at, raise_again)
        except KeyboardInterrupt:
            say("stop", "asked to; the next call goes on after the last day that was kept")


def _failed(look: Callable[[], object], *, is_first: bool) -> str:
    """Look, and return why it failed; nothing where it did not."""
    try:
        look()
    except Exception as error:
        failure = failure_of(error)
        passes = isinstance(error, PASSING) or is_of_tracking(error)
        if failure.code != MENDABLE or (is_first and not passes):
            raise
        logging.getLogger(__name__).warning("a look failed and will be taken again", exc_info=True)
        return failure.reason
    return ""


def _next(now: datetime, every: timedelta) -> datetime:
    """Return when the next span begins, and a little.

    >>> _next(datetime(2026, 11, 28, 12, tzinfo=UTC), timedelta(days=1)).isoformat()
    '2026-11-29T00:20:00+00:00'
    >>> _next(datetime(2026, 11, 29, 0, 10, tzinfo=UTC), timedelta(hours=6)).isoformat()
    '2026-11-29T00:20:00+00:00'
    """
    begin = datetime(1970, 1, 1, tzinfo=UTC) + LATE
    return begin + ((now - begin) // every + 1) * every


def _wait(at: datetime, raise_again: Callable[[], None]) -> None:
    """Wait by the clock that people read: a machine that slept wakes up and looks."""
    while (left := (at - datetime.now(tz=UTC)).total_seconds()) > 0.0:
        raise_again()
        time.sleep(min(left, 1.0))
