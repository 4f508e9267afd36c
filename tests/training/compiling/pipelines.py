"""The tables and pipelines that the compiler's tests share: each step once, each pair through `PAIRS`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)  # fmt: skip
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    Ridge,
    RidgeCV,
)  # fmt: skip
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)  # fmt: skip
from sklearn.svm import SVR, NuSVR
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from data.schema import Column, Schema
from training.lightgbm_text import LightGBMRegressor
from training.transformers import CalendarFeatures, CategoryText

NUMBERS, CATEGORIES = ["x", "size", "flag"], ["color", "town"]


def table(rows: int = 160, seed: int = 0, gaps: float = 0.05) -> tuple[pd.DataFrame, np.ndarray, Schema]:
    """Return rows with every kind of column and gaps in each, their targets, and the schema."""
    random = np.random.default_rng(seed)
    towns = [f"town{n:03d}" for n in range(80)]
    frame = pd.DataFrame(
        {
            "when": pd.Series(
                pd.date_range("2019-12-30", periods=rows, freq="31h").strftime("%Y-%m-%dT%H:%M:%S"),
                dtype=object,
            ),
            "x": random.normal(3.0, 2.0, rows),
            "color": pd.Series(
                random.choice(["red", "green", "blue", "rare"], rows, p=[0.5, 0.3, 0.19, 0.01]), dtype=object
            ),
            "size": np.exp(random.normal(0.0, 1.0, rows)),
            "flag": random.integers(0, 2, rows).astype(float),
            "town": pd.Series(random.choice(towns, rows), dtype=object),
        }
    )
    target = (
        frame["x"] * 2
        + np.log(frame["size"])
        + 3 * (frame["color"] == "red")
        + random.normal(0, 0.5, rows)
        + 20
    )
    for name in frame.columns:
        frame.loc[random.random(rows) < gaps, name] = np.nan if name in NUMBERS else None
    columns = []
    for name in frame.columns:
        seen = frame[name].dropna()
        if name in CATEGORIES:
            columns.append(Column(name, "category", categories=tuple(sorted(seen.unique()))))
        elif name == "when":
            columns.append(Column(name, "datetime"))
        elif name == "flag":
            columns.append(Column(name, "boolean"))
        else:
            columns.append(
                Column(
                    name, "number", minimum=float(seen.min()), maximum=float(seen.max()), quantiles=(0.0,) * 7
                )
            )
    return frame, target.to_numpy(), Schema(tuple(columns), target="y", target_unit="m")


def numbers(step: Any, *, impute: bool = True) -> ColumnTransformer:
    """Give the numbers to a step, gaps filled."""
    parts = [SimpleImputer(), step] if impute else [step]
    return ColumnTransformer([("numbers", make_pipeline(*parts), NUMBERS)])


def categories(step: Any) -> ColumnTransformer:
    """Give the categories to a step, beside the numbers."""
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(), NUMBERS),
            ("categories", make_pipeline(CategoryText(), step), CATEGORIES),
        ]
    )


def dates() -> ColumnTransformer:
    """Give calendar features, imputed, beside the numbers."""
    return ColumnTransformer(
        [
            ("dates", make_pipeline(CalendarFeatures(), SimpleImputer()), ["when"]),
            ("numbers", SimpleImputer(), NUMBERS),
        ]
    )


PREPARED: dict[str, Any] = {
    "standard": lambda: numbers(StandardScaler()),
    "minmax": lambda: numbers(MinMaxScaler(clip=True)),
    "robust": lambda: numbers(RobustScaler()),
    "maxabs": lambda: numbers(MaxAbsScaler()),
    "indicator": lambda: numbers(SimpleImputer(strategy="median", add_indicator=True), impute=False),
    "constant": lambda: numbers(SimpleImputer(strategy="constant", fill_value=-1.0), impute=False),
    "most_frequent": lambda: numbers(SimpleImputer(strategy="most_frequent"), impute=False),
    "polynomial": lambda: numbers(make_pipeline(StandardScaler(), PolynomialFeatures(2))),
    "square": lambda: numbers(FunctionTransformer(np.square)),
    "one_hot": lambda: categories(OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
    "one_hot_rare": lambda: categories(
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=8, sparse_output=False)
    ),
    "one_hot_drop": lambda: categories(
        OneHotEncoder(drop="first", handle_unknown="ignore", sparse_output=False)
    ),
    "one_hot_error": lambda: categories(OneHotEncoder(sparse_output=False)),
    "ordinal": lambda: categories(
        OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2, max_categories=30
        )
    ),
    "target": lambda: categories(TargetEncoder(target_type="continuous", cv=KFold(3))),
    "filled_text": lambda: categories(
        make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        )
    ),
    "calendar": dates,
}
"""Feature steps that any model may follow."""

ROUNDING: dict[str, Any] = {
    "log1p": lambda: numbers(make_pipeline(MinMaxScaler(clip=True), FunctionTransformer(np.log1p))),
    "power": lambda: numbers(PowerTransformer()),
    "cubic": lambda: numbers(make_pipeline(StandardScaler(), PolynomialFeatures(3, include_bias=False))),
    "spline_constant": lambda: numbers(SplineTransformer(extrapolation="constant")),
    "spline_linear": lambda: numbers(SplineTransformer(extrapolation="linear", include_bias=False)),
    "spline_periodic": lambda: numbers(SplineTransformer(extrapolation="periodic")),
}
"""Feature steps that no tree may follow."""

KERNEL = (
    kernels.ConstantKernel(2.0) * kernels.RBF(3.0) + kernels.Matern(2.0, nu=1.5) + kernels.WhiteKernel(0.1)
)
SMOOTH: dict[str, Any] = {
    "ridge": Ridge,
    "ridge_cv": RidgeCV,
    "lasso": lambda: Lasso(0.01),
    "elastic_net": lambda: ElasticNet(0.01),
    "huber": lambda: make_pipeline(StandardScaler(), HuberRegressor(max_iter=1000, tol=1e-3)),
    "least_squares": lambda: make_pipeline(StandardScaler(), LinearRegression()),
    "mean": DummyRegressor,
    "svr": lambda: make_pipeline(StandardScaler(), SVR(C=10.0)),
    "kernel_ridge": lambda: make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", alpha=0.1)),
    "gaussian_process": lambda: make_pipeline(
        StandardScaler(), GaussianProcessRegressor(KERNEL, alpha=1e-2, normalize_y=True, optimizer=None)
    ),
    "perceptron": lambda: make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(8, 4), solver="lbfgs", max_iter=50, random_state=0)
    ),
    "log_target": lambda: TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge(100.0)), func=np.log1p, inverse_func=np.expm1
    ),
    "power_target": lambda: TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge(100.0)), transformer=PowerTransformer()
    ),
    "scaled_target": lambda: TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
}
TREES: dict[str, Any] = {
    "tree": lambda: DecisionTreeRegressor(max_depth=6, random_state=0),
    "forest": lambda: RandomForestRegressor(5, max_depth=8, random_state=0),
    "extra_trees": lambda: ExtraTreesRegressor(5, max_depth=8, random_state=0),
    "gradient_boosting": lambda: GradientBoostingRegressor(n_estimators=8, random_state=0),
    "hist": lambda: HistGradientBoostingRegressor(max_iter=8, random_state=0),
    "leafwise": lambda: LightGBMRegressor({"num_iterations": 8}),
    "average": lambda: VotingRegressor(
        [("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=4, random_state=0)), ("c", DummyRegressor())],
        weights=[1.0, 2.0, 0.5],
    ),
    "stack": lambda: StackingRegressor(
        [("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=4, random_state=0))],
        final_estimator=Ridge(), cv=2,
    ),
    "stack_passthrough": lambda: StackingRegressor(
        [("a", DecisionTreeRegressor(max_depth=3, random_state=0))],
        final_estimator=make_pipeline(StandardScaler(), Ridge()), cv=2, passthrough=True,
    ),
}  # fmt: skip

ALIKE: dict[str, Any] = {
    "bayesian_ridge": BayesianRidge,
    "lasso_cv": lambda: LassoCV(cv=2),
    "elastic_net_cv": lambda: ElasticNetCV(cv=2),
    "nu_svr": lambda: make_pipeline(StandardScaler(), NuSVR(C=10.0)),
    "extra_tree": lambda: ExtraTreeRegressor(max_depth=6, random_state=0),
}
"""Models that compile as one of those above does: each is tried behind one step alone."""

PAIRS = [(step, model) for step in PREPARED for model in SMOOTH | TREES] + [
    (step, model) for step in ROUNDING for model in SMOOTH
]
PAIRS += [("standard", model) for model in ALIKE]


def pair(step: str, model: str) -> Any:
    """Return the unfitted pipeline of a feature step and a model."""
    return make_pipeline((PREPARED | ROUNDING)[step](), (SMOOTH | TREES | ALIKE)[model]())
