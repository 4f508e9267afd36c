"""What the search tries before anything is proposed: strong settings first.

They are those that did best over many public tables, cheap ones before dear ones, so
that a short budget is well spent. It knows sizes of tables, not their content.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.schema import Schema
from training.models.families import Spec, build, fewer_bins, lightgbm_loads
from training.models.fitting import takes_weights

SMOOTH_ROWS = 5_000
"""Beyond, support vectors take minutes and their graph milliseconds."""

SEEN_ROWS, LEAST_EPOCHS, MOST_EPOCHS = 750_000, 60, 150
"""Rows that a network sees while it learns, each once an epoch, and how many epochs that may be: what counts are its
steps, and more rows take more of them in each epoch."""

FEW = 1_000
"""Below, smooth models take no time: they come before more trees."""

LARGE = 15_000
"""Beyond, histograms of the columns serve trees better than the columns themselves."""

PROCESS_ROWS = 1_200
"""A Gaussian process inverts a matrix of all rows many times over."""

PRODUCTS = 45
"""Columns of which all products are made: a thousand."""

LEAST_SPREAD, MOST_SPREAD = 1e-3, 1e9
"""Of a target that every family takes as it is."""

LEAVES, LEAF_BYTES, CODE_BYTES, FOREST_BYTES = 400_000, 33, 3, 40_000_000
"""Of a forest at most; what a leaf takes in the graph, and beyond that for each category of a column, for a test of
categories names them; and what all leaves may take."""

LEAF_ROWS, LEAST_TREES, MOST_TREES = 3, 30, 200
"""Rows of a forest's leaf for which it has fewer trees, down to so many: of as many leaves in all, fewer and deeper
trees err less (docs/log.md)."""

DEEP_TREES = 20
"""Of a forest at least whose leaves are single rows, for a target with little noise."""

LINEAR = ("ridge", "lasso", "elastic_net", "huber")
"""The families whose models are lines."""

COMPARING = ("support_vectors", "process")
"""The families that compare each row with training rows: a blend with them may be too slow, and another is at hand."""

MONOTONIC = ("boosting", "lightgbm")
"""The families that can keep a direction that the user gave."""

BINS = {"boosting": "max_bins", "lightgbm": "max_bin"}
"""What each calls the number of ranges of a column."""


@dataclass(frozen=True)
class Task:
    """What the portfolio depends on.

    Attributes
    ----------
    rows : int
        Training rows.
    schema : Schema
        The columns.
    skewed : bool
        Whether the target is positive and stretches over more than a decade.
    monotonic : mapping of column to 1 or -1
        Directions that predictions must keep.
    weighted : bool
        Whether rows have weights.
    far : bool
        Whether the target's spread is so far from 1 that it has to be brought there: scikit-learn's trees take a
        node for pure below a variance of 2e-16, its Huber regression stops at a gradient of 1e-5, and boosting keeps
        residuals in float32.
    """

    rows: int
    schema: Schema
    skewed: bool = False
    monotonic: Mapping[str, int] | None = None
    weighted: bool = False
    far: bool = False

    @classmethod
    def of(cls, target: NDArray[np.float64], schema: Schema, monotonic: Mapping[str, int] | None) -> Task:
        """Return the task of training rows whose target has the shape (n_train,)."""
        far = not LEAST_SPREAD <= float(np.std(target)) <= MOST_SPREAD
        positive = target.min() > 0.0 if far else target.min() >= 0.0
        return cls(len(target), schema, bool(positive) and _is_skewed(target), monotonic, far=far)


def spec_of(family: str, **params: Any) -> Spec:
    """Return a family's specification."""
    return {"family": family, "params": params}


def _boosted_leaves(rounds: int, rate: float, leaves: int, **params: Any) -> Spec:
    """Return settings of LightGBM that see most of the rows for each tree."""
    some_rows = {"bagging_fraction": 0.8} | params
    return spec_of("lightgbm", num_iterations=rounds, learning_rate=rate, num_leaves=leaves, **some_rows)


FEW_LEAVES = _boosted_leaves(
    300, 0.03, 6, feature_fraction_bynode=0.5, bagging_fraction=0.7, min_data_in_leaf=20, lambda_l2=5.0
)
SOME_LEAVES = _boosted_leaves(
    300, 0.04, 8, feature_fraction_bynode=0.6, bagging_fraction=0.7, min_data_in_leaf=30, lambda_l2=5.0
)
QUICK_LEAVES = _boosted_leaves(
    600, 0.05, 15, feature_fraction_bynode=0.6, bagging_fraction=0.6, min_data_in_leaf=5, lambda_l2=1.0
)
MEDIUM_LEAVES = _boosted_leaves(1500, 0.03, 15, feature_fraction_bynode=0.6, min_data_in_leaf=3)
MANY_SMALL_TREES = _boosted_leaves(
    3000, 0.03, 8, feature_fraction_bynode=0.6, bagging_fraction=0.5, min_data_in_leaf=3
)
LITTLE_NOISE = _boosted_leaves(2000, 0.05, 12, bagging_fraction=0.9, min_data_in_leaf=2)
DRAWN_SPLITS = _boosted_leaves(1000, 0.05, 31, extra_trees=True, min_data_in_leaf=3)
SHRUNKEN_LEAVES = _boosted_leaves(900, 0.2, 63, feature_fraction=0.65, min_data_in_leaf=10, lambda_l2=100.0)
LARGE_LEAVES = _boosted_leaves(
    1000, 0.05, 63, feature_fraction_bynode=0.5, bagging_fraction=1.0, min_data_in_leaf=10
)
HUGE_LEAVES = _boosted_leaves(
    500, 0.05, 300, feature_fraction_bynode=0.5, bagging_fraction=1.0, min_data_in_leaf=5
)
"""Settings of LightGBM, the first two for much noise: chosen by cross-validation on the training rows of public tables
(docs/log.md)."""

CLEARLY = 1.03
"""Trees that are larger still are tried where the large ones err less than smaller ones by this factor."""

NOISY_VECTORS = spec_of("support_vectors", C=1.0, epsilon=0.1)
"""scikit-learn's own settings, for a target of much noise."""

SMOOTH: tuple[Spec, ...] = (
    spec_of("lasso"),
    spec_of("ridge", splines=6),
    NOISY_VECTORS,
    spec_of("support_vectors", C=10.0, epsilon=0.02),
    spec_of("process", nu=1.5),
    spec_of("ridge", interactions=True),
)
"""What comes before the trees where rows are few."""


def first(task: Task) -> list[Spec]:
    """Return the settings to try before any search."""
    size, epochs = forest_size(task), _epochs(task)
    tried: list[Spec] = [
        spec_of("ridge"),
        spec_of("boosting"),
        FEW_LEAVES,
        QUICK_LEAVES,
        spec_of("extra_trees", max_features=0.7, **size),
        DRAWN_SPLITS,
        MEDIUM_LEAVES,
        spec_of("perceptron", width=64, depth=2, max_iter=epochs, alpha=1e-3),
        SOME_LEAVES,
        MANY_SMALL_TREES,
        LITTLE_NOISE,
        SHRUNKEN_LEAVES,
        spec_of("extra_trees", max_features=1.0, **forest_size(task, leaf_rows=1, least=DEEP_TREES)),
        NOISY_VECTORS,
        spec_of("support_vectors", C=10.0, epsilon=0.02),
        spec_of("support_vectors", C=100.0, epsilon=0.005),
        spec_of("process", nu=1.5),
        spec_of("ridge", splines=6),
        spec_of("ridge", interactions=True),
        spec_of("ridge", splines=5, interactions=True),
        spec_of("forest", max_features=0.5, **size),
        LARGE_LEAVES,
        spec_of("perceptron", width=100, depth=3, max_iter=epochs, alpha=1e-2, bag=3),
        spec_of("elastic_net", splines=6),
        spec_of("huber"),
        spec_of("lasso"),
    ]
    if task.rows < FEW:  # the smooth ones take milliseconds, and often win
        smooth = [spec for spec in tried if spec in SMOOTH]
        tried = [*tried[:2], *smooth, *(spec for spec in tried[2:] if spec not in smooth)]
    if task.rows > LARGE:  # histograms take a tenth of the time there
        network = spec_of("perceptron", width=64, depth=2, max_iter=epochs, alpha=1e-3)
        tried = [
            *tried[:2],
            LARGE_LEAVES,
            network,
            *(spec for spec in tried[2:] if spec not in (LARGE_LEAVES, network)),
        ]
    if task.skewed:
        tried[3:3] = [
            spec_of("boosting", target="log"),
            spec_of("lightgbm", **QUICK_LEAVES["params"], target="log"),
            spec_of("ridge", splines=5, target="log"),
        ]
    return [shaped(spec, task) for spec in tried if fits(spec, task)]


class Tried(Protocol):
    """What is known of a setting that was tried: its cross-validated error."""

    @property
    def spec(self) -> Spec:
        """The setting."""

    @property
    def cv_rmse(self) -> float:
        """In the target's unit."""


def following(tried: Sequence[Tried], task: Task) -> list[Spec]:
    """Return what the errors so far suggest to try: larger trees where the large ones lead clearly."""
    large, huge = (shaped(spec, task) for spec in (LARGE_LEAVES, HUGE_LEAVES))
    found = [each.cv_rmse for each in tried if each.spec == large]
    smaller = [each.cv_rmse for each in tried if each.spec["family"] == "lightgbm" and each.spec != large]
    return [huge] if found and smaller and CLEARLY * found[0] < min(smaller) else []


def _epochs(task: Task) -> int:
    return int(np.clip(SEEN_ROWS // max(task.rows, 1), LEAST_EPOCHS, MOST_EPOCHS))


def fits(spec: Spec, task: Task) -> bool:
    """Return whether a family can take the table and its weights, and keep the user's directions."""
    if not _fits_unweighted(spec, task):
        return False
    return not task.weighted or takes_weights(build(spec, task.schema, seed=0))


def left_out_by_weights(task: Task) -> list[str]:
    """Return the families that could take the table, were it not for its weights."""
    tried = {str(spec["family"]) for spec in first(task)}
    return sorted({str(spec["family"]) for spec in first(replace(task, weighted=False))} - tried)


def _fits_unweighted(spec: Spec, task: Task) -> bool:
    family = spec["family"]
    if family == "blend":
        return all(_fits_unweighted(member, task) for member in spec["members"])
    if task.monotonic and family not in MONOTONIC:
        return False
    if family == "lightgbm" and not lightgbm_loads():
        return False
    plain = all(column.kind in ("number", "boolean") and not column.missing for column in task.schema.columns)
    if family == "process":
        return task.rows <= PROCESS_ROWS and plain
    if family == "support_vectors":
        return task.rows <= 2 * SMOOTH_ROWS
    return not spec["params"].get("interactions") or width(task, spec["params"].get("splines", 0)) <= PRODUCTS


def width(task: Task, splines: int) -> int:
    """Return how many columns a line has before their products."""
    return len(task.schema.columns) * (splines + 3 if splines else 1)


def shaped(spec: Spec, task: Task) -> Spec:
    """Return the settings with what the table and the user's directions ask for; the target on a scale near 1."""
    params = dict(spec["params"])
    if task.monotonic:
        params["monotonic"] = dict(task.monotonic)
    if task.far:  # log(1 + y) is y where y is small; the logarithm itself knows no scale
        params["target"] = "natural_log" if params.get("target") == "log" else "scaled"
    if (bins := fewer_bins(task.schema)) and (name := BINS.get(spec["family"])):
        params[name] = bins
    return {**spec, "params": params}


def _is_skewed(target: NDArray[np.float64]) -> bool:
    low, high = np.quantile(target, [0.05, 0.95])
    return bool(high > 10.0 * max(low, 1e-300) and len(np.unique(target)) > 20)


def forest_size(task: Task, leaf_rows: int = LEAF_ROWS, least: int = LEAST_TREES) -> dict[str, int]:
    """Return how many trees a forest has and how many rows a leaf at least, so that its graph is not too large."""
    codes = sum(len(column.categories) for column in task.schema.columns)
    each = LEAF_BYTES + CODE_BYTES * codes / max(len(task.schema.columns), 1)
    leaves = min(LEAVES, int(FOREST_BYTES / each))
    trees = int(np.clip(leaves * leaf_rows // max(task.rows, 1), least, MOST_TREES))
    return {"n_estimators": trees, "min_samples_leaf": max(1, math.ceil(task.rows * trees / leaves))}
