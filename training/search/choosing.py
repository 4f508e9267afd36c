"""Which model to fit: specifications compete by cross-validation on the training rows.

The trials are `training.search.race`'s. Here the best is fitted on all rows and compiled; where it cannot be a
version, the next best takes its place. The winner's figure is optimistic by the choice itself, which is why the
holdout exists.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from data.schema import Schema
from training.compiling import Verified, compile_verified, cost
from training.compiling.errors import CompilingError
from training.errors import Terminated
from training.models import Spec, build, fit, portfolio
from training.search.candidates import Candidate, best_of_families
from training.search.cross_validation import Folds, TrainingRows
from training.search.interrupts import remembered_signals
from training.search.race import Budget, Race, Standing
from training.weights import Weight


@dataclass(frozen=True)
class Choice:
    """The winner, fitted on all training rows and compiled, and those it was compared with.

    `ended` says why the search stopped, and what it did not reach.
    """

    best: Candidate
    candidates: tuple[Candidate, ...]
    fitted: Any
    compiled: Verified
    baseline: Any
    fit_seconds: float
    search_seconds: float
    trials: pd.DataFrame = field(repr=False)
    ended: str = ""

    @property
    def spec(self) -> Spec:
        """What to build again."""
        return self.best.spec

    @property
    def out_of_fold(self) -> NDArray[np.float64]:
        """The winner's predictions of rows it was not fitted on."""
        return self.best.out_of_fold

    def as_metrics(self) -> dict[str, float]:
        """Return the winner's figures under their MLflow names; `fit_seconds` is the last fit's."""
        seconds = {"fit_seconds": self.fit_seconds, "search_seconds": self.search_seconds}
        return self.best.as_metrics() | seconds | {"trials": float(len(self.trials))}


@dataclass
class Callbacks:
    """Whom the search tells what; each does nothing by default."""

    standing: Callable[[Standing], None] = lambda _: None
    candidate: Callable[[Candidate], None] = lambda _: None
    refusal: Callable[[Candidate, Exception], None] = lambda *_: None
    interrupted: Callable[[int], None] = lambda _: None


def choose(
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    folds: Folds,
    *,
    schema: Schema,
    seed: int,
    budget: Budget,
    warm: Spec | None = None,
    monotonic: dict[str, int] | None = None,
    callbacks: Callbacks | None = None,
    storable: Callable[[Any], object] = lambda _: None,
    weight: Weight = None,
) -> Choice:
    """Search, fit the best on all rows, and compile it.

    A candidate that does not compile, not exactly, or beyond the size and time that a scorer may
    take, or that cannot be stored, leaves, and the next best takes its place.

    Parameters
    ----------
    frame : DataFrame of shape (n_train, n_features)
        Training rows.
    target : float64 array of shape (n_train,)
        In the target's unit.
    folds : list of (fit, validate) positions
        From `data.splits.sides.Split.folds`.
    warm : mapping
        The champion's specification, tried first.
    monotonic : mapping of column to 1 or -1
        Directions that predictions must keep.
    storable : callable
        Raises CompilingError for a fitted pipeline that no version may hold.
    weight : float64 array of shape (n_train,), optional
        How much each row counts, in fits and errors; families that take no weights are not tried.

    Raises
    ------
    SearchFailed
        Nothing but the mean could be fitted.
    CompilingError
        Not even the mean compiles.
    """
    callbacks = callbacks or Callbacks()
    started = time.perf_counter()
    task = replace(portfolio.Task.of(target, schema, monotonic), weighted=weight is not None)
    race = Race(TrainingRows(frame, target, folds, schema, seed, weight), task, budget, callbacks.standing)
    try:
        with remembered_signals() as race.stop_if_told:
            race.run(warm)
    except KeyboardInterrupt as error:
        if isinstance(error, Terminated) or len(race.candidates) < 2:
            raise
        callbacks.interrupted(len(race.trials))
        race.end = "interrupted"
    race.check_it_worked()
    ranked = race.ranked()
    for candidate in best_of_families(ranked):
        callbacks.candidate(candidate)
    searched = time.perf_counter() - started
    baseline = fit(build({"family": "mean"}, schema, seed=seed), frame, target, weight)
    for place, candidate in enumerate(ranked, start=1):
        began = time.perf_counter()
        callbacks.standing(replace(race.standing, doing=f"{candidate.family} on all {len(target):,} rows"))
        try:
            fitted = _fitted(candidate.spec, race.all_rows)
            fit_seconds = time.perf_counter() - began
            compiled = compile_verified(fitted, schema=schema, frame=frame, target=target)
            cost.require_cheap(compiled.graph, len(schema.columns))
            storable(fitted)
        except CompilingError as error:
            callbacks.refusal(candidate, error)
            if place == len(ranked):
                raise
            continue
        break
    table = pd.DataFrame(race.trials)
    ended = race.ended_in_words()
    return Choice(candidate, tuple(ranked), fitted, compiled, baseline, fit_seconds, searched, table, ended)


def _fitted(spec: Spec, rows: TrainingRows) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it was chosen as it is
        return fit(build(spec, rows.schema, seed=rows.seed), rows.frame, rows.target, rows.weight)
