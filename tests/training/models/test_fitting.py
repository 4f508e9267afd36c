"""Weights reach the model at the end of every pipeline, and mean what repeated rows mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from data.schema import Schema
from data.tables import Table, describe
from tests.training.search.searched_rows import rows_of
from training.compiling import compile_verified
from training.measuring.importance import importance
from training.measuring.learning_curve import measure
from training.models import portfolio
from training.models.families import FAMILIES, Spec, build
from training.models.fitting import fit, takes_weights
from training.search.choosing import choose
from training.search.cross_validation import TrainingRows, out_of_fold
from training.search.winner import winner_of
from training.time_budget import Budget
from training.versions import flavor

SPECS: dict[str, Spec] = {
    family: {"family": family, "params": params}
    for family, params in {
        **{family: {} for family in FAMILIES if family != "process"},
        "stochastic": {"n_estimators": 200},
        "forest": {"n_estimators": 30},
        "extra_trees": {"n_estimators": 30, "min_samples_leaf": 40},
        "perceptron": {"max_iter": 100, "width": 16, "bag": 2},
        "support_vectors": {"C": 100.0},
    }.items()
} | {
    "curves and products": {"family": "ridge", "params": {"splines": 3, "interactions": True}},
    "of a logarithm": {"family": "boosting", "params": {"target": "log"}},
    "blend": {
        "family": "blend",
        "members": [
            {"family": "ridge", "params": {"interactions": True}},
            {"family": "boosting", "params": {}},
        ],
        "weights": [0.25, 0.75],
    },
}


def schema_of(frame: pd.DataFrame) -> Schema:
    """Describe numbers and texts."""
    kinds = {name: "number" if frame[name].dtype == float else "category" for name in frame}
    return describe(Table("t", frame.assign(y=0.0), kinds | {"y": "number"}), list(frame), target="y")  # type: ignore[arg-type]


def halves() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return columns that tell nothing, a target of 1 or 9, and weights of 1 or 9 that go with it."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=400),
            "z": random.normal(size=400),
            "town": random.choice(["a", "b"], 400).astype(object),
        }
    )
    nine = random.random(400) < 0.5
    return frame, np.where(nine, 9.0, 1.0), np.where(nine, 9.0, 1.0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", list(SPECS))
def test_the_weights_reach_the_model(name: str) -> None:
    """Where nine in ten of what rows stand for are 9 and not 1, predictions are nearer to 8 than to 5."""
    frame, target, weight = halves()
    model = build(SPECS[name], schema_of(frame), seed=0)
    assert takes_weights(model)
    plain, weighted = (fit(clone(model), frame, target, by).predict(frame) for by in (None, weight))
    assert np.median(plain) < 7.0 if name not in ("huber", "support_vectors") else True
    assert np.median(weighted) > np.median(plain) + 1.0 or np.median(weighted) > 8.0
    if name == "mean":
        assert weighted[0] == pytest.approx(np.average(target, weights=weight))


@pytest.mark.parametrize(
    "name", ["ridge", "boosting", "lightgbm", "stochastic", "forest", "of a logarithm", "blend"]
)
def test_equal_weights_are_none_to_the_bit(name: str) -> None:
    """The same model, and so the same digest, whatever the weight that all rows have."""
    frame, target, _ = halves()
    model = build(SPECS[name], schema_of(frame), seed=0)
    plain = fit(clone(model), frame, target)
    weighted = fit(clone(model), frame, target, np.full(400, 2.5))
    np.testing.assert_array_equal(plain.predict(frame), weighted.predict(frame))


@pytest.mark.parametrize("name", ["ridge", "boosting", "lightgbm", "stochastic", "support_vectors", "blend"])
def test_a_constant_times_all_weights_gives_the_same_model(name: str) -> None:
    """A survey's weights may sum to its sample or to a nation: a penalty is as strong."""
    frame, target, weight = halves()
    model = build(SPECS[name], schema_of(frame), seed=0)
    one, other = (fit(clone(model), frame, target, by).predict(frame) for by in (weight, 12_345.6 * weight))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_line_is_that_of_the_rows_repeated() -> None:
    """With the penalty that so many rows ask for, to the last digits; the scaler sees the rows as they are."""
    random = np.random.default_rng(1)
    x = np.tile(random.normal(size=(150, 3)), (4, 1))
    times = np.tile([1, 2, 3, 4], 150)
    frame = pd.DataFrame(x, columns=list("abc"))
    target = x @ [1.0, -2.0, 0.5] + np.exp(x[:, 0]) + random.normal(size=600)
    alpha, repeated = 3.0, frame.loc[frame.index.repeat(times)]
    models = [
        build({"family": "ridge", "params": {}}, schema_of(frame), seed=0).set_params(model__alphas=[a])
        for a in (alpha, alpha * times.mean())
    ]
    columns = models[0].named_steps["columns"].fit(frame)
    weighted = fit(models[0], frame, target, times.astype(float))
    reference = models[1].named_steps["model"].fit(columns.transform(repeated), np.repeat(target, times))
    np.testing.assert_allclose(
        weighted.predict(frame), reference.predict(columns.transform(frame)), rtol=1e-9, atol=1e-9
    )


def test_a_weighted_blend_is_its_members_compiled_and_stored() -> None:
    """It is put together here, so every reader of a fitted blend is asked."""
    frame, target, weight = halves()
    schema, spec = schema_of(frame), SPECS["blend"]
    blend = fit(build(spec, schema, seed=0), frame, target, weight)
    members = [
        fit(build(member, schema, seed=0), frame, target, weight).predict(frame) for member in spec["members"]
    ]
    np.testing.assert_allclose(blend.predict(frame), 0.25 * members[0] + 0.75 * members[1], rtol=1e-12)
    compile_verified(blend, schema=schema, frame=frame, target=target)
    flavor.trusted_types(blend)
    assert blend.n_features_in_ == 3 and list(blend.feature_names_in_) == list(frame)


def weighted_rows() -> tuple[TrainingRows, np.ndarray]:
    """Return numbers of which the heavy ones follow another line, with their weights."""
    random = np.random.default_rng(0)
    x = random.uniform(-1.0, 1.0, (400, 2))
    heavy = random.random(400) < 0.2
    y = np.where(heavy, 2.0, -1.0) * x[:, 0] + random.normal(0.0, 0.1, 400)
    weight = np.where(heavy, 20.0, 1.0)
    return replace(rows_of(x, y), weight=weight / weight.mean()), weight


def test_a_search_weighs_fits_and_errors_and_says_who_cannot() -> None:
    """The figure is the weighted one of out-of-fold predictions; a Gaussian process takes no weights."""
    rows, weight = weighted_rows()
    choice = choose(rows, budget=Budget(5.0, 6))
    for candidate in choice.candidates:
        squared = (candidate.out_of_fold - rows.target) ** 2
        known = np.isfinite(squared)
        assert candidate.cv_rmse == pytest.approx(np.sqrt(np.average(squared[known], weights=weight[known])))
    assert choice.ended.endswith("without a way to weigh rows: process")
    assert "process" not in set(choice.trials["family"])
    at = pd.DataFrame({"x0": [-1.0, 1.0], "x1": 0.0})
    winner = winner_of(choice, rows)
    assert np.diff(winner.fitted.predict(at)) > 1.0  # the heavy rows' line rises
    assert np.diff(winner.baseline.predict(at)) == 0.0
    assert winner.baseline.predict(at)[0] == pytest.approx(np.average(rows.target, weights=weight))


def test_folds_and_samples_keep_their_weights() -> None:
    """Out of fold, and on a part of the rows, the heavy ones lead."""
    rows, _ = weighted_rows()
    spec: Spec = {"family": "ridge", "params": {}}
    for part in (rows, rows.sample(200)):
        found = out_of_fold(spec, part)
        assert np.corrcoef(found, part.frame["x0"])[0, 1] > 0.5
        assert np.corrcoef(out_of_fold(spec, replace(part, weight=None)), part.frame["x0"])[0, 1] < -0.5


def test_a_champions_settings_that_take_no_weights_are_not_tried_again() -> None:
    """Alone, or in a blend."""
    rows, _ = weighted_rows()
    task = portfolio.Task(400, rows.schema, weighted=True)
    process: Spec = {"family": "process", "params": {"nu": 1.5}}
    blend: Spec = {
        "family": "blend",
        "members": [{"family": "ridge", "params": {}}, process],
        "weights": [1, 1],
    }
    assert portfolio.fits(process, replace(task, weighted=False))
    assert not portfolio.fits(process, task)
    assert not portfolio.fits(blend, task)
    assert portfolio.left_out_by_weights(replace(task, weighted=False)) == []


def test_learning_and_importance_are_weighed() -> None:
    """The curve's last error is that of folds fitted and judged with weights; a light column's importance is light."""
    rows, weight = weighted_rows()
    fitted = fit(
        build({"family": "ridge", "params": {}}, rows.schema, seed=0), rows.frame, rows.target, weight
    )
    words = {"clusters": np.arange(400), "budget": 60.0, "seconds_a_row": 1e-6}
    curve = measure(fitted, rows.frame, rows.target, rows.folds, weight=rows.weight, **words)
    assert curve is not None
    squared = (out_of_fold({"family": "ridge", "params": {}}, rows) - rows.target) ** 2
    assert curve.rmse[-1] == pytest.approx(np.sqrt(np.average(squared, weights=weight)))
    graph = compile_verified(fitted, schema=rows.schema, frame=rows.frame, target=rows.target).graph
    plain, weighted = (
        importance(graph, rows.frame, rows.target, rows.schema, seed=0, seconds=60.0, weight=by).drops["x0"][
            0
        ]
        for by in (None, weight)
    )
    assert weighted > 0.5 and plain < 0.0  # shuffling helps the many light rows
