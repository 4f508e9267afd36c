"""Each step and each pair of steps: the graph gives the pipeline's numbers."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer, StandardScaler
from sklearn.svm import SVR

from serving.scorer import Parity
from serving.scorer.graph_checks.guard import check_graph
from serving.scorer.scoring import Session
from training.compiling import compile_pipeline, pack_frame
from training.compiling.compiler import PIECES
from training.compiling.errors import RefusedPair, UncompilableStep
from training.compiling.estimators import ensembles
from training.compiling.parity import measure_parity
from training.transformers import CategoryText

sys.path.insert(0, str(Path(__file__).parent))
from pipelines import CATEGORIES, NUMBERS, PAIRS, ROUNDING, numbers, pair, table

pytestmark = pytest.mark.once  # a graph is the same bytes on each Python, and there are dozens

FRAME, TARGET, SCHEMA = table()


class Compiled:
    """A graph that predicts, loaded as the server does."""

    def __init__(self, graph: bytes, columns: int) -> None:
        check_graph(graph, columns=columns)
        self.session = Session(graph)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        return self.session.predict(matrix)


def parity_of(pipeline: Any, frame: Any = FRAME, target: Any = TARGET, schema: Any = SCHEMA) -> Parity:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(frame, target)
    graph = compile_pipeline(pipeline, schema)
    compiled = Compiled(graph, len(schema.columns))
    return measure_parity(pipeline, compiled, schema, frame, float(np.std(target)), graph=graph)


@pytest.mark.parametrize(("step", "model"), PAIRS)
def test_a_pair_of_steps_is_exact(step: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each feature step before each model that may follow it, on real and hard rows."""
    monkeypatch.setattr("training.compiling.parity.HARD_ROWS_EACH", 60)
    monkeypatch.setattr("training.compiling.parity.REFUSED_ROWS_TRIED", 2)
    parity = parity_of(pair(step, model))
    assert parity.holds, parity


@pytest.mark.parametrize("step", ROUNDING)
@pytest.mark.parametrize("model", ["tree", "hist", "stack_passthrough"])
def test_a_tree_behind_a_rounding_step_is_refused(step: str, model: str) -> None:
    """One unit in the last place of a logarithm flips a split, so the pair cannot be exact."""
    pipeline = pair(step, model).fit(FRAME, TARGET)
    with pytest.raises(RefusedPair, match="stands behind"):
        compile_pipeline(pipeline, SCHEMA)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_every_activation_is_exact(activation: str) -> None:
    """Perceptrons, one hidden layer."""
    model = MLPRegressor(
        hidden_layer_sizes=(6,), activation=activation, solver="lbfgs", max_iter=300, random_state=0
    )
    assert parity_of(make_pipeline(numbers(StandardScaler()), model)).holds


@pytest.mark.parametrize(
    "model",
    [SVR(kernel=name) for name in ("linear", "poly", "rbf", "sigmoid")]
    + [KernelRidge(kernel=name, alpha=50.0) for name in ("linear", "poly", "rbf", "sigmoid", "laplacian")]
    + [
        GaussianProcessRegressor(kernel, alpha=1e-2, optimizer=None)
        for kernel in (
            kernels.RBF([1.0, 2.0, 3.0]), kernels.Matern(nu=0.5), kernels.Matern(nu=2.5),
            kernels.Matern(nu=np.inf),
            kernels.RationalQuadratic(), kernels.DotProduct() * kernels.RBF() + kernels.WhiteKernel(),
        )
    ],
    ids=lambda model: repr(model)[:60],
)  # fmt: skip
def test_every_kernel_is_exact(model: Any) -> None:
    """Models that compare a row with training rows."""
    parity = parity_of(make_pipeline(numbers(StandardScaler()), model))
    assert parity.holds, parity


def encoded_for_histograms() -> ColumnTransformer:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=254)
    return ColumnTransformer(
        [
            ("numbers", "passthrough", NUMBERS),
            ("categories", make_pipeline(CategoryText(), codes), CATEGORIES),
        ]
    )


def test_native_categories_and_missing_values_are_exact() -> None:
    """HistGradientBoosting splits on sets of categories; unseen and missing go where it sends them."""
    model = HistGradientBoostingRegressor(max_iter=40, categorical_features=[2, 3, 4], random_state=0)
    parity = parity_of(make_pipeline(encoded_for_histograms(), model))
    assert parity.holds, parity
    assert parity.rows > 1000


def test_ten_thousand_rows_are_compared_for_a_real_table() -> None:
    """The rule is stated on at least 10,000 rows with gaps, unseen categories and extremes."""
    frame, target, schema = table(6000)
    forest = RandomForestRegressor(10, max_depth=10, random_state=0)
    parity = parity_of(make_pipeline(encoded_for_histograms(), forest), frame, target, schema)
    assert parity.holds, parity
    assert parity.rows >= 10_000


def test_trees_compare_what_float32_keeps() -> None:
    """Between a threshold and its float32 neighbour, scikit-learn's trees and a float64 test disagree."""
    frame, _, schema = table(400, gaps=0.0)
    frame["x"] = 16777216.0 + np.arange(400) * 0.25
    pipeline = make_pipeline(numbers("passthrough", impute=False), RandomForestRegressor(3, random_state=0))
    pipeline.fit(frame, frame["x"] % 7)
    compiled = Compiled(compile_pipeline(pipeline, schema), len(schema.columns))
    np.testing.assert_allclose(
        compiled.predict(pack_frame(frame, schema)), pipeline.predict(frame), rtol=1e-12
    )


def test_beyond_float32_a_tree_gives_no_number() -> None:
    """scikit-learn refuses 3.5e38 there, so the graph gives NaN rather than a guess."""
    frame, target, schema = table(gaps=0.0)
    pipeline = make_pipeline(numbers("passthrough", impute=False), RandomForestRegressor(3, random_state=0))
    graph = compile_pipeline(pipeline.fit(frame, target), schema)
    matrix = pack_frame(frame.head(2), schema)
    matrix[0, 1] = 3.5e38
    assert np.isnan(Compiled(graph, len(schema.columns)).predict(matrix)).tolist() == [True, False]


def test_an_unknown_step_is_refused_by_name() -> None:
    """Never a wrong number later."""
    pipeline = make_pipeline(numbers(QuantileTransformer(n_quantiles=10)), Ridge()).fit(FRAME, TARGET)
    with pytest.raises(UncompilableStep, match="step QuantileTransformer cannot be compiled"):
        compile_pipeline(pipeline, SCHEMA)


def test_a_subclass_is_no_known_step() -> None:
    """It may compute something else."""

    class Doubled(Ridge):
        def predict(self, X: Any) -> Any:
            return 2 * super().predict(X)

    pipeline = make_pipeline(numbers(StandardScaler()), Doubled()).fit(FRAME, TARGET)
    with pytest.raises(UncompilableStep, match="Doubled"):
        compile_pipeline(pipeline, SCHEMA)


def test_a_gaussian_process_needs_some_noise() -> None:
    """With alpha of 1e-10 the sum of huge weights keeps too few digits."""
    pipeline = make_pipeline(numbers(StandardScaler()), GaussianProcessRegressor(optimizer=None))
    with pytest.raises(UncompilableStep, match=r"alpha is 1e-10, must be at least 1e-06"):
        compile_pipeline(pipeline.fit(FRAME.head(50), TARGET[:50]), SCHEMA)


def test_each_step_and_model_that_compiles_is_among_the_pairs() -> None:
    """A converter that no pair tries can give wrong numbers unseen."""
    tried: set[type] = set()
    for step, model in PAIRS:
        whole = pair(step, model)
        tried |= {type(whole), *map(type, whole.get_params(deep=True).values())}
    assert {*PIECES, *ensembles.STEPS} - tried == set()
