"""A monitor that dies before or behind one of its writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from training.records import MonitorRun, ledger, model_registry, tracking
from training.retraining import process

WRITES = [
    (MonitorRun, "remember"),
    (MonitorRun, "log_evidence"),
    (model_registry, "name_challenger"),
    (model_registry, "tag"),
    (tracking, "add_to_run"),
    (ledger, "record"),
    (process, "train"),
]


@contextmanager
def dying(at: int, *, behind: bool) -> Iterator[None]:
    """Die before or behind the so manieth write of all."""
    count = 0

    def deadly(write: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == at and not behind:
                raise KeyboardInterrupt
            result = write(*words, **named)
            if count == at and behind:
                raise KeyboardInterrupt
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, deadly(getattr(owner, name)))
        yield
