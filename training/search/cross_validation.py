"""Cross-validating specifications: one after the other here, or several at once in processes.

A fit cannot be stopped from within, so a process is ended where the time of its trial is up. Each fold's
result comes back as it is done, so that a hopeless specification stops after its first.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from data.schema import Schema
from training.models import Spec, build, fit
from training.weights import Weight, of

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class TrainingRows:
    """What a specification is tried on.

    Attributes
    ----------
    frame : DataFrame of shape (n_train, n_features)
        Training rows.
    target : float64 array of shape (n_train,)
        In the target's unit.
    folds : list of (fit, validate) positions
        From `data.splits.sides.Split.folds`.
    weight : float64 array of shape (n_train,), or None
        How much each row counts.
    """

    frame: pd.DataFrame = field(repr=False)
    target: NDArray[np.float64] = field(repr=False)
    folds: Folds = field(repr=False)
    schema: Schema
    seed: int
    weight: Weight = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.target)

    def sample(self, count: int) -> TrainingRows:
        """Return about `count` of the rows in the same folds; the same ones each time."""
        if count >= len(self.target):
            return self
        chosen = sampled(len(self.target), count)
        place = np.full(len(self.target), -1, dtype=np.intp)
        place[chosen] = np.arange(count)
        folds = [
            tuple(kept[kept >= 0] for kept in (place[learned], place[validate]))
            for learned, validate in self.folds
        ]
        return replace(
            self,
            frame=self.frame.iloc[chosen],
            target=self.target[chosen],
            folds=folds,  # type: ignore[arg-type]
            weight=of(self.weight, chosen),
        )

    def are_validated_by(self, predicted: NDArray[np.float64]) -> bool:
        """Return whether there is a prediction for each row that a fold validates."""
        return len(predicted) == self.size and all(
            np.isfinite(predicted[validate]).all() for _, validate in self.folds
        )

    def with_folds(self, count: int) -> TrainingRows:
        """Return the rows with the last folds only, which are the newest where folds go forward in time."""
        return replace(self, folds=self.folds[-count:])


def sampled(rows: int, count: int) -> NDArray[np.intp]:
    """Return the places of a sample, in order; the same ones each time."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


class FoldResult(NamedTuple):
    """What one fold came to: predictions of its validated rows, or why there are none."""

    fold: int
    predicted: NDArray[np.float64]
    seconds: float
    failure: str = ""


Watch = Callable[[FoldResult], bool]
"""Told of each fold; says whether to go on."""

TOO_SLOW = "it took too long"


class Here:
    """Tries specifications one after the other in this process; nothing ends a fit."""

    idle, busy = True, 0

    def __init__(self, rows: TrainingRows) -> None:
        self._rows = rows

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""

    def use(self, rows: TrainingRows) -> None:
        """Try what comes on other rows."""
        self._rows = rows

    def give(self, spec: Spec, watch: Watch, *, until: float = math.inf) -> None:  # noqa: ARG002 - as a pool's
        """Try a specification to its end."""
        for result in folds_of(spec, self._rows):
            if not watch(result):
                break

    def listen(self, seconds: float) -> None:
        """Return at once: nothing is under way."""


def folds_of(spec: Spec, rows: TrainingRows) -> Iterator[FoldResult]:
    """Fit and predict, fold by fold."""
    for fold, (learned, validate) in enumerate(rows.folds):
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a network that has not converged is judged by its error
                model = build(spec, rows.schema, seed=rows.seed)
                fit(model, rows.frame.iloc[learned], rows.target[learned], of(rows.weight, learned))
                predicted = np.asarray(model.predict(rows.frame.iloc[validate]), dtype=np.float64)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            yield FoldResult(fold, np.empty(0), time.perf_counter() - began, str(error)[:200] or "failed")
            return
        failure = "" if np.isfinite(predicted).all() else "predictions are not finite"
        yield FoldResult(fold, predicted, time.perf_counter() - began, failure)
        if failure:
            return


def out_of_fold(spec: Spec, rows: TrainingRows) -> NDArray[np.float64]:
    """Return predictions of rows by models that were not fitted on them; NaN where never validated.

    On one core, as in the search: a sum on two may differ in its last digit.
    """
    with threadpool_limits(1):
        return _out_of_fold(spec, rows)


def _out_of_fold(spec: Spec, rows: TrainingRows) -> NDArray[np.float64]:
    if spec["family"] == "blend":
        members = np.column_stack([_out_of_fold(member, rows) for member in spec["members"]])
        weights = np.array(spec["weights"])
        return np.asarray(members @ weights / weights.sum(), dtype=np.float64)
    predicted = np.full(len(rows.target), np.nan)
    for result in folds_of(spec, rows):
        if not result.failure:
            predicted[rows.folds[result.fold][1]] = result.predicted
    return predicted


@dataclass
class _Place:
    """A process and what it is busy with."""

    process: BaseProcess
    line: Connection
    busy: Watch | None = None
    until: float = math.inf


def warm_up() -> ForkServerContext:
    """Begin to import what the processes need, two seconds on a busy machine, while something else is done."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    forkserver.ensure_running()
    return context


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


def fitted(spec: Spec, rows: TrainingRows) -> Any:
    """Return a pipeline, fitted on all of the rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it was chosen as it is
        return fit(build(spec, rows.schema, seed=rows.seed), rows.frame, rows.target, rows.weight)


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
