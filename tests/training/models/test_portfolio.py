"""What is tried first, by the size of the table."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from tests.training.search.test_search import rows_of
from training.models import portfolio


def task(rows: int) -> portfolio.Task:
    """Return the task of so many rows of two numbers."""
    few = rows_of(np.random.default_rng(0).normal(size=(100, 2)), np.arange(100.0))
    return portfolio.Task(rows, few.schema)


@pytest.mark.parametrize("rows", [10, 1_999, 2_001, 6_000, 41_157, 1_000_000])
def test_a_forest_has_no_more_leaves_than_a_graph_holds(rows: int) -> None:
    """Of many rows it has fewer trees with leaves as small as that allows."""
    trees, leaf = portfolio.forest_size(task(rows)).values()
    assert trees * rows / leaf <= portfolio.LEAVES
    assert trees == portfolio.MOST_TREES or leaf >= portfolio.LEAF_ROWS
    assert portfolio.LEAST_TREES <= trees <= portfolio.MOST_TREES


def test_the_leaves_of_a_forest_are_counted_as_scikit_learn_grows_them() -> None:
    """A target without a rule splits each leaf as far as it may be."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20_000, 2)), random.normal(size=20_000)
    forest = ExtraTreesRegressor(**portfolio.forest_size(task(len(y))), n_jobs=2, random_state=0).fit(x, y)
    assert sum(tree.get_n_leaves() for tree in forest.estimators_) <= portfolio.LEAVES


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
