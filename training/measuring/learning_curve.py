"""What more rows would bring: the chosen pipeline's out-of-fold error on ever larger parts of the training rows.

Sizes double up to all rows of a fold, and every size is judged on the same rows, so that the last doubling is a
comparison like any other (`training.measuring.comparison`). Blocks (twins, groups) enter whole: more rows means more
groups.

Two doubts go into the interval: which rows were judged, and which were learned from; the wider of the two is used.
The folds share most of their training rows, which makes the second one somewhat too narrow. Rows of another kind
than these, and parameters searched anew for more rows, may do better than the sentence says.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from data.figures import percent
from training.measuring.comparison import Change, Clusters, compare, is_little, lowers
from training.models import fit
from training.search import cross_validation
from training.weights import Weight, mean, of

DOUBLINGS = 3
FEWEST_ROWS = 20
"""At the smallest size."""

MOST_JUDGED = 10_000
"""Rows of a fold: predicting 170,000 of them for each size took longer than the fits."""

BEYOND, LEAST_BEYOND = 2.0, 5.0
"""Where the fewest folds would take so many times the time, and so many seconds, there is no curve."""

FAR = 2
"""Times the rows that were measured: beyond, their doubling does not tell what one of all rows would bring."""

FEWEST_FOLDS = 3
"""Below, an interval over folds says nothing: Student's width for two is 12.7 standard errors."""

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class Curve:
    """RMSE by rows learned from.

    Attributes
    ----------
    sizes, rmse
        Each twice the size before; out-of-fold RMSE in the target's unit.
    last : Change
        What the last doubling did.
    rows : int
        That a fold has to learn from at most; more than the last size where the time was short, or folds go forward.
    folds : int
        How many were used.
    """

    sizes: tuple[int, ...]
    rmse: tuple[float, ...]
    last: Change
    rows: int
    folds: int

    @property
    def reaches(self) -> bool:
        """Whether it was measured so far that its last doubling tells of the next one of all rows."""
        return FAR * self.sizes[-1] >= self.rows

    def __str__(self) -> str:
        """Say in one sentence what more rows would bring, as far as the figures carry it."""
        last = self.last
        if is_little(last.low, last.high):
            told = "More rows of this kind would change little"
        elif lowers(last.low, last.high) and not self.reaches:
            told = "More rows lowered RMSE as far as there was time to look"
        elif lowers(last.low, last.high):
            each = percent(last.change, sign=False).removeprefix("-")
            told = f"More rows of this kind would lower RMSE by about {each} for each doubling"
        elif last.low > 0:
            told = "More rows of this kind did not help"
        else:
            told = "These rows cannot tell what more of them would bring"
        told += (
            f": the last doubling, {self.sizes[-2]:,} to {self.sizes[-1]:,} rows, changed RMSE by "
            f"{percent(last.change)} [{percent(last.low)}, {percent(last.high)}]"
        )
        part = f"; measured on up to {self.sizes[-1]:,} of {self.rows:,} rows"
        return told + (part if self.sizes[-1] < self.rows else "")


def measure(
    pipeline: Pipeline,
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    folds: Folds,
    *,
    clusters: Clusters,
    budget: float,
    seconds_a_row: float,
    seed: int = 0,
    weight: Weight = None,
) -> Curve | None:
    """Return the curve, or None where there are too few rows for one, or too little time.

    Parameters
    ----------
    pipeline : Pipeline
        The chosen one; it is cloned.
    frame, target
        The training rows, of shape (n_train, n_features) and (n_train,).
    folds : list of (fit, validate) positions
        Those with more than half of the most rows to fit are used.
    clusters : int array of shape (n_train,)
        Rows with the same number are learned from, and judged, together.
    budget : float
        Seconds; folds, then sizes are given up to keep within it, on the assumption that a fit's time grows with its
        rows by `seconds_a_row`.
    weight : float64 array of shape (n_train,), optional
        How much each row counts, when it is learned from and when it is judged.
    """
    largest = max(len(learned) for learned, _ in folds)
    # Forward in time the first ones are short.
    folds = [
        (learned, validate[cross_validation.sampled(len(validate), MOST_JUDGED)])
        for learned, validate in folds
        if len(learned) > largest / 2
    ]
    most = min(len(learned) for learned, _ in folds)
    affordable = budget / (2.0 * seconds_a_row)  # rows of all top sizes; those below cost as much again
    folds = folds[: int(np.clip(affordable / most, FEWEST_FOLDS, len(folds)))]
    top = min(most, max(int(affordable / len(folds)), FEWEST_ROWS * 2**DOUBLINGS))
    sizes = tuple(top // 2**step for step in range(DOUBLINGS, -1, -1))
    if sizes[0] < FEWEST_ROWS:
        return None
    random = np.random.default_rng(seed)
    began = time.perf_counter()
    ladders: list[NDArray[np.float64]] = []
    for fold in folds:
        spent = time.perf_counter() - began
        if len(ladders) >= FEWEST_FOLDS and spent > budget:
            break  # fits took longer than their rows let expect
        lacking = min(FEWEST_FOLDS, len(folds)) / max(len(ladders), 1)
        if lacking > 1.0 and spent * lacking > max(BEYOND * budget, LEAST_BEYOND):
            return None
        ladders.append(
            _ladder(
                pipeline, frame, target, fold, sizes=sizes, clusters=clusters, weight=weight, random=random
            )
        )
    folds, predicted = folds[: len(ladders)], np.hstack(ladders)
    validated = np.concatenate([validate for _, validate in folds])
    number = np.repeat(np.arange(len(folds)), [len(validate) for _, validate in folds])
    actual = target[validated]
    judged = of(weight, validated)
    changes = [
        compare(actual, predicted[-1], predicted[-2], by, judged) for by in (clusters[validated], number)
    ]
    rmse = tuple(float(np.sqrt(mean((row - actual) ** 2, judged))) for row in predicted)
    return Curve(sizes, rmse, max(changes, key=lambda change: change.high - change.low), largest, len(folds))


def _ladder(
    pipeline: Pipeline,
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    fold: tuple[NDArray[np.intp], NDArray[np.intp]],
    *,
    sizes: tuple[int, ...],
    clusters: Clusters,
    weight: Weight,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return each size's predictions for the validated rows, shape (n_sizes, n_validate); smaller parts in larger."""
    learned, validate = fold
    blocks = np.unique(clusters[learned], return_inverse=True)[1]
    order = learned[np.argsort(random.permutation(blocks.max() + 1)[blocks], kind="stable")]
    predictions = []
    for size in sizes:
        rows = np.sort(order[:size])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a column that is missing throughout a small part
            fitted = fit(clone(pipeline), frame.iloc[rows], target[rows], of(weight, rows))
            predictions.append(fitted.predict(frame.iloc[validate]))
    return np.array(predictions)
