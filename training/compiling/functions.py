"""Numpy's functions in the graph's operators, and the power transforms both ways.

onnxruntime has no float64 log1p or expm1. ``log(1 + x)`` and ``exp(x) - 1`` differ from them
by one unit in the last place of 1, which is far below the parity rule for values near zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from training.compiling.graph import Tensor

Function = Callable[[Tensor], Tensor]


def _op(operator: str) -> Function:
    return lambda values: values.graph.op(operator, values)


def log1p(values: Tensor) -> Tensor:
    """Return ``log(1 + x)``."""
    return values.graph.op("Log", values + 1.0)


def expm1(values: Tensor) -> Tensor:
    """Return ``exp(x) - 1``."""
    return values.graph.op("Exp", values) - 1.0


def yeo_johnson(values: Tensor, exponent: float) -> Tensor:
    """Return Yeo and Johnson's transform (2000, Biometrika 87(4)) of each value."""
    graph = values.graph
    size = graph.op("Abs", values)
    logs = log1p(size)
    up, down = float(exponent), 2.0 - float(exponent)
    above = logs if abs(up) < np.spacing(1.0) else (graph.op("Exp", logs * up) - 1.0) / up
    below = logs if abs(down) <= np.spacing(1.0) else (graph.op("Exp", logs * down) - 1.0) / down
    return graph.where(values < 0.0, -below, above)


def inverse_yeo_johnson(values: Tensor, exponent: float) -> Tensor:
    """Return what `yeo_johnson` was given; NaN beyond its range."""
    graph = values.graph
    size = graph.op("Abs", values)
    up, down = float(exponent), 2.0 - float(exponent)
    above = expm1(size) if abs(up) < np.spacing(1.0) else (size * up + 1.0) ** (1.0 / up) - 1.0
    below = expm1(size) if abs(down) <= np.spacing(1.0) else (size * down + 1.0) ** (1.0 / down) - 1.0
    return graph.where(values < 0.0, -below, above)


FUNCTIONS: dict[Any, tuple[Function, bool]] = {
    np.log1p: (log1p, False),
    np.expm1: (expm1, False),
    np.log: (_op("Log"), False),
    np.exp: (_op("Exp"), False),
    np.sqrt: (_op("Sqrt"), True),
    np.abs: (_op("Abs"), True),
    np.square: (lambda values: values * values, True),
}
"""Each function's form in the graph, and whether every machine gives the same bits."""
