"""Trees: all families become one TreeEnsemble over the packed rows.

A split on a looked-up column becomes a test of its packed code, so no encoded matrix is built.
scikit-learn's own trees compare float32(x) with a float64 threshold, so rows are cast down and
up again before them; HistGradientBoosting compares in float64. A row that scikit-learn's trees
refuse (beyond 3.4e38, or missing where training had no gap) gives NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)  # fmt: skip
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from training.compiling.errors import RefusedPair, UncompilableStep
from training.compiling.features import Feature, Lookup, Slot, matrix
from training.compiling.graph import Graph, Tensor, as_tensor

LEQ, EQ, MEMBER = 0, 4, 6
BELOW_ALL_CODES = -2.0
GROUP_NODES = 8_000
"""100 trees of a forest, 20,000 rows: 432 ms as one operator, 166 ms as ten; one row 21 and 15 us."""


@dataclass(frozen=True)
class FittedTree:
    """One fitted tree in node order, parents first; arrays of shape (n_nodes,).

    `rows` counts the training rows that came to a node, `cover` their weights.
    `known` and `goes_left` hold, for a node that splits on categories, the codes it was fitted
    with and those it sends left; a code that is not known goes where a missing value goes.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    leaf: NDArray[np.bool_]
    value: NDArray[np.float64]
    rows: NDArray[np.int64]
    categories: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    cover: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Test:
    """One comparison in the graph's terms; `swapped` sends the true branch right."""

    column: int
    mode: int
    split: float
    missing_true: bool
    swapped: bool = False
    members: tuple[float, ...] = ()


def forest(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return the mean of the trees."""
    fitted = getattr(model, "estimators_", [model])
    refuse = not fitted[0].__sklearn_tags__().input_tags.allow_nan
    trees = [_from_sklearn(tree.tree_) for tree in fitted]
    total = ensemble(model, trees, features, graph, narrow=True)
    return _refused(graph, features, total / float(len(trees)) if len(trees) > 1 else total, missing=refuse)


def gradient_boosting(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return the first guess plus the trees' steps."""
    trees = [_from_sklearn(tree.tree_, factor=model.learning_rate) for tree in model.estimators_[:, 0]]
    if isinstance(model.init_, DummyRegressor):
        start = float(np.ravel(model.init_.constant_)[0])
    elif model.init_ == "zero":
        start = 0.0
    else:
        raise UncompilableStep(
            step="GradientBoostingRegressor", reason=f"init={model.init!r} is not supported"
        )
    total = ensemble(model, trees, features, graph, narrow=True) + start
    return _refused(graph, features, total, missing=True)


def hist_gradient_boosting(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return the baseline plus the trees' steps; through the link if the loss has one."""
    trees, order = _from_histograms(model)
    baseline = float(np.ravel(model._baseline_prediction)[0])
    total = ensemble(model, trees, [features[index] for index in order], graph, narrow=False) + baseline
    if model.loss in ("poisson", "gamma"):
        return graph.op("Exp", total)
    return total


# --- fitted trees ------------------------------------------------------------------------------


def _from_sklearn(tree: Any, *, factor: float = 1.0) -> FittedTree:
    return FittedTree(
        feature=tree.feature.astype(np.int64),
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left.astype(bool),
        leaf=tree.children_left == -1,
        value=tree.value[:, 0, 0] * factor,
        rows=tree.n_node_samples,
        categories={},
        cover=tree.weighted_n_node_samples,
    )


def _from_histograms(model: Any) -> tuple[list[FittedTree], list[int]]:
    """Return the trees, and which feature each of their columns is: categories come first there."""
    encoded = np.zeros(model.n_features_in_, dtype=bool)
    if model.is_categorical_ is not None:
        encoded = model.is_categorical_
    order = [*np.flatnonzero(encoded).tolist(), *np.flatnonzero(~encoded).tolist()]
    values = model._preprocessor.named_transformers_["encoder"].categories_ if encoded.any() else []
    known = [np.asarray(v, dtype=np.float64) for v in values]
    known = [v[~np.isnan(v)] for v in known]
    return [_from_histogram(step[0], known) for step in model._predictors], order


def _from_histogram(predictor: Any, known: list[NDArray[np.float64]]) -> FittedTree:
    nodes = predictor.nodes
    categories = {}
    for index in np.flatnonzero(nodes["is_categorical"].astype(bool) & (nodes["is_leaf"] == 0)).tolist():
        raw = known[nodes["feature_idx"][index]]
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][index]]
        codes = np.arange(len(raw))
        categories[index] = (raw, raw[(bits[codes // 32] >> (codes % 32).astype(np.uint32)) & 1 == 1])
    return FittedTree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        leaf=nodes["is_leaf"].astype(bool),
        value=nodes["value"],
        rows=nodes["count"],
        categories=categories,
        cover=nodes["count"].astype(np.float64),
    )


# --- into the graph ----------------------------------------------------------------------------


def ensemble(
    model: Any, trees: list[FittedTree], features: list[Feature], graph: Graph, *, narrow: bool
) -> Tensor:
    """Return the sum of the trees, shape (n_rows, 1)."""
    for feature in features:
        if isinstance(feature, Slot) and feature.rounds:
            raise RefusedPair(step=type(model).__name__, behind=feature.rounds)
    used = {index for tree in trees for index in np.unique(tree.feature[~tree.leaf]).tolist()}
    rows, columns = _tree_rows(features, used, graph)
    if narrow:
        rows = rows.cast(TensorProto.FLOAT).cast(TensorProto.DOUBLE)
    tests = _Tests(features, columns, narrow)
    _count_visits(trees, tests, graph)
    graph.ensembles.append(Grown(trees, tests, rows))
    groups = [_attributes(group, tests) for group in _groups(trees)]
    parts = [graph.op("TreeEnsemble", rows, domain="ai.onnx.ml", **group) for group in groups]
    return reduce(Tensor.__add__, parts)


def _count_visits(trees: list[FittedTree], tests: _Tests, graph: Graph) -> None:
    """Tell the graph which packed columns the trees ask most, so that like rows can go through together."""
    for tree in trees:
        asked = np.bincount(tree.feature[~tree.leaf], tree.rows[~tree.leaf], minlength=len(tests.columns))
        for column, coded, rows in zip(tests.columns.tolist(), tests.looked_up, asked.tolist(), strict=True):
            if rows and column < graph.columns:
                graph.visits["codes" if coded else "numbers"][column] += int(rows)


def _groups(trees: list[FittedTree]) -> list[list[FittedTree]]:
    """Split a large forest into runs of trees whose nodes stay in the cache while a block of rows passes."""
    sizes = np.cumsum([np.count_nonzero(~tree.leaf) for tree in trees])
    numbers = (sizes / GROUP_NODES).astype(int).tolist()
    return [
        [tree for _, tree in run] for _, run in groupby(zip(numbers, trees, strict=True), key=itemgetter(0))
    ]


def _tree_rows(features: list[Feature], used: set[int], graph: Graph) -> tuple[Tensor, list[int]]:
    """Return what the trees look at, and each feature's column in it: packed rows, then computed ones."""
    chosen = [feature for index, feature in enumerate(features) if index in used]
    computed = [feature for feature in chosen if isinstance(feature, Slot) and feature.tensor != graph.rows]
    indexes = {id(feature): graph.columns + index for index, feature in enumerate(computed)}
    columns = [_packed_column(feature, indexes) for feature in features]
    if not computed:
        return graph.rows, columns
    extra = matrix(graph, list(computed)).of_width(len(computed))
    return graph.concat([graph.rows, extra]), columns


def _packed_column(feature: Feature, places: dict[int, int]) -> int:
    if isinstance(feature, Slot):
        return places.get(id(feature), feature.place)
    if isinstance(feature, Lookup):
        return feature.column
    raise UncompilableStep(step="a tree model", reason="it got text: encode categories and dates before it")


class _Tests:
    """Turns a split on a feature into a test of a column; the same split is worked out once."""

    def __init__(self, features: list[Feature], columns: list[int], narrow: bool) -> None:
        self._features, self._columns, self._narrow = features, columns, narrow
        self._known: dict[tuple[int, float, bool], Test] = {}
        self._sets: dict[tuple[int, bytes, bytes, bool], Test] = {}

    @property
    def columns(self) -> NDArray[np.int64]:
        return np.array(self._columns, dtype=np.int64)

    @property
    def looked_up(self) -> NDArray[np.bool_]:
        return np.array([isinstance(feature, Lookup) for feature in self._features], dtype=bool)

    def threshold(self, feature: int, threshold: float, *, missing_left: bool) -> Test:
        """Return the test for ``table[state] <= threshold``."""
        key = (feature, threshold, missing_left)
        if key not in self._known:
            table = self._table(feature)
            left = np.where(np.isnan(table), missing_left, table <= threshold)
            self._known[key] = code_test(self._columns[feature], left)
        return self._known[key]

    def categories(
        self, feature: int, known: NDArray[np.float64], left: NDArray[np.float64], *, missing_left: bool
    ) -> Test:
        """Return the test for a set of category values."""
        key = (feature, known.tobytes(), left.tobytes(), missing_left)
        if key not in self._sets:
            self._sets[key] = self._of_set(feature, known, left, missing_left=missing_left)
        return self._sets[key]

    def _of_set(
        self, feature: int, known: NDArray[np.float64], left: NDArray[np.float64], *, missing_left: bool
    ) -> Test:
        looked_up = self._features[feature]
        if isinstance(looked_up, Lookup):
            goes_left = np.isin(looked_up.table, left)
            return code_test(
                self._columns[feature], np.where(np.isin(looked_up.table, known), goes_left, missing_left)
            )
        if missing_left:  # all but the known ones that go right
            others = known[~np.isin(known, left)]
            return _member_test(self._columns[feature], others, missing_true=False, swapped=True)
        return _member_test(self._columns[feature], left, missing_true=False, swapped=False)

    def of(self, tree: FittedTree, node: int) -> Test:
        """Return the test of an inner node."""
        feature, missing_left = int(tree.feature[node]), bool(tree.missing_left[node])
        if node in tree.categories:
            return self.categories(feature, *tree.categories[node], missing_left=missing_left)
        threshold = float(tree.threshold[node])
        if isinstance(self._features[feature], Lookup):
            return self.threshold(feature, threshold, missing_left=missing_left)
        return Test(self._columns[feature], LEQ, threshold, missing_left)

    def _table(self, feature: int) -> NDArray[np.float64]:
        looked_up = self._features[feature]
        assert isinstance(looked_up, Lookup)
        if not self._narrow:
            return looked_up.table
        return looked_up.table.astype(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Grown:
    """Trees as they were put into a graph: their tests, and the tensor whose columns those look at."""

    trees: list[FittedTree]
    tests: _Tests
    rows: Tensor


def code_test(column: int, left: NDArray[np.bool_]) -> Test:
    """Return the cheapest test of a packed code that is true for the states that go left.

    Parameters
    ----------
    column : int
        The packed column.
    left : bool array of shape (k + 2,)
        For each category, then unseen, then missing.
    """
    by_code = np.concatenate([left[-2:-1], left[:-2]])  # the codes -1, 0, 1, ...
    missing = bool(left[-1])
    changes = np.flatnonzero(by_code[1:] != by_code[:-1])
    if not len(changes):
        return Test(column, LEQ, np.inf if by_code[0] else BELOW_ALL_CODES, missing)
    if len(changes) == 1:
        split = float(changes[0]) - 1.0
        return Test(column, LEQ, split, missing if by_code[0] else not missing, swapped=not by_code[0])
    swapped = bool(by_code.sum() * 2 > len(by_code))
    members = np.flatnonzero(by_code != swapped).astype(np.float64) - 1.0
    return _member_test(column, members, missing_true=missing != swapped, swapped=swapped)


def _member_test(column: int, members: NDArray[np.float64], *, missing_true: bool, swapped: bool) -> Test:
    if not len(members):
        return Test(column, LEQ, -np.inf, missing_true, swapped)
    if len(members) == 1:
        return Test(column, EQ, float(members[0]), missing_true, swapped)
    return Test(column, MEMBER, 0.0, missing_true, swapped, tuple(members.tolist()))


def _attributes(trees: list[FittedTree], tests: _Tests) -> dict[str, Any]:
    parts = []
    nodes = leaves = 0
    for tree in trees:
        parts.append(_written(tree, tests, nodes, leaves))
        nodes, leaves = nodes + len(parts[-1]["nodes_featureids"]), leaves + len(parts[-1]["leaf_weights"])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    roots = np.cumsum([0] + [len(part["nodes_featureids"]) for part in parts[:-1]])
    members = joined.pop("membership_values")
    made: dict[str, Any] = {name: values.tolist() for name, values in joined.items() if name not in TENSORS}
    made |= {name: as_tensor(joined[name].astype(kind)) for name, kind in TENSORS.items()}
    made |= {"tree_roots": roots.tolist(), "n_targets": 1, "aggregate_function": 1, "post_transform": 0}
    made["leaf_targetids"] = [0] * leaves
    return made | ({"membership_values": as_tensor(members)} if len(members) else {})


TENSORS: dict[str, Any] = {"nodes_splits": np.float64, "nodes_modes": np.uint8, "leaf_weights": np.float64}


def _written(tree: FittedTree, tests: _Tests, first_node: int, first_leaf: int) -> dict[str, NDArray[Any]]:
    """Return one tree's share of each attribute, its links counted from the tree's first node and leaf."""
    inner = np.flatnonzero(~tree.leaf)
    if not len(inner):
        return _lone_leaf(tree, first_leaf)
    position = np.where(
        tree.leaf, first_leaf + np.cumsum(tree.leaf) - 1, first_node + np.cumsum(~tree.leaf) - 1
    )
    feature, split, track = tree.feature[inner], tree.threshold[inner].copy(), tree.missing_left[inner].copy()
    yes, no = tree.left[inner].copy(), tree.right[inner].copy()
    modes = np.zeros(len(inner), dtype=np.uint8)
    members: list[float] = []
    for at, test in _special(tree, tests, inner, feature):
        modes[at], split[at], track[at] = test.mode, test.split, test.missing_true
        if test.swapped:
            yes[at], no[at] = no[at], yes[at]
        if test.mode == MEMBER:
            members += [*test.members, np.nan]
    return {
        "nodes_featureids": tests.columns[feature],
        "nodes_splits": split,
        "nodes_modes": modes,
        "nodes_missing_value_tracks_true": track.astype(np.int64),
        "nodes_truenodeids": position[yes],
        "nodes_trueleafs": tree.leaf[yes].astype(np.int64),
        "nodes_falsenodeids": position[no],
        "nodes_falseleafs": tree.leaf[no].astype(np.int64),
        "leaf_weights": tree.value[tree.leaf],
        "membership_values": np.array(members, dtype=np.float64),
    }


def _special(
    tree: FittedTree, tests: _Tests, inner: NDArray[np.int64], feature: NDArray[np.int64]
) -> Iterable[tuple[int, Test]]:
    """Yield the place and test of each node that does not compare a number with its threshold."""
    looked_up = tests.looked_up[feature]
    for at in np.flatnonzero(looked_up | np.isin(inner, list(tree.categories))).tolist():
        node, missing_left = int(inner[at]), bool(tree.missing_left[inner[at]])
        if node in tree.categories:
            known, left = tree.categories[node]
            yield at, tests.categories(int(feature[at]), known, left, missing_left=missing_left)
        else:
            threshold = float(tree.threshold[node])
            yield at, tests.threshold(int(feature[at]), threshold, missing_left=missing_left)


def _lone_leaf(tree: FittedTree, first_leaf: int) -> dict[str, NDArray[Any]]:
    """Write a tree without splits: one node whose two links end at the same leaf."""
    zero, link, one = np.zeros(1, dtype=np.int64), np.array([first_leaf]), np.ones(1, dtype=np.int64)
    return {
        "nodes_featureids": zero, "nodes_splits": np.zeros(1), "nodes_modes": zero.astype(np.uint8),
        "nodes_missing_value_tracks_true": zero, "nodes_truenodeids": link, "nodes_trueleafs": one,
        "nodes_falsenodeids": link, "nodes_falseleafs": one, "leaf_weights": tree.value[:1],
        "membership_values": np.zeros(0),
    }  # fmt: skip


def _refused(graph: Graph, features: list[Feature], prediction: Tensor, *, missing: bool) -> Tensor:
    """Make the prediction NaN for rows that scikit-learn's trees refuse."""
    looked_at = [f for f in features if isinstance(f, Slot) or (missing and _has_gaps(f))]
    if not looked_at:
        return prediction
    narrow = matrix(graph, looked_at).cast(TensorProto.FLOAT)
    fault = graph.op("IsInf", narrow)
    fault = graph.op("Or", fault, graph.op("IsNaN", narrow)) if missing else fault
    count = graph.sum(fault.cast(TensorProto.DOUBLE))
    return graph.where(count > 0.0, np.nan, prediction)


def _has_gaps(feature: Feature) -> bool:
    return isinstance(feature, Lookup) and bool(np.isnan(feature.table).any())


MODELS = {
    DecisionTreeRegressor: forest,
    ExtraTreeRegressor: forest,
    RandomForestRegressor: forest,
    ExtraTreesRegressor: forest,
    GradientBoostingRegressor: gradient_boosting,
    HistGradientBoostingRegressor: hist_gradient_boosting,
}
