"""Ctrl-C and SIGTERM: long work must not miss them, and a step of two requests must not be cut in two by them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def remembered_signals() -> Iterator[Callable[[], None]]:
    """Yield what raises again for Ctrl-C or SIGTERM.

    Python drops an exception that a signal raises within a destructor or some callbacks: a Ctrl-C was seen
    to be lost, and the search went on to its end.
    """
    before, came = _handlers(), list[int]()

    def told(number: int, where: FrameType | None) -> None:
        came.append(number)
        before[number](number, where)

    with _handled_by(told, before):
        yield lambda: before[came[-1]](came[-1], None) if came else None


@contextmanager
def deferred() -> Iterator[None]:
    """Obey a first Ctrl-C or SIGTERM when the block is done, and a second one at once: a server may be down."""
    before, came = _handlers(), list[int]()

    def told(number: int, where: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            before[number](number, where)

    try:
        with _handled_by(told, before):
            yield
    finally:
        if len(came) == 1:
            before[came[0]](came[0], None)


def _handlers() -> dict[int, Handler]:
    """Return what Python calls for the two signals; nothing in a thread, which no signal interrupts."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    return {number: cast("Handler", handler) for number, handler in handlers.items() if callable(handler)}


@contextmanager
def _handled_by(handler: Handler, before: dict[int, Handler]) -> Iterator[None]:
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, its in before.items():
            signal.signal(number, its)
