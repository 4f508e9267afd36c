"""What is tried first, by the size of the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from data.tables import Table, describe
from tests.training.search.searched_rows import rows_of
from training.compiling.compiler import Draft
from training.models import Spec, portfolio
from training.models.families import build
from training.versions import flavor


def task(rows: int) -> portfolio.Task:
    """Return the task of so many rows of two numbers."""
    few = rows_of(np.random.default_rng(0).normal(size=(100, 2)), np.arange(100.0))
    return portfolio.Task(rows, few.schema)


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        (10, (200, 1)),
        (2_000, (200, 1)),
        (6_000, (200, 3)),
        (15_000, (80, 3)),
        (41_157, (30, 4)),
        (1_000_000, (30, 75)),
    ],
)
def test_a_forest_of_many_rows_has_fewer_trees_and_no_more_leaves_than_a_graph_holds(
    rows: int, size: tuple[int, int]
) -> None:
    """200 trees of 21 rows a leaf erred by 13 % more than 30 of 4, with as many leaves."""
    trees, leaf = portfolio.forest_size(task(rows)).values()
    assert (trees, leaf) == size
    assert trees * rows / leaf <= portfolio.LEAVES


def test_the_leaves_of_a_forest_are_counted_as_scikit_learn_grows_them() -> None:
    """A target without a rule splits each leaf as far as it may be."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20_000, 2)), random.normal(size=20_000)
    forest = ExtraTreesRegressor(**portfolio.forest_size(task(len(y))), n_jobs=2, random_state=0).fit(x, y)
    assert sum(tree.get_n_leaves() for tree in forest.estimators_) <= portfolio.LEAVES


@pytest.mark.parametrize(("rows", "size"), [(500, (200, 1)), (8_000, (50, 1)), (41_157, (20, 3))])
def test_a_forest_for_little_noise_has_leaves_of_single_rows_where_it_can(
    rows: int, size: tuple[int, int]
) -> None:
    """One sensor told the air almost exactly, and leaves of three rows blurred it: twice the error."""
    trees = [spec["params"] for spec in portfolio.first(task(rows)) if spec["family"] == "extra_trees"]
    deep = next(each for each in trees if each["max_features"] == 1.0)
    assert (deep["n_estimators"], deep["min_samples_leaf"]) == size
    assert deep["n_estimators"] * rows / deep["min_samples_leaf"] <= portfolio.LEAVES


def test_networks_come_before_what_takes_the_square_of_the_rows() -> None:
    """Of 7,400 rows support vectors took both cores until their time was over, and no network was reached."""
    families = [spec["family"] for spec in portfolio.first(task(7_400))]
    assert families.index("perceptron") < families.index("support_vectors")
    epochs = {
        rows: next(spec for spec in portfolio.first(task(rows)) if spec["family"] == "perceptron")["params"][
            "max_iter"
        ]
        for rows in (500, 7_400, 100_000)
    }
    assert epochs == {500: 150, 7_400: 101, 100_000: 60}


QUICK = {"n_estimators": 5, "num_iterations": 5, "max_iter": 5, "bag": 2}
"""In place of a setting's own: the types that a fitted model holds are the same."""
KINDS = {
    f"{spec['family']} {sorted(spec['params'])}": spec
    for spec in portfolio.first(replace(task(500), skewed=True))
}


@pytest.mark.parametrize("spec", KINDS.values(), ids=KINDS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_kind_of_setting_may_be_a_version(spec: Spec) -> None:
    """SciPy 1.18 gave splines a type that no version might hold: each line with curves left the search, blends too."""
    rows = rows_of(np.random.default_rng(0).normal(size=(100, 2)), np.arange(100.0))
    params = {name: QUICK.get(name, value) for name, value in spec["params"].items()}
    fitted = build({**spec, "params": params}, rows.schema, seed=0).fit(rows.frame, rows.target)
    flavor.trusted_types(fitted)


def test_a_target_of_much_noise_has_trees_that_do_not_learn_the_noise() -> None:
    """The best setting for clear targets erred by 10 % more than this one on 1,129 insured people."""
    random = np.random.default_rng(0)
    x = random.normal(size=(3_000, 4))
    y = np.abs(x[:, 0]) + random.normal(size=3_000)
    rows, new = rows_of(x[:600], y[:600]), rows_of(x[600:], y[600:])

    def error(spec: Spec) -> float:
        model = build(spec, rows.schema, seed=0).fit(rows.frame, rows.target)
        return float(np.sqrt(np.mean((model.predict(new.frame) - new.target) ** 2)))

    assert error(portfolio.FEW_LEAVES) < 1.1 < error(portfolio.QUICK_LEAVES)
    tried = portfolio.first(task(600))
    assert tried.index(portfolio.FEW_LEAVES) < tried.index(portfolio.QUICK_LEAVES)


def test_a_forest_of_a_table_with_a_thousand_words_fits_a_graph() -> None:
    """Each test of words names them: 400,000 leaves on the beers of 550 breweries took 78 MB, and the forest left."""
    random = np.random.default_rng(0)
    words, number = random.integers(0, 1_000, 2_000), random.normal(size=2_000)
    frame = pd.DataFrame({"word": [f"w{word}" for word in words], "number": number})
    target = random.normal(size=1_000)[words] + number
    schema = describe(
        Table("t", frame.assign(y=target), {"word": "category", "number": "number", "y": "number"}),
        list(frame),
        target="y",
    )
    size = portfolio.forest_size(portfolio.Task(len(frame), schema))
    forest = build(portfolio.spec_of("extra_trees", max_features=0.7, **size), schema, seed=0).fit(
        frame, target
    )
    graph = Draft.of(forest, schema).written()
    assert portfolio.FOREST_BYTES / 10 < len(graph) < portfolio.FOREST_BYTES, size


def test_every_setting_that_has_a_name_is_tried() -> None:
    """The largest trees only where large ones lead: another test holds that."""
    named = {
        name: value
        for name, value in vars(portfolio).items()
        if name.endswith(("_LEAVES", "_VECTORS", "_TREES"))
    }
    specs = {name: spec for name, spec in named.items() if isinstance(spec, dict) and name != "HUGE_LEAVES"}
    assert len(specs) > 6
    assert not [name for name, spec in specs.items() if spec not in portfolio.first(task(500))]
