"""Ctrl-C and SIGTERM during long work that must not miss them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def remembered_signals() -> Iterator[Callable[[], None]]:
    """Yield what raises again for Ctrl-C or SIGTERM.

    Python drops an exception that a signal raises within a destructor or some callbacks: a Ctrl-C was seen
    to be lost, and the search went on to its end.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []

    def told(number: int, where: FrameType | None) -> None:
        came.append(number)
        again(number, where)

    def again(number: int, where: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, where)

    ours = [number for number, handler in before.items() if callable(handler)]
    if threading.current_thread() is not threading.main_thread():
        ours = []
    for number in ours:
        signal.signal(number, told)
    try:
        yield lambda: again(came[-1], None) if came else None
    finally:
        for number in ours:
            signal.signal(number, before[number])
