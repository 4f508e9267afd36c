"""The chosen specification, fitted on all training rows and compiled, once.

Where that cannot be a version, for it does not compile, not exactly, or beyond the size and time that a scorer may
take, or cannot be stored, the next best takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compiling import Verified, compile_verified
from training.compiling.errors import CompilingError
from training.models import AllRows, Spec, all_rows
from training.search import cross_validation, processes
from training.search.candidates import Candidate
from training.search.choosing import Choice
from training.search.cross_validation import TrainingRows
from training.time_budget import Budget

SURELY, INSTANT = 0.25, 0.5
"""A fit that should take less than this share of its time, or so many seconds, needs no process of its own."""

CAUTION, NEAR = 1.5, 4
"""Many rows take so many times as long, each, as a fold's, where they are more than so many times as many."""

MOST_AVERAGED = 100_000
"""Training rows of whose target the mean is taken, at most."""


@dataclass(frozen=True)
class Winner:
    """The model that is gone on with, and the mean that it is measured beside.

    Attributes
    ----------
    candidate : Candidate
        Of the choice's the first that could be a version.
    fit_seconds, all_rows_seconds, uncounted_seconds : float
        Of the last fit, of learning all rows of a large table after it, and what of that a time budget does not count.
    rows : int
        That it learned from: a sample of the training rows where the time was too short for all.
    fitted_on : int
        Rows of the search that it was fitted on, before it learned all rows of a large table.
    """

    choice: Choice
    candidate: Candidate
    fitted: Any
    compiled: Verified
    baseline: Any
    fit_seconds: float
    rows: int
    fitted_on: int
    all_rows_seconds: float = 0.0
    uncounted_seconds: float = 0.0

    @property
    def family(self) -> str:
        """The family's name."""
        return self.candidate.family

    @property
    def spec(self) -> Spec:
        """What to build again."""
        return self.candidate.spec

    @property
    def out_of_fold(self) -> NDArray[np.float64] | None:
        """The search's predictions of rows that its models were not fitted on; None where it has not those of all."""
        members = self.spec.get("members", [self.spec])
        known = [self.choice.of(member) for member in members]
        if any(each is None for each in known):
            return None
        weights = np.array(self.spec.get("weights", [1.0]))
        predicted = np.column_stack([each.out_of_fold for each in known if each])
        return np.asarray(predicted @ weights / weights.sum(), dtype=np.float64)

    def as_metrics(self) -> dict[str, float]:
        """Return its figures under their MLflow names; `fit_seconds` is the last fit's."""
        seconds = {"fit_seconds": self.fit_seconds, "search_seconds": self.choice.seconds}
        counts = {"trials": float(len(self.choice.trials)), "rows_learned": float(self.rows)}
        beyond = {"all_rows_seconds": self.all_rows_seconds} if self.all_rows_seconds else {}
        return self.candidate.as_metrics() | seconds | counts | beyond


def winner_of(
    choice: Choice,
    rows: TrainingRows,
    *,
    budget: Budget | None = None,
    fitting: Callable[[Candidate, int], None] = lambda *_: None,
    reading: Callable[[Candidate, int, float], None] = lambda *_: None,
    refusal: Callable[[Candidate, Exception], None] = lambda *_: None,
    storable: Callable[[Any], object] = lambda _: None,
    everything: AllRows | None = None,
) -> Winner:
    """Fit the best of a choice that can be a version, on as many rows as there is time for.

    Parameters
    ----------
    rows : TrainingRows
        Those that were searched on.
    budget : Budget
        Beyond its time a fit is ended, and fewer rows are learned; one that begins now, if not given.
    everything : AllRows
        Of a large table: what can learn all of them does, where memory holds them only if there is time for it.
    fitting, reading, refusal : callable
        Told of each that is fitted, and on how many rows; of each that reads all rows once more, how many, and in about
        how many seconds beyond the budget; of each that leaves, with the reason.
    storable : callable
        Raises CompilingError for a fitted pipeline that no version may hold.

    Raises
    ------
    CompilingError
        Not even the last compiles.
    """
    baseline = cross_validation.fitted({"family": "mean"}, rows.sample(MOST_AVERAGED))
    clock = budget or Budget()

    def made(candidate: Candidate) -> Winner:
        began = time.perf_counter()
        fitted, learned = _fitted(candidate, rows, clock, fitting)
        count, ended = learned, time.perf_counter()
        uncounted = 0.0
        if everything and _is_worth_all((candidate, fitted), everything, rows, clock, reading):
            fitting(candidate, everything.count)
            until = ended + everything.reading_seconds + clock.to_fit
            did = all_rows.learn_all(fitted, everything, rows.target, until=until)
            count, uncounted = everything.count if did else learned, time.perf_counter() - ended
            if not all_rows.is_line(fitted):
                uncounted = min(uncounted, everything.reading_seconds)
        beyond = time.perf_counter() - ended if count > learned else 0.0
        compiled = _compiled(fitted, rows, storable)
        seconds = ended - began
        return Winner(
            choice, candidate, fitted, compiled, baseline, seconds, count, learned, beyond, uncounted
        )

    *others, last = choice.candidates
    for candidate in others:
        try:
            return made(candidate)
        except CompilingError as error:
            refusal(candidate, error)
    return made(last)


def _is_worth_all(
    model: tuple[Candidate, Any],
    everything: AllRows,
    rows: TrainingRows,
    budget: Budget,
    told: Callable[[Candidate, int, float], None],
) -> bool:
    """Return whether a candidate's fitted model learns all rows.

    A line does where memory does not hold them or there is time for it, trees where there are memory and time for it:
    only the reading is beyond the budget.
    """
    candidate, fitted = model
    can = all_rows.can_learn_all(fitted) and all_rows.has_room(fitted, everything)
    if everything.count <= rows.size or not can:
        return False
    if not all_rows.is_line(fitted):
        is_worth = CAUTION * candidate.seconds_a_row * everything.count < budget.to_fit
        if is_worth and everything.reading_seconds:
            told(candidate, everything.count, everything.reading_seconds)
        return is_worth
    seconds = all_rows.seconds_for(fitted, everything, rows.frame, rows.target)
    if everything.reading_seconds:
        told(candidate, everything.count, seconds)
        return True
    return seconds < budget.to_fit


def _fitted(
    candidate: Candidate, rows: TrainingRows, budget: Budget, told: Callable[[Candidate, int], None]
) -> tuple[Any, int]:
    """Return a fitted pipeline and how many rows it learned: all, if by what folds took there is time for them.

    A fit that might not end in time runs in a process that can be ended. Then as many rows are learned as a fold had.
    """
    seconds = budget.to_fit
    surely = min(rows.size, candidate.learned)
    each = max(candidate.seconds_a_row, 1e-12) * (CAUTION if rows.size > NEAR * surely else 1.0)
    likely = int(np.clip(seconds / each, surely, rows.size))
    told(candidate, likely)
    part, expected = rows.sample(likely), candidate.seconds_a_row * likely
    if expected < max(SURELY * seconds, INSTANT):
        return cross_validation.fitted(candidate.spec, part), likely
    fitted = processes.fitted_until(time.perf_counter() + seconds, candidate.spec, part)
    if fitted is not None:
        return fitted, likely
    told(candidate, surely)
    return cross_validation.fitted(candidate.spec, rows.sample(surely)), surely


def _compiled(fitted: Any, rows: TrainingRows, storable: Callable[[Any], object]) -> Verified:
    compiled = compile_verified(fitted, schema=rows.schema, frame=rows.frame, target=rows.target, cheap=True)
    storable(fitted)
    return compiled
