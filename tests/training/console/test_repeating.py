"""A look that is taken again and again: what passes, what ends it, and how it is ended."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import requests
from mlflow.exceptions import MlflowException

from training.console import repeating
from training.errors import MonitorBusy, Terminated, TrackingUnavailable
from training.records.errors import NoSuchModel

OFTEN = timedelta(seconds=1)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What was said; the next look is at once."""
    monkeypatch.setattr(repeating, "SOON", timedelta(0))
    before = signal.signal(signal.SIGTERM, _terminated)
    yield []
    signal.signal(signal.SIGTERM, before)


def _terminated(*_: object) -> None:
    raise Terminated


def looks(*outcomes: BaseException | None) -> Callable[[], None]:
    """Looks that come to this one after the other; at the end somebody ends it."""
    left = [*outcomes]

    def look() -> None:
        if not left:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if (outcome := left.pop(0)) is not None:
            raise outcome

    return look


def behind(error: Exception) -> MlflowException:
    """What MLflow makes of an error of its client or database."""
    result = MlflowException("API request failed")
    result.__cause__ = error
    return result


PASSING = [
    TrackingUnavailable(uri="http://nowhere", reason="ConnectionError"),
    MonitorBusy(since="now", process="", hours=24, tag="t", run_id="r"),
    behind(requests.ConnectionError("refused")),
    behind(requests.ReadTimeout("silent")),
    behind(sqlite3.OperationalError("database is locked")),
    OSError(28, "No space left on device"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error.__cause__ or error).__name__)
def test_what_passes_is_said_and_looked_at_again(error: Exception, said: list[tuple[str, str]]) -> None:
    """At the first look, too: at boot the tracking server may start later than the monitor."""
    repeating.follow(looks(error, None, error, None), OFTEN, lambda *words: said.append(words))
    steps = [step for step, _ in said]
    assert steps == ["failed", "wait", "wait", "failed", "wait", "wait", "stop"]


def test_what_only_the_user_mends_ends_a_first_look_and_no_later_one(said: list[tuple[str, str]]) -> None:
    """A misspelt name must not be waited for; a champion that cannot be watched has a successor one day."""
    nobody = NoSuchModel(name="houzes", where="here")
    with pytest.raises(NoSuchModel):
        repeating.follow(looks(nobody), OFTEN, lambda *words: said.append(words))
    assert said == []
    repeating.follow(looks(None, nobody, None), OFTEN, lambda *words: said.append(words))
    assert "there is no model 'houzes'" in dict(said)["failed"]


def test_a_fault_of_ours_ends_it(said: list[tuple[str, str]]) -> None:
    """Whoever supervises the process is to hear of it, and starts it again."""
    with pytest.raises(ZeroDivisionError):
        repeating.follow(looks(None, ZeroDivisionError()), OFTEN, lambda *words: said.append(words))


def test_a_signal_that_a_library_swallows_is_not_lost(said: list[tuple[str, str]]) -> None:
    """Within a destructor, for one, Python drops the exception."""
    calls: list[int] = []

    def quiet() -> None:
        calls.append(1)
        with suppress(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)

    repeating.follow(quiet, OFTEN, lambda *words: said.append(words))
    assert (calls, said[-1][0]) == ([1], "stop")
