"""LightGBM's trees: its own rules for what is missing, what is zero and what is a category, as tests of the kernel's.

Before LightGBM asks a tree, it takes what is within 1e-35 of zero for zero; so a threshold there stands for all of
that. Where a split takes nothing for missing, NaN is zero; where zero is missing, it goes where NaN goes. A category
is the whole part of a number: 2.7 is 2 and -0.5 is 0, and what is negative, beyond 31 bits or NaN is in no set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compiling.errors import UncompilableStep
from training.compiling.estimators.trees import FittedTree, ensemble
from training.compiling.features import Feature, Lookup, Slot
from training.compiling.graph import Graph, Tensor
from training.lightgbm_text import NONE, ZERO, Boosted, LightGBMRegressor, read
from training.lightgbm_text import Tree as Grown

AS_ZERO = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: a number no larger than this is zero."""

BEYOND_CODES = 2.0**31
NO_CATEGORY = -1.0


def boosted(model: LightGBMRegressor, features: list[Feature], graph: Graph) -> Tensor:
    """Return the trees' sum or mean, through the objective's link."""
    known = read(model.text_)
    columns = [
        _as_asked(feature, kinds, graph) for feature, kinds in zip(features, _kinds(known), strict=True)
    ]
    total = ensemble(model, [_tree(tree) for tree in known.trees], columns, graph, narrow=False)
    if known.averaged:
        total = total / float(len(known.trees))
    if known.link == "exp":
        return graph.op("Exp", total)
    return total * graph.op("Abs", total) if known.link == "square" else total


def _kinds(model: Boosted) -> list[set[str]]:
    """Return how each column is asked: as a number, as one whose zeros are missing, as a category."""
    kinds: list[set[str]] = [set() for _ in range(model.features)]
    for tree in model.trees:
        zeros = tree.missing == ZERO
        for name, asked in (
            ("category", tree.categorical),
            ("number with zeros missing", ~tree.categorical & zeros),
            ("number", ~tree.categorical & ~zeros),
        ):
            for column in np.unique(tree.feature[asked]).tolist():
                kinds[column].add(name)
    return kinds


def _as_asked(feature: Feature, kinds: set[str], graph: Graph) -> Feature:
    """Return the column as LightGBM's splits see it."""
    if len(kinds) > 1:
        raise UncompilableStep(
            step="LightGBMRegressor", reason=f"it takes one column as {' and as '.join(sorted(kinds))}"
        )
    if "category" in kinds:
        return _whole(feature, graph)
    return _without_zeros(feature, graph) if "number with zeros missing" in kinds else feature


def _whole(feature: Feature, graph: Graph) -> Feature:
    if isinstance(feature, Lookup):
        known = np.abs(feature.table) < BEYOND_CODES
        return Lookup(feature.column, np.where(known, np.trunc(feature.table), NO_CATEGORY) + 0.0)
    if not isinstance(feature, Slot):
        return feature
    values = feature.tensor.take([feature.place])
    size = graph.op("Abs", values)
    whole = graph.op("Floor", size) * graph.op("Sign", values) + 0.0
    return Slot(graph.where(size < BEYOND_CODES, whole, NO_CATEGORY).of_width(1), 0, 1, feature.rounds)


def _without_zeros(feature: Feature, graph: Graph) -> Feature:
    if isinstance(feature, Lookup):
        table = feature.table
        return Lookup(feature.column, np.where(np.abs(table) <= AS_ZERO, np.nan, table))
    if not isinstance(feature, Slot):
        return feature
    values = feature.tensor.take([feature.place])
    seen = graph.where(graph.op("Abs", values) <= AS_ZERO, np.nan, values)
    return Slot(seen.of_width(1), 0, 1, feature.rounds)


def _tree(tree: Grown) -> FittedTree:
    """Return a tree with its leaves behind its splits."""
    splits, leaves = len(tree.feature), len(tree.value)
    threshold = _beside_zero(np.where(tree.categorical, 0.0, tree.threshold))
    missing_left = np.where(tree.missing == NONE, threshold >= 0.0, tree.default_left)
    no_leaf, no_split = np.zeros(leaves), np.zeros(splits)
    sets = {
        split: tree.categories(split).astype(np.float64)
        for split in np.flatnonzero(tree.categorical).tolist()
    }
    return FittedTree(
        feature=np.concatenate([tree.feature, no_leaf]).astype(np.int64),
        threshold=np.concatenate([threshold, no_leaf]),
        left=np.concatenate([_placed(tree.left), no_leaf - 1]).astype(np.int64),
        right=np.concatenate([_placed(tree.right), no_leaf - 1]).astype(np.int64),
        missing_left=np.concatenate([missing_left & ~tree.categorical, no_leaf]).astype(bool),
        leaf=np.concatenate([no_split, no_leaf + 1]).astype(bool),
        value=np.concatenate([no_split, tree.value]),
        rows=np.concatenate([tree.rows, tree.leaf_rows]),
        categories={split: (members, members) for split, members in sets.items()},
        cover=np.concatenate([tree.rows, tree.leaf_rows]).astype(np.float64),
    )


def _placed(children: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each child stands once the leaves are behind the splits, one for each entry."""
    return np.where(children >= 0, children, len(children) - 1 - children)


def _beside_zero(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return thresholds that send all that is zero to LightGBM to the side of zero itself."""
    sides = np.where(threshold >= 0.0, AS_ZERO, np.nextafter(-AS_ZERO, -np.inf))
    return np.where(np.abs(threshold) <= AS_ZERO, sides, threshold)


MODELS: dict[type, Any] = {LightGBMRegressor: boosted}
