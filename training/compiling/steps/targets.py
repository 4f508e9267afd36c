"""The way back from a transformed target."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)  # fmt: skip

from training.compiling.errors import UncompilableStep
from training.compiling.functions import FUNCTIONS, inverse_yeo_johnson
from training.compiling.graph import Tensor


def inverse(step: Any, values: Tensor) -> Tensor:
    """Return the target in its own unit from the transformed one, both of shape (n_rows, 1)."""
    if isinstance(step, FunctionTransformer):
        return _function(step, values)
    if isinstance(step, PowerTransformer):
        return _power(step, values)
    if isinstance(step, MinMaxScaler):
        restored: Tensor = (values - step.min_) / step.scale_
        return restored
    if isinstance(step, StandardScaler | RobustScaler | MaxAbsScaler):
        centre = _centre(step)
        scaled = values * step.scale_ if step.scale_ is not None else values
        return scaled + centre if centre is not None else scaled
    raise UncompilableStep(step=f"TransformedTargetRegressor({type(step).__name__})")


def _centre(step: Any) -> Any:
    """Return what was taken away; a StandardScaler knows its mean where it took nothing, too."""
    if isinstance(step, StandardScaler):
        return step.mean_ if step.with_mean else None
    return getattr(step, "center_", None)


def _function(step: Any, values: Tensor) -> Tensor:
    if step.inverse_func is None:
        return values
    if step.inverse_func not in FUNCTIONS:
        named = getattr(step.inverse_func, "__name__", repr(step.inverse_func))
        raise UncompilableStep(
            step=f"TransformedTargetRegressor({named})", reason="the graph has no such function"
        )
    return FUNCTIONS[step.inverse_func][0](values)


def _power(step: Any, values: Tensor) -> Tensor:
    if step.standardize:
        values = inverse(step._scaler, values)
    exponent = float(step.lambdas_[0])
    if step.method == "yeo-johnson":
        return inverse_yeo_johnson(values, exponent)
    if exponent == 0:
        return values.graph.op("Exp", values)
    return (values * exponent + 1.0) ** np.float64(1.0 / exponent)
