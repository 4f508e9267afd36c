"""What Keras's activation functions compute, in operators that onnxruntime has in float64.

Every one lets a missing value through: NaN gives NaN, as in Keras.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from training.compiling.functions import Function, expm1
from training.compiling.graph import Tensor

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
BEYOND_ERF = 6.0
"""From here on erf is 1 in float64."""

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(40)


def between(values: Tensor, low: float, high: float) -> Tensor:
    """Return the values, held to a range."""
    below = values.graph.where(values > high, high, values)
    return values.graph.where(values < low, low, below)


def relu(values: Tensor, top: float | None = None, threshold: float = 0.0) -> Tensor:
    """Return x up to `top` where it lies above the threshold, 0 elsewhere."""
    where = values.graph.where
    above = where(values > threshold, values, 0.0) if threshold else where(values < 0.0, 0.0, values)
    return above if top is None else between(above, 0.0, float(top))


def leaky_relu(values: Tensor, slope: float = 0.2) -> Tensor:
    """Return x above zero, ``slope * x`` below."""
    return values.graph.where(values < 0.0, values * in_float32(slope), values)


def in_float32(constant: float) -> float:
    """Return a constant that TensorFlow rounds, in float64 networks too."""
    return float(np.float32(constant))


def elu(values: Tensor, alpha: float = 1.0) -> Tensor:
    """Return ``alpha * (exp(x) - 1)`` below zero, x above."""
    return values.graph.where(values < 0.0, expm1(values) * alpha, values)


def softplus(values: Tensor) -> Tensor:
    """Return ``log(1 + exp(x))`` without overflow."""
    size = values.graph.op("Abs", values)
    return relu(values) + values.graph.op("Log", values.graph.op("Exp", -size) + 1.0)


def sigmoid(values: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))``."""
    return values.graph.op("Sigmoid", values)


def tanh(values: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return values.graph.op("Tanh", values)


def hard_sigmoid(values: Tensor) -> Tensor:
    """Return ``min(max(x + 3, 0), 6) / 6``."""
    return between(values + 3.0, 0.0, 6.0) / 6.0


def erf(values: Tensor) -> Tensor:
    """Return the error function, ``2 x / sqrt(pi)`` times the integral of ``exp(-(x t)^2)`` over t in [0, 1].

    By Gauss and Legendre's rule, for onnxruntime has no float64 kernel: within 2e-15 of the true value.
    """
    graph = values.graph
    inside = between(values, -BEYOND_ERF, BEYOND_ERF)
    powers = graph.op("Unsqueeze", inside * inside, np.array([2])) * -(((POINTS + 1.0) / 2.0) ** 2)
    integral = graph.op("ReduceSum", graph.op("Exp", powers) * (WEIGHTS / 2.0), np.array([2]), keepdims=0)
    whole = graph.op("Sign", values)
    near = inside * integral * (2.0 / math.sqrt(math.pi))
    return graph.where(graph.op("Abs", values) >= BEYOND_ERF, whole, near)


ACTIVATIONS: dict[str, Function] = {
    "linear": lambda values: values,
    "relu": relu,
    "relu6": partial(relu, top=6.0),
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": lambda values: elu(values, SELU_ALPHA) * SELU_SCALE,
    "exponential": lambda values: values.graph.op("Exp", values),
    "sigmoid": sigmoid,
    "tanh": tanh,
    "softplus": softplus,
    "softsign": lambda values: values / (values.graph.op("Abs", values) + 1.0),
    "silu": lambda values: values * sigmoid(values),
    "mish": lambda values: values * tanh(softplus(values)),
    "gelu": lambda values: values * 0.5 * (erf(values * in_float32(math.sqrt(0.5))) + 1.0),
    "log_sigmoid": lambda values: -softplus(-values),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda values: values * hard_sigmoid(values),
    "hard_tanh": partial(between, low=-1.0, high=1.0),
}
"""By Keras's names, with Keras's defaults."""
