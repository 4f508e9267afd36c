"""Gradient boosting by LightGBM, kept as its own text. This file travels inside each registered version.

It is copied into the version's `code/` folder, so that stock MLflow can load the model without Slipway: it may import
numpy and scikit-learn, LightGBM where trees are learned or asked, and nothing of ours.

LightGBM's reader trusts its text: a child that is its own parent never ends, a column that is not there is read
beside the row. So a text is read here first, held to what a tree is, and written anew; LightGBM gets that text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin

NONE, ZERO, NAN = 0, 1, 2
"""What LightGBM takes for missing at a split: nothing, so that NaN is 0; zero and NaN; NaN."""

CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Bits of a split's decision type; the two above them are what is missing."""

LAST_DECISION = (NAN << 2) | DEFAULT_LEFT | CATEGORICAL

SAME = frozenset(["regression", "regression_l1", "huber", "fair", "quantile", "mape"])
EXPONENTIAL = frozenset(["poisson", "gamma", "tweedie"])
"""Objectives by what is done with the trees' sum."""

FIXED = {
    "objective": "regression",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
    "zero_as_missing": False,
    "linear_tree": False,
}
"""Settings that nobody chooses: the same rows and seed give the same trees, which compile."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """One tree; arrays of shape (n_splits,), of the leaves (n_leaves,).

    `left` and `right` are the number of a split, or of a leaf as -1 - number. `rows` and `leaf_rows` count the rows
    that it learned from. A split on categories has the place of its set in `boundaries` as threshold: bit b of the
    words between two boundaries is the category b, which goes left.
    """

    feature: Ints
    threshold: Floats
    decision: Ints
    left: Ints
    right: Ints
    rows: Ints
    value: Floats
    leaf_rows: Ints
    boundaries: Ints
    words: Ints

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """Which splits are on categories."""
        return (self.decision & CATEGORICAL) > 0

    @property
    def default_left(self) -> NDArray[np.bool_]:
        """Where what is missing goes."""
        return (self.decision & DEFAULT_LEFT) > 0

    @property
    def missing(self) -> Ints:
        """What is missing: NONE, ZERO or NAN."""
        return (self.decision >> 2) & 3

    def categories(self, split: int) -> Ints:
        """Return the categories that a split sends left, ascending."""
        place = int(self.threshold[split])
        words = self.words[self.boundaries[place] : self.boundaries[place + 1]]
        bits = (words[:, None] >> np.arange(32)) & 1
        return np.flatnonzero(bits.reshape(-1)).astype(np.int64)


@dataclass(frozen=True)
class Boosted:
    """A model's trees and what is done with their sum.

    Attributes
    ----------
    features : int
        Columns that it takes.
    objective : str
        As LightGBM writes it, without what predictions don't need: "regression", "regression sqrt", "tweedie".
    averaged : bool
        Whether the trees' mean is taken, as in a random forest.
    """

    features: int
    objective: str
    averaged: bool
    trees: tuple[Tree, ...]

    @property
    def link(self) -> str:
        """What is done with the sum: "" for nothing, "exp", or "square" with its sign."""
        if self.objective.split()[0] in EXPONENTIAL:
            return "exp"
        return "square" if "sqrt" in self.objective.split() else ""


def read(text: str) -> Boosted:
    """Return the model that a text holds; raises ValueError for any other text, or a model that cannot be compiled."""
    head, *blocks = _blocks(text)
    if "tree" not in head:
        raise ValueError("it is no model of trees in LightGBM's text")
    for name, value in (("num_class", 1), ("num_tree_per_iteration", 1)):
        if _integer(head, name) != value:
            raise ValueError(f"{name} is {head.get(name)!r}, must be {value}: it predicts one number")
    objective, *more = head.get("objective", "").split() or [""]
    if objective not in SAME | EXPONENTIAL:
        raise ValueError(f"the objective {objective[:40]!r} is none of a regression")
    objective += " sqrt" * ("sqrt" in more)
    features = _integer(head, "max_feature_idx") + 1
    if not 1 <= features <= 1_000_000:
        raise ValueError(f"{features} columns")
    if not blocks:
        raise ValueError("it has no tree")
    trees = tuple(_tree(block, features) for block in blocks)
    return Boosted(features, objective, "average_output" in head, trees)


def written(model: Boosted) -> str:
    """Return LightGBM's text of a model, with no more in it than predictions need; the same model, the same text."""
    head = ["tree", "version=v4", "num_class=1", "num_tree_per_iteration=1", "label_index=0"]
    head += [f"max_feature_idx={model.features - 1}", f"objective={model.objective}"]
    head += ["average_output"] * model.averaged
    head += ["feature_names=" + " ".join(f"Column_{place}" for place in range(model.features))]
    head += ["feature_infos=" + " ".join(["none"] * model.features), ""]
    for place, tree in enumerate(model.trees):
        head += [f"Tree={place}", *_lines(tree), ""]
    return "\n".join([*head, "end of trees", ""])


class LightGBMRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """LightGBM's boosting, whose fitted state is its text.

    Parameters
    ----------
    settings : mapping
        LightGBM's parameters by its own names, such as `num_iterations`, `learning_rate`, `num_leaves`. Those of
        `FIXED` stand as they are.
    categories : sequence of int
        Columns that hold the codes 0, 1, ... of categories; NaN is any other.
    monotonic : sequence of int
        For each column 1, -1 or 0: predictions rise with it, fall, or do either.
    seed : int
        Of all that is drawn.

    Attributes
    ----------
    text_ : str
        As `written` gives it: `lightgbm.Booster(model_str=model.text_)` is the same model.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        categories: Sequence[int] | None = None,
        monotonic: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings
        self.categories = categories
        self.monotonic = monotonic
        self.seed = seed

    @classmethod
    def of(cls, booster: Any) -> Self:
        """Return the model of a `lightgbm.Booster`; raises ValueError where it is none that compiles."""
        model = read(booster.model_to_string())
        made = cls()
        made.text_, made.n_features_in_ = written(model), model.features
        return made

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn trees from rows of shape (n_rows, n_columns).

        LightGBM holds the target in float32: it gets what is left of it without its mean. The first tree's leaves have
        that on top then, or each tree's where their mean is taken, as LightGBM itself does it.
        """
        import lightgbm  # noqa: PLC0415 - a version without it loads where it is not installed

        rows, target = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        mean = float(np.average(target, weights=sample_weight))
        options = {**(self.settings or {}), **FIXED, "seed": int(self.seed)}
        if self.monotonic is not None and any(self.monotonic):
            options["monotone_constraints"] = [int(way) for way in self.monotonic]
        data = lightgbm.Dataset(
            rows,
            target - mean,
            weight=sample_weight,
            categorical_feature=list(self.categories or []),
            params=options,
        )
        model = read(lightgbm.train(options, data).model_to_string())
        raised = len(model.trees) if model.averaged else 1
        trees = [replace(tree, value=tree.value + mean) for tree in model.trees[:raised]]
        self.text_ = written(replace(model, trees=(*trees, *model.trees[raised:])))
        self.n_features_in_ = model.features
        self._booster = lightgbm.Booster(model_str=self.text_)
        return self

    def predict(self, X: Any) -> Floats:
        """Return predictions of shape (n_rows,)."""
        rows = np.ascontiguousarray(X, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.n_features_in_:
            raise ValueError(f"rows of shape {rows.shape}, it was fitted on {self.n_features_in_} columns")
        if not hasattr(self, "_booster"):
            self._booster = _booster(self.text_)
        return np.asarray(self._booster.predict(rows), dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_booster", None)
        return state


def _booster(text: str) -> Any:
    import lightgbm  # noqa: PLC0415 - as above

    return lightgbm.Booster(model_str=written(read(text)))


# --- the text ----------------------------------------------------------------------------------


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Yield the words of the head, then of each tree."""
    block: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("end of trees"):
            yield block
            return
        name, _, value = line.partition("=")
        if name == "Tree":
            yield block
            block = {}
        elif line.strip():
            block[name.strip()] = value.strip()
    raise ValueError("its text is cut off")


def _tree(block: Mapping[str, str], features: int) -> Tree:
    leaves, sets = _integer(block, "num_leaves"), _integer(block, "num_cat")
    if block.get("is_linear", "0") != "0":
        raise ValueError("linear_tree: its leaves are lines")
    splits = leaves - 1
    if not 0 <= splits < len(block.get("leaf_value", "")) or not 0 <= sets <= splits:
        raise ValueError(f"a tree of {leaves} leaves and {sets} sets of categories")
    tree = Tree(
        feature=_integers(block, "split_feature", splits),
        threshold=_array(block, "threshold", splits, np.float64),
        decision=_integers(block, "decision_type", splits)
        if "decision_type" in block
        else np.zeros(splits, np.int64),
        left=_integers(block, "left_child", splits),
        right=_integers(block, "right_child", splits),
        rows=_counts(block, "internal_count", splits),
        value=_array(block, "leaf_value", leaves, np.float64),
        leaf_rows=_counts(block, "leaf_count", leaves),
        boundaries=_integers(block, "cat_boundaries", sets + 1) if sets else np.zeros(1, np.int64),
        words=_integers(block, "cat_threshold", None) if sets else np.zeros(0, np.int64),
    )
    for fault in _faults(tree, features, sets):
        raise ValueError(fault)
    return tree


def _faults(tree: Tree, features: int, sets: int) -> Iterator[str]:
    """Yield what is wrong with a tree; each rule relies on those before it."""
    splits, leaves = len(tree.feature), len(tree.value)
    children = np.concatenate([tree.left, tree.right])
    numbers = np.concatenate([np.arange(-leaves, 0), np.arange(1, splits)])
    if splits and not np.array_equal(np.sort(children), numbers):
        yield "a tree's splits are no tree"
    if ((children >= 0) & (children <= np.concatenate([np.arange(splits)] * 2))).any():
        yield "a split stands before its parent"
    if splits and not 0 <= tree.feature.min() <= tree.feature.max() < features:
        yield f"a split on a column beyond the {features} there are"
    if np.isnan(tree.threshold).any() or not np.isfinite(tree.value).all():
        yield "a threshold or a leaf is no number"
    if splits and not 0 <= tree.decision.min() <= tree.decision.max() <= LAST_DECISION:
        yield "a split of an unknown kind"
    if sets or tree.categorical.any():
        yield from _faults_of_sets(tree, sets)


def _faults_of_sets(tree: Tree, sets: int) -> Iterator[str]:
    """Yield what is wrong with a tree's sets of categories."""
    if tree.boundaries[0] or (np.diff(tree.boundaries) < 1).any() or tree.boundaries[-1] != len(tree.words):
        yield "sets of categories that end elsewhere"
    if ((tree.words < 0) | (tree.words >= 2**32)).any():
        yield "a set of categories that is no set"
    if not np.isin(tree.threshold[tree.categorical], np.arange(sets)).all():
        yield "a split on a set of categories that is not there"


def _integer(block: Mapping[str, str], name: str) -> int:
    if not block.get(name, "").removeprefix("-").isdecimal():
        raise ValueError(f"{name} is {block.get(name)!r}")
    return int(block[name])


def _array(block: Mapping[str, str], name: str, count: int | None, kind: type) -> NDArray[Any]:
    words = block.get(name, "").split()
    if count is not None and len(words) != count:
        raise ValueError(f"{name} has {len(words)} values, must have {count}")
    try:
        return np.array([int(word) if kind is np.int64 else float(word) for word in words], dtype=kind)
    except OverflowError as error:
        raise ValueError(f"{name} holds a number beyond 64 bits") from error


def _integers(block: Mapping[str, str], name: str, count: int | None) -> Ints:
    return _array(block, name, count, np.int64)


def _counts(block: Mapping[str, str], name: str, count: int) -> Ints:
    return _integers(block, name, count) if block.get(name) else np.zeros(count, np.int64)


def _lines(tree: Tree) -> list[str]:
    sets = len(tree.boundaries) - 1
    values: dict[str, NDArray[Any]] = {
        "split_feature": tree.feature,
        "threshold": tree.threshold,
        "decision_type": tree.decision,
        "left_child": tree.left,
        "right_child": tree.right,
        "leaf_value": tree.value,
        "leaf_count": tree.leaf_rows,
        "internal_count": tree.rows,
    }
    if sets:
        values |= {"cat_boundaries": tree.boundaries, "cat_threshold": tree.words}
    lines = [f"{name}={' '.join(map(repr, array.tolist()))}" for name, array in values.items()]
    return [f"num_leaves={len(tree.value)}", f"num_cat={sets}", *lines, "is_linear=0", "shrinkage=1"]
