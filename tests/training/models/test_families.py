"""Every family that the search may choose becomes a registered version, whatever the columns are."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest

from data.tables import describe
from tests.training.models.family_rows import FEATURES, table
from training.compiling import compile_verified, write_scorer
from training.compiling.errors import UncompilableStep
from training.models.families import FAMILIES, build
from training.search.choosing import choose
from training.search.cross_validation import TrainingRows
from training.search.winner import winner_of
from training.time_budget import Budget
from training.versions.flavor import load_model, log_version

SMALL = {
    "lightgbm": {"num_iterations": 20},
    "stochastic": {"n_estimators": 20},
    "forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 20},
    "perceptron": {"max_iter": 20, "width": 8},
}
PLAIN = ["x"]
"""What a Gaussian process takes: numbers without gaps."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("family", list(FAMILIES))
def test_each_family_becomes_a_version_that_stock_mlflow_loads(family: str, tracking, tmp_path: Path) -> None:
    """A type that skops does not trust ended trainings after the whole search, where such a family won."""
    given = table(300)
    features = PLAIN if family == "process" else FEATURES
    if family == "process":
        given.frame["x"] = given.frame["x"].fillna(0.0)
    schema = describe(given, features, target="y")
    frame, target = given.frame[features], given.numbers("y")
    fitted = build({"family": family, "params": SMALL.get(family, {})}, schema, seed=0).fit(frame, target)
    compiled = compile_verified(fitted, schema=schema, frame=frame, target=target)
    write_scorer(
        tmp_path / "scorer",
        graph=compiled.graph,
        schema=schema,
        frame=frame,
        fingerprint="0" * 32,
        parity=compiled.parity,
    )
    with mlflow.start_run():
        logged = log_version(
            fitted, schema=schema, scorer_folder=tmp_path / "scorer", input_example=frame.head(2)
        )
    version = mlflow.register_model(logged.model_uri, "rows").version
    loaded = load_model(f"models:/rows/{version}")
    np.testing.assert_allclose(loaded.predict(frame), fitted.predict(frame), rtol=1e-12)


def test_a_candidate_that_no_version_may_hold_gives_way_to_the_next() -> None:
    """The check of the types came after the loop in which the next best takes its place."""
    given = table()
    schema = describe(given, FEATURES, target="y")
    order = np.arange(len(given))
    folds = [(order[order % 2 == k], order[order % 2 != k]) for k in range(2)]
    left = []

    def storable(fitted: object) -> None:
        if not left:
            raise UncompilableStep(step="odd", reason="a version may not hold this type")

    rows = TrainingRows(given.frame[FEATURES], given.numbers("y"), folds, schema, 0)
    winner = winner_of(
        choose(rows, budget=Budget(20.0, 2)),
        rows,
        refusal=lambda candidate, error: left.append(candidate.family),
        storable=storable,
    )
    assert left
    assert winner.family not in left
