"""LightGBM's trees in the graph give LightGBM's own numbers, on the rows where its rules are odd."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from data.schema import Column, Schema
from data.tables import Table, describe
from serving.scorer.graph_checks.guard import check_graph
from serving.scorer.scoring import Session
from training.compiling import compile_pipeline, compile_verified
from training.compiling.errors import UncompilableStep
from training.lightgbm_text import NAN, NONE, ZERO, Boosted, LightGBMRegressor, Tree, read, written
from training.transformers import CategoryText

TINY = float(np.float32(1e-35))
"""What LightGBM takes for zero."""

RARE = [0.0, -0.0, 5e-324, -5e-324, 1e-36, -1e-36, TINY, -TINY, np.nextafter(TINY, 1), np.nextafter(-TINY, -1),
        1.0, -1.0, 1e300, -1e300, 1e308, 2.0**31, 2.0**31 - 0.5, -0.5, 0.5, 31.0, 32.0, 63.9, 64.0, 127.0, 5000.0,
        -7.0, np.nan, np.inf, -np.inf]  # fmt: skip
"""Numbers at which a rule of LightGBM's changes."""

THRESHOLDS = [value for value in RARE if not np.isnan(value)]
"""inf is what LightGBM learns where NaN alone goes elsewhere."""

COLUMNS = 4


def numbers(width: int) -> Schema:
    """A schema of number columns."""
    return Schema(tuple(Column(f"x{place}", "number") for place in range(width)), "y")


def compiled(text: str) -> Session:
    """The graph of a text, as the server loads it."""
    model = LightGBMRegressor()
    model.text_, model.n_features_in_ = text, read(text).features
    graph = compile_pipeline(model, numbers(model.n_features_in_))
    check_graph(graph, columns=model.n_features_in_)
    return Session(graph)


def beside(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value and the two next to it."""
    with np.errstate(over="ignore"):
        return np.concatenate([values, np.nextafter(values, np.inf), np.nextafter(values, -np.inf)])


def hard_rows(model: Boosted, random: np.random.Generator, count: int = 400) -> NDArray[np.float64]:
    """Rows of rare values, of thresholds and of what stands beside them."""
    splits = np.concatenate([tree.threshold for tree in model.trees])
    return random.choice(np.concatenate([RARE, beside(splits)]), size=(count, model.features))


def assert_same(text: str, rows: NDArray[np.float64]) -> None:
    """The graph and LightGBM differ by rounding of a sum at most."""
    expected = lightgbm.Booster(model_str=text).predict(rows)
    np.testing.assert_allclose(compiled(text).predict(rows), expected, rtol=1e-12, atol=1e-12)


def grown(draw: Any, random: np.random.Generator, kinds: list[str]) -> Tree:
    """A tree that grew leaf by leaf, as LightGBM's do, with splits of every kind that fits its columns."""
    leaves = draw(st.integers(1, 9))
    left, right, parent = [], [], [(-1, "")]
    for split in range(leaves - 1):
        leaf = int(random.integers(split + 1))
        before, side = parent[leaf]
        if before >= 0:
            (left if side == "left" else right)[before] = split
        left.append(-1 - leaf)
        right.append(-2 - split)
        parent[leaf] = (split, "left")
        parent.append((split, "right"))
    feature = random.integers(COLUMNS, size=leaves - 1)
    decision, threshold, boundaries, words = [], [], [0], []
    for column in feature.tolist():
        kind = kinds[column]
        default_left = 2 * int(random.integers(2))
        if kind == "category":
            decision.append(1 + 4 * int(random.choice([NONE, ZERO, NAN])))
            threshold.append(float(len(boundaries) - 1))
            length = int(random.integers(1, 5))
            words += random.integers(2**32, size=length).tolist()
            boundaries.append(boundaries[-1] + length)
        else:
            missing = ZERO if kind == "zero" else int(random.choice([NONE, NAN]))
            decision.append(default_left + 4 * missing)
            threshold.append(float(random.choice(THRESHOLDS)))
    whole = lambda values: np.array(values, dtype=np.int64)  # noqa: E731
    return Tree(
        feature=whole(feature),
        threshold=np.array(threshold),
        decision=whole(decision),
        left=whole(left),
        right=whole(right),
        rows=np.zeros(leaves - 1, np.int64),
        value=random.normal(size=leaves),
        leaf_rows=np.zeros(leaves, np.int64),
        boundaries=whole(boundaries),
        words=whole(words),
    )


@st.composite
def models(draw: Any) -> tuple[Boosted, np.random.Generator]:
    """Trees that nobody learned: every rule, threshold and set there can be."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = [draw(st.sampled_from(["number", "zero", "category"])) for _ in range(COLUMNS)]
    trees = tuple(grown(draw, random, kinds) for _ in range(draw(st.integers(1, 5))))
    link = draw(st.sampled_from(["regression", "regression sqrt", "poisson", "gamma", "tweedie", "mape",
                                 "quantile", "regression_l1", "huber", "fair"]))  # fmt: skip
    return Boosted(COLUMNS, link, draw(st.booleans()), trees), random


@settings(max_examples=120, derandomize=True, suppress_health_check=list(HealthCheck))
@given(models())
def test_any_trees_give_lightgbms_numbers(problem: tuple[Boosted, np.random.Generator]) -> None:
    """At each threshold and beside it, zeros, denormals, 1e300, NaN, infinities, codes that no set holds."""
    model, random = problem
    assert_same(written(model), hard_rows(model, random))


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(models())
def test_a_text_that_was_read_and_written_is_the_same(problem: tuple[Boosted, np.random.Generator]) -> None:
    """The same bits of every threshold and leaf, here and in LightGBM's own writing of it."""
    text = written(problem[0])
    assert written(read(text)) == text
    assert written(read(lightgbm.Booster(model_str=text).model_to_string())) == text


def table(rows: int = 600) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers with zeros and gaps, 90 categories, three more; a target of all."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    x[:, 1] = np.where(x[:, 1] > 0.4, x[:, 1], 0.0)
    x[:, 2], x[:, 3] = random.integers(90, size=rows), random.integers(3, size=rows)
    target = x[:, 0] * 3 + x[:, 1] ** 2 + random.normal(size=90)[x[:, 2].astype(int)] * 2 + x[:, 3]
    x[::7, 0], x[::11, 1] = np.nan, np.nan
    return x, target


ORDINARY = {"num_leaves": 15, "min_data_in_leaf": 3, "min_data_per_group": 3, "cat_smooth": 1.0, "verbosity": -1,
            "deterministic": True, "force_row_wise": True, "num_threads": 1, "max_cat_threshold": 90}  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"boosting": "dart", "drop_rate": 0.5},
        {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
        {"objective": "poisson"},
        {"objective": "gamma"},
        {"objective": "tweedie"},
        {"objective": "quantile", "alpha": 0.8},
        {"objective": "regression_l1"},
        {"objective": "huber"},
        {"objective": "fair"},
        {"objective": "mape"},
        {"reg_sqrt": True},
        {"zero_as_missing": True},
        {"use_missing": False},
        {"boost_from_average": False, "learning_rate": 0.7},
        {"extra_trees": True, "path_smooth": 2.0},
        {"min_data_in_leaf": 600},
        {"max_cat_to_onehot": 100},
        {"monotone_constraints": [1, 0, 0, 0]},
        {"bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.5, "max_bin": 15},
    ],
    ids=str,
)
def test_what_lightgbm_learns_is_exact(options: dict[str, Any]) -> None:
    """Each objective, each kind of boosting, each rule of what is missing; trees of one leaf too."""
    x, target = table()
    rows = lightgbm.Dataset(x, np.abs(target) + 0.1, categorical_feature=[2, 3])
    text = lightgbm.train({**ORDINARY, **options}, rows, 25).model_to_string()
    assert_same(text, np.vstack([x, hard_rows(read(text), np.random.default_rng(1))]))


def test_sets_of_more_than_64_categories_are_exact() -> None:
    """They take several words: the third one of LightGBM's is where a bit shift of 64 bits goes wrong."""
    x, target = table()
    rows = lightgbm.Dataset(x, target, categorical_feature=[2])
    model = read(lightgbm.train(ORDINARY, rows, 25).model_to_string())
    sets = [
        tree.categories(split) for tree in model.trees for split in np.flatnonzero(tree.categorical).tolist()
    ]
    assert max(int(members.max()) for members in sets) > 64
    assert max(map(len, sets)) > 32
    codes = np.column_stack([np.zeros((200, 2)), np.arange(-50.0, 150.0), np.ones(200)])
    assert_same(written(model), codes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"linear_tree": True}, "linear_tree"),
        ({"objective": "multiclass", "num_class": 3}, "num_class"),
        ({"objective": "binary"}, "objective 'binary"),
    ],
)
def test_what_has_no_exact_form_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    """Lines in leaves, classes: nobody gets a number that is nearly right."""
    x, target = table()
    labels = (np.nan_to_num(target) > 0).astype(float) if "objective" in options else target
    booster = lightgbm.train({**ORDINARY, **options}, lightgbm.Dataset(x, labels, params=options), 3)
    with pytest.raises(ValueError, match=said):
        LightGBMRegressor.of(booster)


def test_a_column_that_is_number_and_category_at_once_is_refused() -> None:
    """LightGBM writes no such text; a hand might."""
    stump = {
        "left": np.array([-1]),
        "right": np.array([-2]),
        "value": np.zeros(2),
        "leaf_rows": np.zeros(2, int),
    }
    stump |= {"feature": np.zeros(1, int), "rows": np.zeros(1, int), "threshold": np.zeros(1)}
    number = Tree(decision=np.array([8]), boundaries=np.array([0]), words=np.zeros(0, int), **stump)
    codes = Tree(decision=np.array([1]), boundaries=np.array([0, 1]), words=np.array([6]), **stump)
    with pytest.raises(UncompilableStep, match="category and as number"):
        compiled(written(Boosted(1, "regression", False, (number, codes))))


def test_categories_behind_an_encoder_are_exact_unseen_and_missing_ones_too() -> None:
    """A training's own way: codes that are looked up, no encoded matrix."""
    x, target = table()
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "town": [f"t{int(code):02}" for code in x[:, 2]]})
    frame.loc[::13, "town"] = None
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("numbers", "passthrough", ["a", "b"]), ("towns", make_pipeline(CategoryText(), encoder), ["town"])]
    )
    learner = LightGBMRegressor({**ORDINARY, "num_iterations": 40}, categories=[2])
    pipeline = make_pipeline(columns, learner).fit(frame, target)
    assert any(tree.categorical.any() for tree in read(learner.text_).trees)
    kinds = {"a": "number", "b": "number", "town": "category", "y": "number"}
    schema = describe(Table("t", frame.assign(y=target), kinds), list(frame), target="y")
    assert compile_verified(pipeline, schema=schema, frame=frame, target=target).parity.holds


def test_a_target_far_from_zero_keeps_its_digits() -> None:
    """LightGBM holds a target in float32: of 1e9 plus a number of size 1, 64 would be the smallest step."""
    x, target = table()
    model = LightGBMRegressor({**ORDINARY, "num_iterations": 60}, categories=[2])
    near, far = model.fit(x, target).predict(x), model.fit(x, target + 1e9).predict(x) - 1e9
    np.testing.assert_allclose(near, far, atol=1e-5)
