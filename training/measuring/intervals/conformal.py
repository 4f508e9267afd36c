"""Prediction intervals by normalised split conformal prediction.

A fitted model gives a point, a scale model a guess of how wrong it is there; this module gives the
table of quantiles of |residual| / scale that makes intervals keep their promise. The rows are the
calibration rows, or, where they are few, the training rows with the predictions of models that were
not fitted on them (in the spirit of CV+, Barber et al. 2021, Annals of Statistics 49(1)).

With weights the table holds for what they stand for: a future row is drawn by weight. Its own weight is not known
then, so it is taken as the largest of those here: the larger, the wider. By theorem 2 of Tibshirani, Barber, Candès &
Ramdas 2019 (NeurIPS 32, "Conformal prediction under covariate shift"), with a row's weight as its likelihood ratio,
the weighted share inside is at least the promised one where no future weight is larger.

Each row's scale comes from a scale model that did not see it. Rows must be exchangeable with those
in serving. Under a split by time they are not: there the table takes the wider of all rows' and the
newest half's quantiles, which follows a spread that grows and does not shrink with one that wanes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import Schema
from serving.scorer import Intervals
from training.models import Spec, build, fewer_bins, fit
from training.rows import PreparedTable
from training.search import cross_validation
from training.weights import Weight, mean, of

FEWEST_CALIBRATION_ROWS = 200
"""Below, the training rows' out-of-fold residuals say more."""

FEWEST_SCALE_ROWS = 300
"""Below, one width for all rows."""

MOST_ROWS = 6_000
"""Training rows that are fitted again for out-of-fold residuals, where the search has none that do."""

FEWEST_SEARCHED = 1_000
"""From so many training rows that the search has validated, their residuals are taken as they are."""

MOST_SCALE_ROWS, MOST_SCALE_CELLS = 50_000, 500_000
"""From which a scale is learned; all rows are scored. Of many columns fewer: it is learned six times."""

PARTS = 5
GAIN = 0.02
"""Widths follow the row only where that makes them narrower by this share on average."""

COVERAGES = tuple(
    round(0.01 * percent, 2)
    for percent in range(round(100 * Intervals.LOWEST), round(100 * Intervals.HIGHEST) + 1)
)
SCALE_SPEC: dict[str, Any] = {
    "family": "boosting",
    "params": {"max_iter": 60, "max_leaf_nodes": 12, "min_samples_leaf": 30, "target": "natural_log"},
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Residuals:
    """Rows that the model was not fitted on, and how wrong it was.

    Attributes
    ----------
    frame : DataFrame of shape (n_rows, n_features)
    absolute : float64 array of shape (n_rows,)
        ``|actual - predicted|``, in the target's unit.
    blocks : uint64 array of shape (n_rows,)
        Rows with the same number stay together.
    moments : float64 array of shape (n_rows,), or None
        When each row was, under a split by time.
    method : str
        "calibration" or "out-of-fold".
    weight : float64 array of shape (n_rows,), or None
        How much each row counts.
    places : int array of shape (n_rows,), or None
        Where they stand in the table that they were taken from.
    """

    frame: pd.DataFrame
    absolute: Floats
    blocks: NDArray[np.uint64]
    moments: Floats | None
    method: str
    weight: Weight = None
    places: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class Calibrated:
    """The table, the scale model that goes with it, if any, and the scores |residual| / scale it was made from."""

    table: Intervals
    scale: Any = None
    scores: Floats | None = field(default=None, repr=False)


def has_calibration_rows(rows: PreparedTable) -> bool:
    """Return whether there are enough calibration rows; otherwise the model is fitted again, fold by fold."""
    return rows.split.counts["calibration"] >= FEWEST_CALIBRATION_ROWS


def residuals_of(
    fitted: Any, spec: Spec, rows: PreparedTable, *, seed: int, searched: Floats | None = None
) -> Residuals | None:
    """Return the residuals on calibration rows, or out of fold where there are too few of them.

    They follow from the table, the split and the specification alone.

    Parameters
    ----------
    searched : float64 array of shape (n_searched,), optional
        Predictions out of fold of training rows, all or a sample, as `cross_validation.out_of_fold` makes them.
    """
    split = rows.split
    predicted: Floats | None
    if has_calibration_rows(rows):
        indexes = np.flatnonzero(split.mask("calibration"))
        method = "calibration"
        predicted = cross_validation.predicted(fitted, rows.frame("calibration"))
    else:
        training = rows.training(seed)
        predicted, method = searched, "out-of-fold"
        if predicted is None or not validated_in_search(training, searched):
            predicted = cross_validation.out_of_fold(spec, training.sample(MOST_ROWS))
        places = cross_validation.sampled(training.size, len(predicted))
        indexes = np.flatnonzero(split.mask("train"))[places]
    known = np.isfinite(predicted)
    if not known.any():
        return None
    indexes, predicted = indexes[known], predicted[known]
    table = rows.checked.table
    return Residuals(
        table.frame.iloc[indexes][list(rows.schema.names)],
        np.abs(table.numbers(rows.schema.target)[indexes] - predicted),
        split.blocks[indexes],
        None if split.moments is None else split.moments[indexes],
        method,
        rows.weight_at(indexes),
        indexes,
    )


def validated_in_search(
    training: cross_validation.TrainingRows, searched: Floats | None
) -> cross_validation.TrainingRows | None:
    """Return the training rows, and last folds, of which the search has all predictions; None where these are few."""
    if searched is None:
        return None
    rows = training.sample(len(searched))
    there = (np.isfinite(searched[validate]).all() for _, validate in reversed(rows.folds))
    known = list(takewhile(bool, there))
    rows = rows.with_folds(len(known))
    enough = sum(len(validate) for _, validate in rows.folds) >= min(FEWEST_SEARCHED, training.size)
    return rows if known and enough else None


def one_width(residuals: Residuals) -> Calibrated | None:
    """Return the table of one width for all rows; None for too few rows."""
    plain = table_of(residuals, np.ones(len(residuals.absolute)), adaptive=False)
    return None if plain is None else Calibrated(plain, scores=residuals.absolute)


def calibrate(residuals: Residuals, schema: Schema, *, seed: int) -> Calibrated | None:
    """Return the table, with a scale model where widths that follow the row are narrower; None for too few rows."""
    absolute, constant = residuals.absolute, one_width(residuals)
    learnable = absolute[described(residuals.frame, schema)]
    if constant is None or len(learnable) < FEWEST_SCALE_ROWS or not learnable.any():
        return constant
    plain = constant.table
    scale = crossed_scale(residuals, schema, seed=seed)
    adaptive = table_of(residuals, scale, adaptive=True)
    assert adaptive is not None
    index = int(np.argmin(np.abs(np.array(plain.coverage) - 0.9)))
    if adaptive.quantile[index] * mean(scale, residuals.weight) > (1.0 - GAIN) * plain.quantile[index]:
        return constant
    everything = np.ones(len(absolute), dtype=np.bool_)
    model = _fitted_scale(residuals, everything, schema, seed=seed)
    return Calibrated(adaptive, model, residuals.absolute / scale)


def table_of(residuals: Residuals, scale: Floats, *, adaptive: bool) -> Intervals | None:
    """Return the quantiles of |residual| / scale for each coverage that so many rows can promise."""
    ratio, weight = residuals.absolute / scale, residuals.weight
    sets = [(ratio, weight)]
    if residuals.moments is not None:
        newest = residuals.moments >= np.median(residuals.moments)
        sets.append((ratio[newest], of(weight, newest)))
    kept = [coverage for coverage in COVERAGES if all(_can_promise(*each, coverage) for each in sets)]
    if not kept:
        return None
    quantiles = [max(quantile(values, coverage, by) for values, by in sets) for coverage in kept]
    return Intervals(residuals.method, int(worth(*sets[0])), adaptive, tuple(kept), tuple(quantiles))


def worth(values: Floats, weight: Weight) -> float:
    """Return how many rows of equal weight could promise as much: the sum of the weights over the largest.

    >>> worth(np.zeros(3), np.array([0.5, 0.5, 2.0]))
    1.5
    """
    return float(len(values) if weight is None else weight.sum() / weight.max())


def _can_promise(values: Floats, weight: Weight, coverage: float) -> bool:
    rows = worth(values, weight)
    return (rows + 1.0) * coverage - 1e-9 <= rows


def rank(rows: int, coverage: float) -> int:
    """Return which of the sorted values keeps a coverage; beyond `rows`, none does.

    >>> rank(9, 0.9), rank(8, 0.9)
    (9, 9)
    """
    return math.ceil((rows + 1) * coverage - 1e-9)


def quantile(values: Floats, coverage: float, weight: Weight = None, beyond: float | None = None) -> float:
    """Return the ``ceil((n + 1) * coverage)``-th smallest value (Lei et al. 2018, JASA 113(523), Alg. 2).

    Parameters
    ----------
    values : float64 array of shape (n_rows,)
        Enough of them for the coverage.
    weight : float64 array of shape (n_rows,), optional
        The smallest value then up to which the weights sum to ``coverage * (their sum + beyond)`` (Tibshirani et al.
        2019, lemma 3).
    beyond : float, optional
        The weight of the row to come, whose value may be anything; the largest of the weights if not given.

    >>> quantile(np.arange(1.0, 10.0), 0.9)
    9.0
    >>> quantile(np.array([1.0, 2.0]), 0.5, np.array([3.0, 2.0]), 1.0)
    1.0
    """
    if weight is None:
        return float(np.sort(values)[rank(len(values), coverage) - 1])
    beyond = float(weight.max()) if beyond is None else beyond
    order = np.argsort(values, kind="stable")
    needed = coverage * (weight.sum() + beyond) - 1e-9 * beyond
    index = int(np.searchsorted(np.cumsum(weight[order]), needed))
    return float(values[order[min(index, len(order) - 1)]])


def crossed_scale(residuals: Residuals, schema: Schema, *, seed: int) -> Floats:
    """Return each row's scale by a model that did not see its block, shape (n_rows,)."""
    part = (residuals.blocks * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)) % np.uint64(PARTS)
    scale = np.ones(len(residuals.absolute))
    for number in np.unique(part):
        held = part == number
        if held.all():
            return np.full(len(held), float(np.median(residuals.absolute)) or 1.0)
        model = _fitted_scale(residuals, ~held, schema, seed=seed)
        scale[held] = model.predict(residuals.frame[held])
    return scale


def described(frame: pd.DataFrame, schema: Schema) -> NDArray[np.bool_]:
    """Return which rows hold only categories that the training rows had, bool of shape (n_rows,)."""
    known = np.ones(len(frame), dtype=bool)
    for column in schema.columns:
        if column.kind == "category":
            known &= (frame[column.name].isin(column.categories) | frame[column.name].isna()).to_numpy()
    return known


def _fitted_scale(residuals: Residuals, rows: NDArray[np.bool_], schema: Schema, *, seed: int) -> Any:
    """Fit log |residual| on some of the rows; a residual of next to nothing says no more than a small one.

    Rows with a category that the training rows lack are scored, not learned from: the graph cannot name it.
    """
    learned = np.flatnonzero(rows & described(residuals.frame, schema))
    most = min(MOST_SCALE_ROWS, max(MOST_SCALE_CELLS // len(schema.columns), FEWEST_SCALE_ROWS))
    learned = learned[cross_validation.sampled(len(learned), most)]
    absolute = residuals.absolute[learned]
    weight = None if residuals.weight is None else residuals.weight[learned]
    floor = 0.05 * mean(absolute, weight) or 1.0
    bins = {"max_bins": fewer} if (fewer := fewer_bins(schema)) else {}
    spec = {**SCALE_SPEC, "params": {**SCALE_SPEC["params"], **bins}}
    model = build(spec, schema, seed=seed)
    return fit(model, residuals.frame.iloc[learned], np.maximum(absolute, floor), weight)
