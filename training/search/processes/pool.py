"""Specifications tried several at once, each in a process that can be ended: a fit cannot be stopped from within.

Each fold's result comes back as it is done, so that a hopeless specification stops after its first.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from training.console import preload_processes
from training.models import Spec
from training.search.cross_validation import TOO_SLOW, FoldResult, TrainingRows, Watch, fitted, folds_of


@dataclass
class _Place:
    """A process and what it is busy with."""

    process: BaseProcess
    line: Connection
    busy: Watch | None = None
    until: float = math.inf


def warm_up() -> ForkServerContext:
    """Begin to import what the processes need, two seconds on a busy machine, while something else is done."""
    preload_processes()
    return get_context("forkserver")


def _end(place: _Place) -> None:
    place.process.kill()
    place.process.join()
    place.line.close()


class Pool:
    """Processes that try specifications; a context, for they must end."""

    def __init__(self, rows: TrainingRows, count: int) -> None:
        self._context = warm_up()
        self._rows = rows
        self._places = [self._start() for _ in range(count)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for place in self._places:
            _end(place)

    @property
    def idle(self) -> bool:
        """Whether a process waits for work."""
        return any(place.busy is None for place in self._places)

    @property
    def busy(self) -> int:
        """How many of them work."""
        return sum(place.busy is not None for place in self._places)

    def use(self, rows: TrainingRows) -> None:
        """Try what comes on other rows; what is under way is given up."""
        self._rows = rows
        for place in list(self._places):
            if place.busy:
                self._replace(place, "the search went on to more rows")
            else:
                place.line.send(rows)

    def give(self, spec: Spec, watch: Watch, *, until: float = math.inf) -> None:
        """Have one idle process try a specification; at a moment of `time.perf_counter` it is given up."""
        place = next(place for place in self._places if place.busy is None)
        place.busy, place.until = watch, until
        place.line.send(spec)

    def listen(self, seconds: float) -> None:
        """Pass on what came within a time; a process that died, or has no time left, is replaced."""
        lines = {place.line: place for place in self._places if place.busy}
        ends = min((place.until for place in lines.values()), default=math.inf) - time.perf_counter()
        for line in wait(list(lines), timeout=max(0.0, min(seconds, ends))):
            place = lines[line]  # type: ignore[index]
            try:
                said = place.line.recv()
            except (EOFError, OSError):
                self._replace(place, "its process died")
                continue
            if said is None:
                place.busy = None
            elif place.busy:
                place.line.send(place.busy(said))
        now = time.perf_counter()
        for place in [place for place in self._places if place.busy and place.until <= now]:
            self._replace(place, TOO_SLOW)

    def _replace(self, place: _Place, reason: str) -> None:
        """End a process, give its trial up, and start another."""
        _end(place)
        watch, place.busy = place.busy, None
        self._places[self._places.index(place)] = self._start()
        if watch:
            watch(FoldResult(-1, np.empty(0), 0.0, reason))

    def _start(self) -> _Place:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        with _without_main():
            process.start()
        theirs.close()
        ours.send(self._rows)
        return _Place(process, ours)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep the caller's script out of a new process, which would run it again where nothing guards it."""
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def fitted_until(moment: float, spec: Spec, rows: TrainingRows) -> Any | None:
    """Return a pipeline that a process of its own fitted on all of the rows; None where it was not done in time."""
    ours, theirs = warm_up().Pipe()
    process = warm_up().Process(target=_fit_there, args=(theirs,), daemon=True)
    with _without_main():
        process.start()
    theirs.close()
    try:
        ours.send((spec, rows))
        return ours.recv() if ours.poll(max(0.0, moment - time.perf_counter())) else None
    except (EOFError, OSError):  # it failed, or there was not memory enough for two
        return None
    finally:
        _end(_Place(process, ours))


def _fit_there(line: Connection) -> None:
    """Fit what comes down the line; what goes wrong is for the parent to find out again."""
    import signal  # noqa: PLC0415 - of this process alone

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError, ValueError, ArithmeticError):
        spec, rows = line.recv()
        line.send(fitted(spec, rows))


def _work(line: Connection) -> None:
    """Try what comes down the line, one fold at a time, on one core."""
    import signal  # noqa: PLC0415 - of this process alone

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which keeps the best
    rows: Any = None
    with threadpool_limits(1):
        while True:
            try:
                order = line.recv()
            except (EOFError, OSError):
                return
            if isinstance(order, TrainingRows):
                rows = order
                continue
            for result in folds_of(order, rows):
                line.send(result)
                if not line.recv():
                    break
            line.send(None)
