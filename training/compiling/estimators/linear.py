"""Linear models and the constant: a dot product, with categories folded into lookups."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
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

from training.compiling.features import Feature, Lookup, Slot, folded, matrix
from training.compiling.graph import Graph, Tensor


def linear(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return ``X @ coef_ + intercept_``."""
    coefficients = np.ravel(model.coef_).astype(np.float64)
    numbers = [index for index, feature in enumerate(features) if isinstance(feature, Slot)]
    lookups = [index for index, feature in enumerate(features) if isinstance(feature, Lookup)]
    total: Tensor | None = None
    if numbers:
        total = matrix(graph, [features[index] for index in numbers]) @ coefficients[numbers][:, None]
    if lookups or not numbers:
        chosen = [feature for feature in features if isinstance(feature, Lookup)]
        part = folded(graph, chosen, coefficients[lookups])
        total = part if total is None else total + part
    assert total is not None
    return total + np.float64(np.ravel(model.intercept_)[0])


def constant(model: Any, features: list[Feature], graph: Graph) -> Tensor:  # noqa: ARG001 - one signature
    """Return the same number for each row, whatever it holds."""
    nothing = graph.rows.take([0])
    nothing = graph.where(nothing <= np.inf, 0.0, 0.0)
    return nothing + np.float64(np.ravel(model.constant_)[0])


LINEAR = (
    BayesianRidge, ElasticNet, ElasticNetCV, HuberRegressor, Lasso, LassoCV, LinearRegression, Ridge, RidgeCV,
)  # fmt: skip
MODELS = dict.fromkeys(LINEAR, linear) | {DummyRegressor: constant}
