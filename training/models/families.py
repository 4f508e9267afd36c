"""The model families that compete, each a scikit-learn pipeline from a frame to the target.

A model is described by a specification that JSON can hold, `{"family": ..., "params": {...}}`, so
that a run can record what it chose and a later one can build it again. A pipeline takes a frame
with the schema's columns (float64 for numbers and booleans, text for categories and dates) and
does everything itself, so that what is registered needs no step before it. A family gets the
features in the form it works best on; it knows nothing of scores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNetCV, HuberRegressor, LassoCV, RidgeCV
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVR

from data.schema import Kind, Schema
from training.lightgbm_text import LightGBMRegressor
from training.transformers import CalendarFeatures, CategoryText

logger = logging.getLogger(__name__)

Spec = Mapping[str, Any]
"""A family's name and its parameters; for a blend, its members' and their weights."""

Make = Callable[[Schema, int, Mapping[str, Any]], Any]

MOST_CATEGORIES = 254
"""HistGradientBoosting bins a column into 255 values at most, one of them for what is missing."""

WIDE, FEWEST_BINS = 250, 32
"""Columns beyond which trees choose from fewer ranges of each."""

MOST_ONE_HOT = 500
"""Columns of zeros and ones for one column: 9,000 shops of 60,000 rows would take 4 GB."""

LIGHTGBM: dict[str, Any] = {
    "num_iterations": 300,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "lambda_l2": 0.0,
    "feature_fraction_bynode": 1.0,
    "bagging_fraction": 1.0,
    "bagging_freq": 1,
    "extra_trees": False,
    "cat_smooth": 10.0,
}
"""What the family's settings are where a specification says nothing."""

TARGETS: dict[str, dict[str, Any]] = {
    "scaled": {"transformer": StandardScaler()},
    "log": {"func": np.log1p, "inverse_func": np.expm1},
    "natural_log": {"func": np.log, "inverse_func": np.exp},
    "power": {"transformer": PowerTransformer()},
}
"""Scales on which a model may see the target."""


def build(spec: Spec, schema: Schema, *, seed: int) -> Any:
    """Return the unfitted pipeline of a specification.

    Parameters
    ----------
    spec : mapping
        `{"family": name, "params": {...}}`, or `{"family": "blend", "members": [spec, ...],
        "weights": [float, ...]}`. Parameters left out have the family's defaults.
    """
    if spec["family"] == "blend":
        members = [
            (f"member{index}", build(member, schema, seed=seed))
            for index, member in enumerate(spec["members"])
        ]
        return VotingRegressor(members, weights=list(spec["weights"]))
    params = dict(spec.get("params", {}))
    scale = params.pop("target", None)
    pipeline = FAMILIES[spec["family"]](schema, seed, params)
    return TransformedTargetRegressor(pipeline, **TARGETS[scale]) if scale else pipeline


def mean(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:  # noqa: ARG001 - one signature
    """Predict the training mean: what any model must beat."""
    return Pipeline([("columns", _encoded_trees(schema)), ("model", DummyRegressor())])


def ridge(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:  # noqa: ARG001 - one signature
    """Linear least squares with a quadratic penalty, chosen by leave-one-out error; curves if asked."""
    return _linear(schema, RidgeCV(alphas=np.logspace(-6, 4, 21)), params)


def lasso(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Linear least squares that leaves columns out."""
    return _linear(schema, LassoCV(cv=5, random_state=seed, max_iter=5000), params)


def elastic_net(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Between ridge and lasso."""
    return _linear(schema, ElasticNetCV(cv=5, l1_ratio=0.5, random_state=seed, max_iter=5000), params)


def huber(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:  # noqa: ARG001 - one signature
    """A line that a few wild rows don't move."""
    return _linear(schema, HuberRegressor(max_iter=1000, alpha=1e-3), params)


def boosting(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Histogram gradient boosting on native categories and missing values."""
    settings = {"max_iter": 200, "learning_rate": 0.08} | dict(params)
    monotonic = settings.pop("monotonic", None)
    model = HistGradientBoostingRegressor(
        categorical_features=_category_places(schema) or None,
        monotonic_cst=_directions(schema, monotonic) if monotonic else None,
        early_stopping=False,
        random_state=seed,
        **settings,
    )
    return Pipeline([("columns", _encoded_trees(schema)), ("model", model)])


@cache
def lightgbm_loads() -> bool:
    """Return whether LightGBM's library can be loaded: it needs the OpenMP of the system, which slim images lack."""
    try:
        import lightgbm  # noqa: F401, PLC0415 - at its first use
    except (ImportError, OSError) as error:
        logger.warning(
            "LightGBM cannot be loaded (%s), its family is not tried: apt-get install libgomp1", error
        )
        return False
    return True


def leafwise(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """LightGBM on native categories and missing values: trees that grow where it helps most."""
    settings = LIGHTGBM | dict(params)
    monotonic = settings.pop("monotonic", None)
    model = LightGBMRegressor(
        settings,
        categories=_category_places(schema),
        monotonic=_directions(schema, monotonic) if monotonic else None,
        seed=seed,
    )
    return Pipeline([("columns", _encoded_trees(schema)), ("model", model)])


def fewer_bins(schema: Schema) -> int | None:
    """Return how many ranges of a column a boosting should choose from where there are many, None for the usual 255.

    Of 2,000 columns and 350 rows it takes 2.3 s with 32, 11.5 s with 255, and errs no more.
    """
    most = max((len(column.categories) for column in schema.columns), default=0)
    bins = max(WIDE * 255 // max(len(schema.columns), 1), FEWEST_BINS, min(most, MOST_CATEGORIES) + 1)
    return bins if bins < 255 else None


def stochastic(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Gradient boosting, each tree on some of the rows and columns: the best on many small tables."""
    settings = {"n_estimators": 500, "learning_rate": 0.05, "subsample": 0.6, "max_features": 0.6}
    model = GradientBoostingRegressor(random_state=seed, **(settings | dict(params)))
    return Pipeline([("columns", _encoded_filled(schema)), ("model", model)])


def forest(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Average of trees, each on a bootstrap sample."""
    model = RandomForestRegressor(random_state=seed, **({"n_estimators": 200} | dict(params)))
    return Pipeline([("columns", _encoded_filled(schema)), ("model", model)])


def extra_trees(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Average of trees with splits drawn at random."""
    model = ExtraTreesRegressor(random_state=seed, **({"n_estimators": 200} | dict(params)))
    return Pipeline([("columns", _encoded_filled(schema)), ("model", model)])


def perceptron(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Average of `bag` networks that differ by their first weights."""
    settings = {"max_iter": 200, "learning_rate_init": 2e-3, "tol": 0.0, "n_iter_no_change": 1000} | dict(
        params
    )
    layers = (settings.pop("width", 64),) * settings.pop("depth", 2)
    networks = [
        (f"network{index}", MLPRegressor(hidden_layer_sizes=layers, random_state=seed + index, **settings))
        for index in range(settings.pop("bag", 1))
    ]
    return _smooth(schema, VotingRegressor(networks) if len(networks) > 1 else networks[0][1])


def support_vectors(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:  # noqa: ARG001
    """Support vector regression with a radial kernel."""
    return _smooth(schema, SVR(**({"C": 10.0, "epsilon": 0.02, "cache_size": 500} | dict(params))))


def process(schema: Schema, seed: int, params: Mapping[str, Any]) -> Pipeline:
    """Gaussian process with a length of its own for each feature, found by the marginal likelihood."""
    width = _smooth_width(schema)
    kernel = ConstantKernel(1.0, (1e-2, 1e4)) * Matern(
        np.full(width, 2.0), (1e-1, 1e3), nu=params.get("nu", 2.5)
    ) + WhiteKernel(0.05, (1e-6, 1e1))
    model = GaussianProcessRegressor(kernel, alpha=1e-6, random_state=seed)
    return _smooth(schema, model)


FAMILIES: dict[str, Make] = {
    "mean": mean,
    "ridge": ridge,
    "lasso": lasso,
    "elastic_net": elastic_net,
    "huber": huber,
    "boosting": boosting,
    "lightgbm": leafwise,
    "stochastic": stochastic,
    "forest": forest,
    "extra_trees": extra_trees,
    "perceptron": perceptron,
    "support_vectors": support_vectors,
    "process": process,
}


def _linear(schema: Schema, model: Any, params: Mapping[str, Any]) -> Pipeline:
    columns = _encoded_linear(schema, splines=params.get("splines", 0))
    products = [PolynomialFeatures(2, interaction_only=True, include_bias=False), StandardScaler()]
    steps = [*(products if params.get("interactions") else []), model]
    return Pipeline([("columns", columns), ("model", steps[0] if len(steps) == 1 else make_pipeline(*steps))])


def _smooth(schema: Schema, model: Any) -> Pipeline:
    """Give a model that measures distances features and a target on one scale."""
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler())
    return Pipeline([("columns", _encoded_linear(schema)), ("model", scaled)])


def _smooth_width(schema: Schema) -> int:
    if any(column.kind in ("category", "datetime") or column.missing for column in schema.columns):
        raise ValueError("a length for each feature needs numbers without gaps")
    return len(schema.columns)


def _encoded_linear(schema: Schema, *, splines: int = 0) -> ColumnTransformer:
    """Give numbers without gaps on one scale, and a column of zeros and ones for each category."""
    scaled = [SimpleImputer(strategy="median", add_indicator=True), StandardScaler()]
    one_hot = OneHotEncoder(
        handle_unknown="ignore", min_frequency=5, max_categories=MOST_ONE_HOT, sparse_output=False
    )
    curves = [
        SimpleImputer(strategy="median"),
        SplineTransformer(splines or 2, knots="quantile", extrapolation="linear", include_bias=False),
        StandardScaler(),
    ]
    return _by_kind(
        ("numbers", make_pipeline(*scaled), _of(schema, "number", "boolean")),
        ("curves", make_pipeline(*curves), _of(schema, "number") if splines else []),
        ("dates", make_pipeline(CalendarFeatures(), *scaled), _of(schema, "datetime")),
        ("categories", make_pipeline(CategoryText(), one_hot), _of(schema, "category")),
    )


def _encoded_trees(schema: Schema) -> ColumnTransformer:
    """Give numbers as they are and categories as codes, NaN where missing or unseen."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST_CATEGORIES
    )
    return _by_kind(
        ("numbers", "passthrough", _of(schema, "number", "boolean")),
        ("dates", CalendarFeatures(), _of(schema, "datetime")),
        ("categories", make_pipeline(CategoryText(), codes), _of(schema, "category")),
    )


def _encoded_filled(schema: Schema) -> ColumnTransformer:
    """Give numbers without gaps and categories as the target's mean in them, for trees without either."""
    filled = SimpleImputer(strategy="median", add_indicator=True)
    means = TargetEncoder(target_type="continuous", cv=KFold(5))
    return _by_kind(
        ("numbers", filled, _of(schema, "number", "boolean")),
        (
            "dates",
            make_pipeline(CalendarFeatures(), SimpleImputer(strategy="median")),
            _of(schema, "datetime"),
        ),
        ("categories", make_pipeline(CategoryText(), means), _of(schema, "category")),
    )


def _directions(schema: Schema, monotonic: Mapping[str, int]) -> list[int]:
    """Return the user's directions in the order in which trees get the columns."""
    numbers = [monotonic.get(name, 0) for name in _of(schema, "number", "boolean")]
    return numbers + [0] * (len(_of(schema, "datetime")) * 8 + len(_of(schema, "category")))


def _category_places(schema: Schema) -> list[int]:
    """Return where trees get the codes of categories: behind numbers and calendars."""
    first = len(_of(schema, "number", "boolean")) + len(_of(schema, "datetime")) * 8
    return list(range(first, first + len(_of(schema, "category"))))


def _by_kind(*steps: tuple[str, Any, list[str]]) -> ColumnTransformer:
    return ColumnTransformer([step for step in steps if step[2]], verbose_feature_names_out=False)


def _of(schema: Schema, *kinds: Kind) -> list[str]:
    return [column.name for column in schema.columns if column.kind in kinds]
