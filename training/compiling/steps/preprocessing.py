"""Steps on numbers, column by column, in the order of operations that scikit-learn uses.

A looked-up column needs no arithmetic: the fitted step transforms its table. What remains is
computed in the graph. Steps that call log, power or exp, or add in another order, mark their
output, so that no tree is put behind them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)  # fmt: skip

from training.compiling.errors import UncompilableStep
from training.compiling.features import Feature, Lookup, Slot, Text, matrix, slots, states
from training.compiling.functions import FUNCTIONS, yeo_johnson
from training.compiling.graph import Graph, Tensor

Arithmetic = Callable[[Tensor, NDArray[np.int64]], Tensor]
"""The step on a tensor of shape (n_rows, m), given which m of its columns these are."""


def columnwise(
    step: Any, features: list[Feature], graph: Graph, arithmetic: Arithmetic, *,
    owners: list[int] | None = None, first: int = 0, rounds: str = "",
) -> list[Feature]:  # fmt: skip
    """Return one output for each owner, an input's position; `first` is the first output's in the step's."""
    owners = list(range(len(features))) if owners is None else owners
    made: dict[int, Feature] = {}
    numbers = [index for index, owner in enumerate(owners) if isinstance(features[owner], Slot)]
    if numbers:
        sources = [features[owners[index]] for index in numbers]
        behind = rounds or next((f.rounds for f in sources if isinstance(f, Slot) and f.rounds), "")
        tensor = arithmetic(matrix(graph, sources), np.array([owners[index] for index in numbers]))
        made = dict(zip(numbers, slots(tensor, len(numbers), rounds=behind), strict=True))
    if len(numbers) < len(owners):
        tables = tabulated(step, features)
        for index, owner in enumerate(features[owner] for owner in owners):
            if isinstance(owner, Lookup | Text):
                made[index] = _looked_up(owner, tables[:, first + index])
    return [made[index] for index in range(len(owners))]


def tabulated(step: Any, features: list[Feature]) -> NDArray[Any]:
    """Return the step's output on every state of the looked-up columns."""
    frame = states(features)
    names = getattr(step, "feature_names_in_", None)
    shown = frame.to_numpy() if names is None else frame.set_axis(names, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(step.transform(shown))


def _looked_up(owner: Lookup | Text, table: NDArray[Any]) -> Feature:
    if isinstance(owner, Text) and table.dtype == object:
        return Text(owner.column, table[: len(owner.values)])
    size = len(owner.values if isinstance(owner, Text) else owner.table)
    return Lookup(owner.column, table[:size].astype(np.float64))


def imputer(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Fill what is missing; add one column of zeros and ones for each that had gaps in training."""
    if not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)):
        raise UncompilableStep(
            step="SimpleImputer", reason=f"missing_values={step.missing_values!r} is not NaN"
        )
    empty = [isinstance(value, float) and np.isnan(value) for value in step.statistics_]
    kept = [index for index in range(len(features)) if step.keep_empty_features or not empty[index]]
    fills = np.array(
        [np.nan if isinstance(value, str) else value for value in step.statistics_], dtype=np.float64
    )

    def filled(values: Tensor, places: NDArray[np.int64]) -> Tensor:
        return graph.where(graph.op("IsNaN", values), fills[places], values)

    def gaps(values: Tensor, places: NDArray[np.int64]) -> Tensor:  # noqa: ARG001
        return graph.op("IsNaN", values).cast(TensorProto.DOUBLE)

    made = columnwise(step, features, graph, filled, owners=kept)
    if step.add_indicator:
        flagged = step.indicator_.features_.tolist()
        made += columnwise(step, features, graph, gaps, owners=flagged, first=len(kept))
    return made


def scaler(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Return ``(x - centre) / scale`` as the step computes it."""

    def scaled(values: Tensor, places: NDArray[np.int64]) -> Tensor:
        return scale(step, values, places)

    return columnwise(step, features, graph, scaled)


def scale(step: Any, values: Tensor, places: NDArray[np.int64]) -> Tensor:
    """Apply a fitted scaler to these of its columns."""
    if isinstance(step, MinMaxScaler):
        values = values * step.scale_[places] + step.min_[places]
        low, high = step.feature_range
        graph = values.graph
        return (
            graph.where(values < low, low, graph.where(values > high, high, values)) if step.clip else values
        )
    centre = getattr(step, "mean_" if isinstance(step, StandardScaler) else "center_", None)
    shifts = centre is not None and (
        getattr(step, "with_mean", True) and getattr(step, "with_centering", True)
    )
    values = values - centre[places] if shifts and centre is not None else values
    divides = step.scale_ is not None and getattr(step, "with_scaling", True)
    return values / step.scale_[places] if divides else values


def function(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Apply one of numpy's functions that the graph has too."""
    if step.func is None:
        return features
    if step.func not in FUNCTIONS or step.kw_args:
        named = getattr(step.func, "__name__", repr(step.func))
        raise UncompilableStep(step=f"FunctionTransformer({named})", reason="the graph has no such function")
    compute, exact = FUNCTIONS[step.func]
    rounds = "" if exact else f"FunctionTransformer({step.func.__name__})"
    return columnwise(step, features, graph, lambda values, _: compute(values), rounds=rounds)


def power(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Apply Yeo-Johnson or Box-Cox, then the scaling."""

    def transformed(values: Tensor, places: NDArray[np.int64]) -> Tensor:
        columns = [_power(step, values.take([at]), step.lambdas_[index]) for at, index in enumerate(places)]
        made = graph.concat(columns)
        if not step.standardize:
            return made
        graph.refuse(graph.sum(graph.where(graph.op("IsInf", made), np.nan, 0.0)))  # as its scaler does
        return scale(step._scaler, made, places)

    return columnwise(step, features, graph, transformed, rounds="PowerTransformer")


def _power(step: Any, values: Tensor, exponent: float) -> Tensor:
    if step.method == "yeo-johnson":
        return yeo_johnson(values, exponent)
    logs = values.graph.op("Log", values)
    return logs if exponent == 0 else (values.graph.op("Exp", logs * exponent) - 1.0) / exponent


def polynomial(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Multiply columns: each output is a product of at most `degree` inputs."""
    factors = [[index + 1 for index, times in enumerate(row) for _ in range(times)] for row in step.powers_]
    degree = max(map(len, factors))
    padded = np.array([row + [0] * (degree - len(row)) for row in factors], dtype=np.int64).reshape(
        -1, degree
    )
    values = matrix(graph, features)
    ones = graph.where(graph.op("IsNaN", values.take([0])), 1.0, 1.0)
    with_one = graph.concat([ones, values])
    product = with_one.take(padded[:, 0]) if degree else with_one.take([0] * len(factors))
    for index in range(1, degree):
        product = product * with_one.take(padded[:, index])
    behind = next((f.rounds for f in features if isinstance(f, Slot) and f.rounds), "")
    return slots(product, len(factors), rounds=behind or ("PolynomialFeatures" if degree > 2 else ""))


def spline(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Evaluate each column's B-splines, as one polynomial for each interval between knots."""
    values = matrix(graph, features)
    parts = [_splines(step, curve, values.take([index])) for index, curve in enumerate(step.bsplines_)]
    width = step.bsplines_[0].c.shape[1] - (not step.include_bias)
    return slots(graph.concat(parts), width * len(parts), rounds="SplineTransformer")


def _splines(step: Any, curve: Any, x: Tensor) -> Tensor:
    graph, width = x.graph, curve.c.shape[1] - (not step.include_bias)
    knots = curve.t[curve.k : len(curve.t) - curve.k]
    low, high = knots[0], knots[-1]
    inside = x
    if step.extrapolation == "periodic":
        turn = graph.op("Mod", x - low, high - low, fmod=1)  # exact, as numpy's
        inside = graph.where(turn < 0.0, turn + (high - low), turn) + low
    elif step.extrapolation in ("constant", "linear"):
        inside = graph.where(x < low, low, graph.where(x > high, high, x))
    elif step.extrapolation == "error":
        inside = graph.where(x < low, np.nan, graph.where(x > high, np.nan, x))
    places = graph.sum((inside >= knots[1:-1]).cast(TensorProto.DOUBLE)) if len(knots) > 2 else x * 0.0
    places = graph.where(graph.op("IsNaN", places), 0.0, places).cast(TensorProto.INT64)
    offset = inside - graph.op("Gather", knots[:-1], places, axis=0)
    total: Tensor | None = None
    for power in range(curve.k, -1, -1):  # Taylor's coefficients at each interval's left end
        coefficients = np.asarray(curve(knots[:-1], nu=power))[:, :width] / math.factorial(power)
        result = graph.op("Gather", coefficients, places, axis=0).of_width(width)
        total = result if total is None else total * offset + result
    assert total is not None
    if step.extrapolation == "linear":
        below, above = curve(low, nu=1)[:width], curve(high, nu=1)[:width]
        total = (
            total + graph.where(x < low, x - low, 0.0) * below + graph.where(x > high, x - high, 0.0) * above
        )
    if getattr(step, "handle_missing", "error") == "zeros":
        return graph.where(graph.op("IsNaN", x), 0.0, total)
    return total


STEPS: dict[type, Any] = {
    SimpleImputer: imputer, StandardScaler: scaler, MinMaxScaler: scaler, RobustScaler: scaler,
    MaxAbsScaler: scaler, FunctionTransformer: function, PowerTransformer: power,
    PolynomialFeatures: polynomial, SplineTransformer: spline,
}  # fmt: skip
