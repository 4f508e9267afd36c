"""A step that a signal must not cut in two, and one that waits too long."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from training.console import interrupts


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _stop)
    yield
    signal.signal(signal.SIGTERM, before)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    """Send this process a SIGTERM."""
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_first_signal_waits_for_the_end_and_a_second_one_does_not() -> None:
    """A server that is down would hold the command for minutes."""
    steps = []
    with pytest.raises(KeyboardInterrupt), interrupts.deferred():
        terminate()
        steps.append("after the first")
        terminate()
        steps.append("after the second")
    assert steps == ["after the first"]
    with pytest.raises(KeyboardInterrupt):
        with interrupts.deferred():
            terminate()
            steps.append("to the end")
        steps.append("beyond the end")
    assert steps[1:] == ["to the end"]
    assert signal.getsignal(signal.SIGTERM) is _stop


def test_what_fails_within_is_still_told() -> None:
    """The signal comes after it, and names it."""
    with pytest.raises(KeyboardInterrupt) as told, interrupts.deferred():
        terminate()
        raise OSError
    assert isinstance(told.value.__context__, OSError)


def test_a_thread_defers_nothing() -> None:
    """Only the main thread is interrupted."""
    done: list[bool] = []

    def step() -> None:
        with interrupts.deferred():
            done.append(signal.getsignal(signal.SIGTERM) is _stop)

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    assert done == [True]
