"""Cross-validating specifications, one after the other: `training.search.processes` tries several at once."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from data.schema import Schema
from training.lightgbm_text import LightGBMRegressor
from training.models import Spec, build, fit
from training.weights import Weight, of

BLOCK_ROWS = 4_096
"""That LightGBM predicts together."""

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
        index = np.full(len(self.target), -1, dtype=np.intp)
        index[chosen] = np.arange(count)
        folds = [
            tuple(kept[kept >= 0] for kept in (index[learned], index[validate]))
            for learned, validate in self.folds
        ]
        return replace(
            self,
            frame=self.frame.iloc[chosen],
            target=self.target[chosen],
            folds=folds,  # type: ignore[arg-type]
            weight=of(self.weight, chosen),
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
        """Try a specification to its end, on one core as in a pool."""
        with threadpool_limits(1):
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


def fitted(spec: Spec, rows: TrainingRows) -> Any:
    """Return a pipeline, fitted on all of the rows on one core: the same to the last digit in any process."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # it was chosen as it is
        return fit(build(spec, rows.schema, seed=rows.seed), rows.frame, rows.target, rows.weight)


def predicted(model: Any, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return what a fitted pipeline predicts, float64 of shape (n_rows,): LightGBM block by block, several at once.

    Its trees take up to 150 µs a row on one thread of OpenMP. In blocks each row has the same bits.
    """
    is_leafwise = isinstance(model, Pipeline) and type(model.steps[-1][1]) is LightGBMRegressor
    if not is_leafwise or len(frame) <= BLOCK_ROWS:
        return np.asarray(model.predict(frame), dtype=np.float64)
    rows, trees = np.asarray(model[:-1].transform(frame), dtype=np.float64), model.steps[-1][1]
    blocks = (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))
    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(trees.predict, blocks)))
