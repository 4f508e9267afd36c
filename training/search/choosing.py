"""Which model to fit: specifications compete by cross-validation on the training rows.

The trials are `training.search.race`'s. Nothing is fitted on all rows here: that is `training.search.winner`'s, which
takes the next best where the best cannot be a version. The winner's figure is optimistic by the choice itself, which
is why the holdout exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pandas as pd

from training.console import interrupts
from training.errors import Terminated
from training.models import Spec, portfolio
from training.search.candidates import Candidate, best_of_families
from training.search.cross_validation import TrainingRows
from training.search.race import Race, Standing
from training.time_budget import Budget


@dataclass(frozen=True)
class Choice:
    """The candidates, the chosen one first, and how the search came to them.

    `ended` says why the search stopped, and what it did not reach.
    """

    candidates: tuple[Candidate, ...]
    seconds: float
    trials: pd.DataFrame = field(repr=False)
    ended: str = ""

    @property
    def best(self) -> Candidate:
        """The chosen one."""
        return self.candidates[0]

    def of(self, spec: Spec) -> Candidate | None:
        """Return how a specification showed, if it was tried to its end."""
        return next((each for each in self.candidates if each.spec == spec), None)


@dataclass
class Callbacks:
    """Whom the search tells what; each does nothing by default."""

    standing: Callable[[Standing], None] = lambda _: None
    candidate: Callable[[Candidate], None] = lambda _: None
    interrupted: Callable[[int], None] = lambda _: None


def choose(
    rows: TrainingRows,
    *,
    budget: Budget,
    warm: Spec | None = None,
    monotonic: dict[str, int] | None = None,
    callbacks: Callbacks | None = None,
) -> Choice:
    """Search.

    Parameters
    ----------
    rows : TrainingRows
        With weights, families that take none are not tried.
    warm : mapping
        The champion's specification, tried first.
    monotonic : mapping of column to 1 or -1
        Directions that predictions must keep.

    Raises
    ------
    SearchFailed
        Nothing but the mean could be fitted.
    """
    callbacks = callbacks or Callbacks()
    started = time.perf_counter()
    task = replace(portfolio.Task.of(rows.target, rows.schema, monotonic), weighted=rows.weight is not None)
    race = Race(rows, task, budget, callbacks.standing)
    try:
        with interrupts.remembered_signals() as race.stop_if_told:
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
    seconds = time.perf_counter() - started
    return Choice(tuple(ranked), seconds, pd.DataFrame(race.trials), race.ended_in_words())
