"""Which model to fit: the families compete by cross-validation on the training rows.

It sees training rows only. The winner has the lowest mean squared error over all validated
rows; its figure is optimistic by the choice itself, which is why the holdout exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from data.schema import Schema
from training.compiling import CompilingError, Verified, compile_verified
from training.models import FAMILIES

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class Candidate:
    """One family's showing.

    Attributes
    ----------
    cv_rmse, cv_rmse_se : float
        Over all validated rows, and its standard error, in the target's unit.
    fit_seconds : float
        All folds together.
    """

    family: str
    pipeline: Pipeline
    cv_rmse: float
    cv_rmse_se: float
    fit_seconds: float

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        return {"cv_rmse": self.cv_rmse, "cv_rmse_se": self.cv_rmse_se, "fit_seconds": self.fit_seconds}


@dataclass(frozen=True)
class Choice:
    """The winner, fitted on all training rows and compiled, and those it was compared with."""

    best: Candidate
    candidates: tuple[Candidate, ...]
    fitted: Pipeline
    compiled: Verified
    dummy: Pipeline
    fit_seconds: float
    search_seconds: float

    def as_metrics(self) -> dict[str, float]:
        """Return the winner's figures under their MLflow names; `fit_seconds` is the last fit's."""
        seconds = {"fit_seconds": self.fit_seconds, "search_seconds": self.search_seconds}
        return self.best.as_metrics() | seconds


def choose(
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    folds: Folds,
    *,
    schema: Schema,
    seed: int,
    on_candidate: Callable[[Candidate], None] = lambda _: None,
    on_refusal: Callable[[Candidate, CompilingError], None] = lambda *_: None,
) -> Choice:
    """Cross-validate each family, fit the best on all rows, and compile it.

    A candidate that does not compile, or not exactly, leaves and the next best takes its place.

    Parameters
    ----------
    frame : DataFrame of shape (n_train, n_features)
        Training rows.
    target : float64 array of shape (n_train,)
        In the target's unit.
    folds : list of (fit, validate) positions
        From `data.splits.Split.folds`.
    on_candidate : callable
        Told of each candidate as it is done.
    on_refusal : callable
        Told of a candidate that left because its graph is not its pipeline, and why.

    Raises
    ------
    CompilingError
        Not even the mean compiles.
    """
    started = time.perf_counter()
    candidates = []
    for family, make in FAMILIES.items():
        candidates.append(_validated(family, make(schema, seed), frame, target, folds))
        on_candidate(candidates[-1])
    searched = time.perf_counter()
    dummy = FAMILIES["mean"](schema, seed).fit(frame, target)
    ranked = sorted(candidates, key=lambda candidate: candidate.cv_rmse)
    for place, candidate in enumerate(ranked, start=1):
        began = time.perf_counter()
        fitted = clone(candidate.pipeline).fit(frame, target)
        fit_seconds = time.perf_counter() - began
        try:
            compiled = compile_verified(fitted, schema=schema, frame=frame, target=target)
        except CompilingError as error:
            on_refusal(candidate, error)
            if place == len(ranked):
                raise
            continue
        break
    return Choice(candidate, tuple(candidates), fitted, compiled, dummy, fit_seconds, searched - started)


def _validated(
    family: str, pipeline: Pipeline, frame: pd.DataFrame, target: NDArray[np.float64], folds: Folds
) -> Candidate:
    started = time.perf_counter()
    errors = []
    for fit, validate in folds:
        fitted = clone(pipeline).fit(frame.iloc[fit], target[fit])
        errors.append(fitted.predict(frame.iloc[validate]) - target[validate])
    squared = np.concatenate(errors) ** 2
    rmse = float(np.sqrt(squared.mean()))
    standard_error = float(squared.std(ddof=1) / (2.0 * rmse * np.sqrt(squared.size))) if rmse else 0.0
    return Candidate(family, pipeline, rmse, standard_error, time.perf_counter() - started)
