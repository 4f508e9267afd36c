"""A sum of trees -> what `serving.scorer.reasons` explains it with: each leaf's splits by column, and their covers.

The splits are the compiled graph's own tests, so a row reaches the leaf that it reaches when it is scored. What is
written is compared with the graph before it is used: where a model is no sum of trees that look at one column each,
there is nothing to write, and it is asked itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)  # fmt: skip
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from data.schema import Schema
from training.compiling.estimators import trees
from training.compiling.graph import Graph, Tensor
from training.compiling.reasons.dependence import Dependence
from training.lightgbm_text import LightGBMRegressor, read

MOST_PLACES = 500_000
"""Columns on all leaves' paths: some 20 MB. What has more is asked itself."""

MOST_SET_BYTES = 20_000_000
AS_THEY_ARE = (
    DecisionTreeRegressor,
    ExtraTreeRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
)
MEANS = (RandomForestRegressor, ExtraTreesRegressor)


class Member(NamedTuple):
    """A model of a blend, or one alone: what it counts in the prediction, and if it is trees, each of them."""

    model: Any
    weight: float
    is_trees: bool


def members_of(step: Any, weight: float = 1.0) -> list[Member]:
    """Return the models whose weighted sum a fitted pipeline is, those of blends within blends too."""
    last = step
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    if not isinstance(last, VotingRegressor):
        of_trees = _weight_of(last)
        return [Member(step, weight * (1.0 if of_trees is None else of_trees), of_trees is not None)]
    given = last._weights_not_none or [1.0] * len(last.estimators_)
    whole = float(sum(given))
    blended = zip(last.estimators_, given, strict=True)
    return [member for part, own in blended for member in members_of(part, weight * (own / whole))]


def _weight_of(model: Any) -> float | None:
    if type(model) in MEANS:
        return 1.0 / len(model.estimators_)
    if type(model) is LightGBMRegressor:
        known = read(model.text_)
        return None if known.link else 1.0 / (len(known.trees) if known.averaged else 1)
    linked = type(model) is HistGradientBoostingRegressor and model.loss in ("poisson", "gamma")
    return 1.0 if type(model) in AS_THEY_ARE and not linked else None


class Path(NamedTuple):
    """How a leaf is reached, as far as one column goes: the share of the rows that pass, and the conditions."""

    share: float
    spans: dict[int, tuple[int, int, bool]]
    sets: dict[int, NDArray[np.bool_]]


@dataclass
class ComparedValues:
    """The values that a feature is compared with, in order; `is_set` where it is asked whether it is one of them."""

    is_set: bool = False
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _passes: dict[trees.Test, NDArray[np.bool_]] = field(default_factory=dict)

    def passes(self, test: trees.Test) -> NDArray[np.bool_]:
        """Return for each value, any other, and a missing one whether it passes a test of sets."""
        if test not in self._passes:
            self._passes[test] = self._tried(test)
        return self._passes[test]

    def _tried(self, test: trees.Test) -> NDArray[np.bool_]:
        members = test.members or (test.split,)
        inside = self.values <= test.split if test.mode == trees.LEQ else np.isin(self.values, members)
        return np.concatenate([inside, [False, test.missing_true]])


class NotOneColumn(Exception):
    """A feature is made of several columns, or of none, or there is too much to write."""


class Covers:
    """What is written of a sum of trees."""

    def __init__(
        self, ensembles: list[trees.Grown], weights: list[float], graph: Graph, schema: Schema
    ) -> None:
        dependence = Dependence(graph)
        self._ensembles, self._weights, self._schema = ensembles, weights, schema
        self._behind = [column for each in ensembles for column in dependence.of(each.rows)]
        self._starts = np.cumsum([0] + [len(dependence.of(each.rows)) for each in ensembles]).tolist()
        self._known: dict[int, ComparedValues] = {}
        self._sets: dict[bytes, int] = {}
        self._rows_of_sets: list[NDArray[np.bool_]] = []
        self._leaves: dict[int, list[tuple[float, dict[int, Path]]]] = defaultdict(list)
        self._places = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays; raises NotOneColumn."""
        asked = [
            [self._tests(index, tree) for tree in each.trees] for index, each in enumerate(self._ensembles)
        ]
        self._rank(asked)
        for each, weight, tests in zip(self._ensembles, self._weights, asked, strict=True):
            for tree, of_nodes in zip(each.trees, tests, strict=True):
                self._walk(tree, of_nodes, weight)
        made: dict[str, NDArray[Any]] = {}
        for count, leaves in sorted(self._leaves.items()):
            made |= self._packed(count, leaves)
        return made | self._ranks() | {"sets": self._table()}

    def _tests(self, place: int, tree: trees.FittedTree) -> dict[int, tuple[int, trees.Test]]:
        """Return each inner node's feature, counted over all ensembles, and its test."""
        result = {}
        tests, start = self._ensembles[place].tests, self._starts[place]
        for node in np.flatnonzero(~tree.leaf).tolist():
            test = tests.of(tree, node)
            feature = start + test.column
            if len(self._behind[feature]) != 1:
                raise NotOneColumn
            result[node] = (feature, test)
        return result

    def _rank(self, asked: list[list[dict[int, tuple[int, trees.Test]]]]) -> None:
        by_feature: dict[int, list[trees.Test]] = defaultdict(list)
        for each in asked:
            for nodes in each:
                for feature, test in nodes.values():
                    by_feature[feature].append(test)
        for feature, tests in by_feature.items():
            compared = [test.split for test in tests if test.mode == trees.LEQ]
            members = [
                value for test in tests if test.mode != trees.LEQ for value in test.members or (test.split,)
            ]
            if not members:
                self._known[feature] = ComparedValues(False, np.unique(compared))
                continue
            (column,) = self._behind[feature]
            categories = self._schema.columns[column].categories if self._is_packed(feature) else ()
            if compared and not categories:
                raise NotOneColumn
            codes = np.arange(-1.0, len(categories)) if categories else np.unique(members)
            self._known[feature] = ComparedValues(True, np.asarray(codes, dtype=np.float64))

    def _is_packed(self, feature: int) -> bool:
        """Return whether a feature is a packed column as it is."""
        start = max(start for start in self._starts if start <= feature)
        return bool(feature - start < len(self._schema.columns))

    def _walk(self, tree: trees.FittedTree, tests: dict[int, tuple[int, trees.Test]], weight: float) -> None:
        waiting: list[tuple[int, dict[int, Path]]] = [(0, {})]
        while waiting:
            node, paths = waiting.pop()
            if tree.leaf[node]:
                self._places += len(paths)
                if self._places > MOST_PLACES:
                    raise NotOneColumn
                if paths:
                    self._leaves[len(paths)].append((weight * float(tree.value[node]), paths))
                continue
            feature, test = tests[node]
            for child, goes_left in ((int(tree.left[node]), True), (int(tree.right[node]), False)):
                whole = float(tree.cover[node])
                share = float(tree.cover[child]) / whole if whole > 0.0 else 0.5
                narrowed = self._narrowed(paths, feature, test, goes_left != test.swapped, share)
                waiting.append((child, narrowed))

    def _narrowed(
        self, paths: dict[int, Path], feature: int, test: trees.Test, holds: bool, share: float
    ) -> dict[int, Path]:
        """Return the paths with one more condition on the column behind a feature."""
        (column,) = self._behind[feature]
        known = self._known[feature]
        old = paths.get(column, Path(1.0, {}, {}))
        spans, sets = dict(old.spans), dict(old.sets)
        if known.is_set:
            passes = known.passes(test) == holds
            sets[feature] = sets[feature] & passes if feature in sets else passes
        else:
            rank = int(np.searchsorted(known.values, test.split))
            low, high, gap = spans.get(feature, (-1, len(known.values), True))
            low, high = (low, min(high, rank)) if holds else (max(low, rank), high)
            spans[feature] = (low, high, gap and test.missing_true == holds)
        return paths | {column: Path(old.share * share, spans, sets)}

    def _packed(self, count: int, leaves: list[tuple[float, dict[int, Path]]]) -> dict[str, NDArray[Any]]:
        """Return the arrays of the leaves with so many columns on their paths."""
        shape = (count, len(leaves))
        ints = {name: np.zeros(shape, dtype=np.int32) for name in ("player", "feature", "low", "high")}
        share, gap = np.empty(shape), np.ones(shape, dtype=np.uint8)
        ints["low"][:], ints["high"][:] = -1, 2**31 - 1
        more: list[tuple[int, ...]] = []
        in_sets: list[tuple[int, ...]] = []
        for leaf, (_, paths) in enumerate(leaves):
            for slot, (column, path) in enumerate(sorted(paths.items())):
                ints["player"][slot, leaf], share[slot, leaf] = column, path.share
                index = slot * len(leaves) + leaf
                for layer, (feature, (low, high, is_open)) in enumerate(sorted(path.spans.items())):
                    if layer:
                        more.append((layer - 1, index, feature, low, high, int(is_open)))
                        continue
                    ints["feature"][slot, leaf] = feature
                    ints["low"][slot, leaf], ints["high"][slot, leaf] = low, high
                    gap[slot, leaf] = is_open
                for layer, (feature, passes) in enumerate(sorted(path.sets.items())):
                    in_sets.append((layer, index, feature, self._number(passes)))
        values = np.array([value for value, _ in leaves])
        made = {f"{name}_{count}": each for name, each in ints.items()}
        return made | {
            f"share_{count}": share,
            f"gap_{count}": gap,
            f"value_{count}": values,
            f"more_{count}": np.array(more, dtype=np.int32).reshape(-1, 6),
            f"set_{count}": np.array(in_sets, dtype=np.int32).reshape(-1, 4),
        }

    def _number(self, passes: NDArray[np.bool_]) -> int:
        key = passes.tobytes()
        if key not in self._sets:
            self._sets[key] = len(self._sets)
            self._rows_of_sets.append(passes)
        return self._sets[key]

    def _table(self) -> NDArray[np.uint8]:
        width = max((len(each) for each in self._rows_of_sets), default=0)
        if width * len(self._rows_of_sets) > MOST_SET_BYTES:
            raise NotOneColumn
        table = np.zeros((len(self._rows_of_sets), width), dtype=np.uint8)
        for row, passes in zip(table, self._rows_of_sets, strict=True):
            row[: len(passes)] = passes
        return table

    def _ranks(self) -> dict[str, NDArray[Any]]:
        known = [self._known.get(feature, ComparedValues()) for feature in range(len(self._behind))]
        return {
            "thresholds": np.concatenate([each.values for each in known]),
            "starts": np.cumsum([0] + [len(each.values) for each in known]).astype(np.int32),
            "is_set": np.array([each.is_set for each in known], dtype=np.uint8),
        }


def features_of(ensembles: list[trees.Grown], graph: Graph, width: int) -> bytes | None:
    """Return the graph of what the trees look at; None where that is the packed rows as they are."""
    if len(ensembles) == 1 and ensembles[0].rows == graph.rows:
        return None
    with graph.kept():
        return graph.features(graph.concat([each.rows for each in ensembles]), width)


def line_of(rest: list[tuple[float, Tensor]], graph: Graph) -> bytes:
    """Return the graph of a weighted sum of predictions, shape (n_rows, 1)."""
    with graph.kept():
        weights = np.array([[weight] for weight, _ in rest])
        return graph.features(graph.concat([each for _, each in rest]) @ weights, 1)
