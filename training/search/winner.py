"""The chosen specification, fitted on all training rows and compiled, once.

Where that cannot be a version, for it does not compile, not exactly, or beyond the size and time that a scorer may
take, or cannot be stored, the next best takes its place.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from training.compiling import Verified, compile_verified, cost
from training.compiling.errors import CompilingError
from training.models import Spec, build, fit
from training.search.candidates import Candidate
from training.search.choosing import Choice
from training.search.cross_validation import TrainingRows


@dataclass(frozen=True)
class Winner:
    """The model that is gone on with, and the mean that it is measured beside.

    Attributes
    ----------
    candidate : Candidate
        Of the choice's the first that could be a version.
    fit_seconds : float
        Of the fit on all rows.
    """

    choice: Choice
    candidate: Candidate
    fitted: Any
    compiled: Verified
    baseline: Any
    fit_seconds: float

    @property
    def family(self) -> str:
        """The family's name."""
        return self.candidate.family

    @property
    def spec(self) -> Spec:
        """What to build again."""
        return self.candidate.spec

    def as_metrics(self) -> dict[str, float]:
        """Return its figures under their MLflow names; `fit_seconds` is the last fit's."""
        seconds = {"fit_seconds": self.fit_seconds, "search_seconds": self.choice.seconds}
        return self.candidate.as_metrics() | seconds | {"trials": float(len(self.choice.trials))}


def winner_of(
    choice: Choice,
    rows: TrainingRows,
    *,
    fitting: Callable[[Candidate], None] = lambda _: None,
    refusal: Callable[[Candidate, Exception], None] = lambda *_: None,
    storable: Callable[[Any], object] = lambda _: None,
) -> Winner:
    """Fit the best of a choice that can be a version.

    Parameters
    ----------
    rows : TrainingRows
        Those that were searched on.
    fitting, refusal : callable
        Told of each that is fitted, and of each that leaves, with the reason.
    storable : callable
        Raises CompilingError for a fitted pipeline that no version may hold.

    Raises
    ------
    CompilingError
        Not even the last compiles.
    """
    baseline = _fitted({"family": "mean"}, rows)

    def made(candidate: Candidate) -> Winner:
        fitting(candidate)
        began = time.perf_counter()
        fitted = _fitted(candidate.spec, rows)
        seconds = time.perf_counter() - began
        return Winner(choice, candidate, fitted, _compiled(fitted, rows, storable), baseline, seconds)

    *others, last = choice.candidates
    for candidate in others:
        try:
            return made(candidate)
        except CompilingError as error:
            refusal(candidate, error)
    return made(last)


def _fitted(spec: Spec, rows: TrainingRows) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it was chosen as it is
        return fit(build(spec, rows.schema, seed=rows.seed), rows.frame, rows.target, rows.weight)


def _compiled(fitted: Any, rows: TrainingRows, storable: Callable[[Any], object]) -> Verified:
    compiled = compile_verified(fitted, schema=rows.schema, frame=rows.frame, target=rows.target)
    cost.require_cheap(compiled.graph, len(rows.schema.columns))
    storable(fitted)
    return compiled
