"""What explains a blend of trees and lines: the definition over all coalitions, and files that are not whole."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor, VotingRegressor
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from serving.scorer.errors import NotAScorer, RefusedGraph, UnsoundReasons
from serving.scorer.reasons import About, Arrays, explainer_of, packed
from serving.scorer.reasons.packed_arrays import unpacked
from tests.training.compiling.pipelines import CATEGORIES, categories, numbers
from tests.training.compiling.reasons.explained_models import (
    FRAME,
    MATRIX,
    SCHEMA,
    TARGET,
    Loaded,
    explainer,
    hard_rows,
    plain,
    worth,
    written,
)
from training.compiling.reasons import reason_file


def wide(columns):
    """A table of numbers, its target bent, with a product and a step."""
    random = np.random.default_rng(columns)
    values = random.normal(size=(80, columns)).astype(np.float32).astype(np.float64)
    target = values[:, 0] * values[:, 1] + np.sin(values[:, 2]) + (values[:, 1] > 0.3) + 5.0
    return pd.DataFrame(values, columns=[f"x{place}" for place in range(columns)]), target


def blend(line, weights=(3.0, 1.0)):
    """Trees and a model beside them."""
    return VotingRegressor(
        [("trees", DecisionTreeRegressor(max_depth=4, random_state=0)), ("line", line)], weights=list(weights)
    )


def by_definition(worth_of, columns):
    """Shapley values of any game, over all coalitions."""
    shares = np.zeros(columns)
    for size in range(columns):
        weight = 1.0 / (columns * math.comb(columns - 1, size))
        for coalition in itertools.combinations(range(columns), size):
            for column in set(range(columns)) - set(coalition):
                shares[column] += weight * (worth_of({*coalition, column}) - worth_of(set(coalition)))
    return shares


@pytest.mark.parametrize(
    "line",
    [
        Ridge(),
        make_pipeline(SplineTransformer(4, extrapolation="linear", include_bias=False), Ridge()),
        TransformedTargetRegressor(
            make_pipeline(StandardScaler(), Lasso(0.01)), transformer=StandardScaler()
        ),
        make_pipeline(PolynomialFeatures(2), Ridge()),
    ],
    ids=["ridge", "splines", "scaled", "products"],
)
def test_a_blend_of_trees_and_a_line_is_explained_as_the_definition_has_it(line):
    """The game of the blend: trees go on by their covers, the line is averaged over the training rows."""
    frame, target = wide(4)
    model = blend(line)
    reasons = explainer(model, frame, target, plain(4)).explain(frame.to_numpy()[:3])
    trees, fitted = model.estimators_
    for row, shares in zip(frame.to_numpy(), reasons.shares, strict=False):

        def worth_of(coalition, row=row):
            mixed = np.where([place in coalition for place in range(4)], row, frame.to_numpy())
            of_line = fitted.predict(pd.DataFrame(mixed, columns=frame.columns)).mean()
            return 0.75 * worth(trees.tree_, row, range(4), coalition) + 0.25 * of_line

        np.testing.assert_allclose(shares, by_definition(worth_of, 4), rtol=0.0, atol=1e-11)
        assert reasons.base == pytest.approx(worth_of(set()), abs=1e-11)
    assert (reasons.method, reasons.errors) == ("weighted-sum", None)


def test_above_ten_columns_a_blend_is_exact_where_it_was_sampled():
    """The trees' shares and coefficient times (value - mean), each by its weight; no standard error is left."""
    frame, target = wide(12)
    model, rows = blend(Ridge(), (1.0, 1.0)), frame.to_numpy()[:20]
    reasons = explainer(model, frame, target, plain(12)).explain(rows)
    alone = explainer(DecisionTreeRegressor(max_depth=4, random_state=0), frame, target, plain(12))
    line = model.estimators_[1].coef_ * (rows - frame.to_numpy().mean(axis=0))
    assert (reasons.method, reasons.errors) == ("weighted-sum", None)
    np.testing.assert_allclose(reasons.shares, (alone.explain(rows).shares + line) / 2.0, atol=1e-12)


@pytest.mark.parametrize(("columns", "stored"), [(4, 80), (12, 32)])
def test_products_of_two_columns_are_split_evenly_between_them(columns, stored):
    """Alone and in a blend, beyond ten columns too: in closed form, by the means of the stored rows."""
    frame, target = wide(columns)
    line = make_pipeline(PolynomialFeatures(2, interaction_only=True, include_bias=False), Ridge())
    rows = frame.to_numpy()
    reasons = explainer(line, frame, target, plain(columns)).explain(rows[:10])
    kept = rows[np.linspace(0, 79, stored).round().astype(int)]
    mean, coefficients = kept.mean(axis=0), line[-1].coef_
    expected = coefficients[:columns] * (rows[:10] - mean)
    pairs = itertools.combinations(range(columns), 2)
    for (a, b), coefficient in zip(pairs, coefficients[columns:], strict=True):
        whole = rows[:10, a] * rows[:10, b] - (kept[:, a] * kept[:, b]).mean()
        tilt = rows[:10, a] * mean[b] - rows[:10, b] * mean[a]
        expected[:, a] += coefficient * (whole + tilt) / 2.0
        expected[:, b] += coefficient * (whole - tilt) / 2.0
    assert (reasons.method, reasons.errors) == ("column-pairs", None)
    np.testing.assert_allclose(reasons.shares, expected, rtol=0.0, atol=1e-11)
    blended = explainer(blend(line, (1.0, 1.0)), frame, target, plain(columns)).explain(rows[:10])
    trees = explainer(DecisionTreeRegressor(max_depth=4, random_state=0), frame, target, plain(columns))
    assert (blended.method, blended.errors) == ("weighted-sum", None)
    np.testing.assert_allclose(
        blended.shares, (trees.explain(rows[:10]).shares + expected) / 2.0, rtol=0.0, atol=1e-11
    )


def nested():
    """Two lines, a constant and two forests, over categories, gaps and numbers; a blend within a blend."""
    encoded = categories(OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    forest = RandomForestRegressor(3, max_depth=4, random_state=0)
    inner = VotingRegressor(
        [("line", make_pipeline(encoded, Ridge())), ("trees", make_pipeline(encoded, forest))], weights=[2, 3]
    )
    curves = make_pipeline(numbers(SplineTransformer(3, extrapolation="linear")), LinearRegression())
    trees = make_pipeline(numbers("passthrough"), DecisionTreeRegressor(max_depth=3, random_state=0))
    members = [("a", inner), ("b", curves), ("c", make_pipeline(numbers("passthrough"), DummyRegressor()))]
    return VotingRegressor([*members, ("d", trees)], weights=[0.5, 0.1, 0.2, 0.2])


@pytest.fixture(scope="module")
def files():
    """The graph of a blend within a blend, and the file that explains it."""
    return written(nested(), FRAME, TARGET, SCHEMA)


def opened(graph, arrays):
    """What explains, from these arrays."""
    about = About(tuple(SCHEMA.names), "y", "", float(np.std(TARGET)))
    return explainer_of(packed(arrays), about, Loaded(graph, len(SCHEMA.columns)))


def test_blends_within_blends_add_up_on_hard_rows(files):
    """Unseen categories, gaps and numbers far out; looked up or worked out, alone or among others."""
    graph, content = files
    found, rows = opened(graph, unpacked(content)), np.vstack([MATRIX[:20], hard_rows()])
    coded = [SCHEMA.names.index(name) for name in CATEGORIES]
    rows[:, coded] = np.where(rows[:, coded] == 1e9, -1.0, rows[:, coded])  # packing gives no such code
    first = found.explain(rows)
    found.explain(np.resize(MATRIX, (80, MATRIX.shape[1])))
    reasons = found.explain(rows)
    assert found.part.parts[0]._way[0] is not None
    assert first.method == reasons.method == "weighted-sum"
    assert np.isfinite(reasons.shares).all()
    scale = np.maximum(np.abs(reasons.predictions), 1.0)
    apart = reasons.shares.sum(axis=1) + reasons.base - reasons.predictions
    np.testing.assert_allclose(apart / scale, 0.0, atol=1e-12)
    np.testing.assert_allclose(first.shares / scale[:, None], reasons.shares / scale[:, None], atol=1e-12)
    np.testing.assert_allclose(found.explain(rows[[3]]).shares[0], reasons.shares[3], atol=1e-12)


def test_a_blend_keeps_one_training_row_and_gives_the_same_file_again(files):
    """No stored background; a version that is rebuilt has the digest of the first."""
    arrays = unpacked(files[1]).by_name
    assert {"reference", "means", "line"} < arrays.keys()
    assert "background" not in arrays
    assert written(nested(), FRAME, TARGET, SCHEMA)[1] == files[1]


def of_width_two(arrays):
    """The graph of what the trees look at, which gives more than one number a row."""
    return {"line": arrays["graph"]}


TORN = {
    "no line": (lambda _: {"line": None}, NotAScorer),
    "half a line": (lambda arrays: {"line": arrays["line"][: arrays["line"].size // 2]}, RefusedGraph),
    "an empty line": (lambda arrays: {"line": arrays["line"][:0]}, RefusedGraph),
    "a line of many numbers": (of_width_two, RefusedGraph),
    "no row": (lambda _: {"reference": None}, NotAScorer),
    "a short row": (lambda arrays: {"reference": arrays["reference"][:-1]}, NotAScorer),
    "means of another model": (lambda arrays: {"means": arrays["means"][:, None]}, NotAScorer),
    "stored rows of another width": (lambda _: {"background": np.zeros((2, 5))}, NotAScorer),
    "no trees' base": (lambda _: {"base": None}, NotAScorer),
    "a column beyond the model's": (lambda arrays: {"player_1": arrays["player_1"] + 99}, NotAScorer),
}


@pytest.mark.parametrize("name", TORN)
def test_a_torn_part_of_a_blend_is_refused_before_anything_is_explained(files, name):
    """Its graph is looked at as the model's own is, its arrays must fit the model's columns."""
    tear, error = TORN[name]
    arrays = unpacked(files[1])
    by_name = {**arrays.by_name, **tear(arrays.by_name)}
    whole = {key: each for key, each in by_name.items() if each is not None}
    with pytest.raises(error):
        opened(files[0], Arrays(whole, arrays.notes))


@pytest.mark.parametrize("name", ["means", "base"])
def test_parts_that_miss_the_prediction_are_not_given_out(files, name):
    """A file that loads, of numbers that are not this model's."""
    arrays = unpacked(files[1])
    wrong = Arrays({**arrays.by_name, name: arrays.by_name[name] + 1e-3}, arrays.notes)
    with pytest.raises(UnsoundReasons):
        opened(files[0], wrong).explain(MATRIX[:3])


def test_a_blend_whose_parts_do_not_add_up_when_it_is_compiled_is_asked_itself(monkeypatch):
    """A line of another weight is exact by itself, and still not what is missing beside the trees."""
    right = reason_file.line_of
    monkeypatch.setattr(
        reason_file,
        "line_of",
        lambda rest, graph: right([(1.001 * share, each) for share, each in rest], graph),
    )
    frame, target = wide(4)
    reasons = explainer(blend(Ridge()), frame, target, plain(4)).explain(frame.to_numpy()[:2])
    assert reasons.method == "all-coalitions"
