"""Multi-layer perceptrons: matrix products with an activation between them."""

from __future__ import annotations

from typing import Any

from sklearn.neural_network import MLPRegressor

from training.compiling.features import Feature, finite_matrix
from training.compiling.graph import Graph, Tensor

ACTIVATIONS = {
    "identity": lambda values: values,
    "logistic": lambda values: values.graph.op("Sigmoid", values),
    "tanh": lambda values: values.graph.op("Tanh", values),
    "relu": lambda values: values.graph.where(values < 0.0, 0.0, values),  # Relu would turn NaN into 0
    "exp": lambda values: values.graph.op("Exp", values),
}


def perceptron(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return the last layer's one output."""
    values = finite_matrix(graph, features)
    last = len(model.coefs_) - 1
    for layer, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        values = values @ weights + bias
        values = ACTIVATIONS[model.out_activation_ if layer == last else model.activation](values)
    return values


MODELS = {MLPRegressor: perceptron}
