"""Dense Keras networks: which piece compiles which layer, and the walk over their graph.

The walk reads the model's own configuration, as `.keras` files hold it. To teach it a layer, write a
function from (layer, values) to values and name it in `PIECES`. What a layer does only while it is
trained is left out. Keras is imported by the caller's model, never by this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compiling.errors import UncompilableStep
from training.compiling.graph import Tensor
from training.compiling.keras.activations import ACTIVATIONS, elu, leaky_relu, relu

Piece = Callable[[Any, list[Tensor]], Tensor]
TENSOR = "__keras_tensor__"


def network(model: Any, values: Tensor) -> Tensor:
    """Return a model's one output for its one input of shape (n_rows, n_columns); raises UncompilableStep."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UncompilableStep(step=name_of(model), reason="it has more than one input or output")
    if _public("Sequential", "models") is type(model):
        for layer in model.layers:
            values = _layer(layer, [values])
        return values
    if not _is_functional(model):
        raise UncompilableStep(step=name_of(model))
    return _Walk(model, values).output()


def _is_functional(model: Any) -> bool:
    return (type(model).__module__, type(model).__name__) == ("keras.src.models.functional", "Functional")


class _Walk:
    """The calls of a functional model, each made once."""

    def __init__(self, model: Any, values: Tensor) -> None:
        written = model.get_config()
        self._layers = {layer.name: layer for layer in model.operations}
        self._calls = {layer["name"]: layer["inbound_nodes"] for layer in written["layers"]}
        (first,) = _histories(written["input_layers"])
        ((name, place),) = _histories(written["output_layers"])
        # Here alone Keras counts a model inside a model as called once before, when it was made.
        self._last = (name, place - _is_functional(self._layers[name]))
        self._known = {first: values}

    def output(self) -> Tensor:
        return self._value(self._last)

    def _value(self, history: tuple[str, int]) -> Tensor:
        if history not in self._known:
            name, place = history
            self._known[history] = self._call(self._layers[name], self._calls[name][place])
        return self._known[history]

    def _call(self, layer: Any, call: Any) -> Tensor:
        inputs = list(_histories(call["args"]))
        if any(_others(call["args"])) or any(_others(call["kwargs"])) or any(_histories(call["kwargs"])):
            raise UncompilableStep(step=name_of(layer), reason="it is called with more than its input")
        return _layer(layer, [self._value(history) for history in inputs])


def _histories(written: Any) -> Iterator[tuple[str, int]]:
    """Yield which call each tensor comes from: the layer's name and the call's place."""
    if isinstance(written, dict) and written.get("class_name") == TENSOR:
        written = written["config"]["keras_history"]
    if isinstance(written, list | tuple) and len(written) == 3 and isinstance(written[0], str):
        yield written[0], written[1]
        return
    for part in _parts(written):
        yield from _histories(part)


def _others(written: Any) -> Iterator[Any]:
    """Yield what is no tensor."""
    if isinstance(written, dict) and written.get("class_name") == TENSOR:
        return
    if not isinstance(written, dict | list | tuple):
        yield written
    for part in _parts(written):
        yield from _others(part)


def _parts(written: Any) -> list[Any]:
    if isinstance(written, dict):
        return list(written.values())
    return list(written) if isinstance(written, list | tuple) else []


def _layer(layer: Any, inputs: list[Tensor]) -> Tensor:
    name = type(layer).__name__
    if hasattr(layer, "layers") and len(inputs) == 1:
        return network(layer, inputs[0])
    if name not in PIECES or _public(name, "layers") is not type(layer):
        raise UncompilableStep(step=name_of(layer))
    if getattr(layer, "quantization_mode", None):
        raise UncompilableStep(step=name_of(layer), reason=f"it is quantized to {layer.quantization_mode}")
    return PIECES[name](layer, inputs)


def _public(name: str, module: str) -> Any:
    """Return Keras's own class or function of that name: a subclass may compute otherwise."""
    return getattr(getattr(sys.modules["keras"], module), name, None)


def name_of(layer: Any) -> str:
    """Return how an error names a layer or a model."""
    return f"{type(layer).__name__} ({layer.name!r})"


def _numbers(weights: Any) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = np.asarray(weights, dtype=np.float64)
    return numbers


def _activated(layer: Any, values: Tensor) -> Tensor:
    activation = layer.activation
    if activation is None:
        return values
    if hasattr(activation, "get_config"):
        return _layer(activation, [values])
    name = getattr(activation, "__name__", repr(activation))
    if name not in ACTIVATIONS or _public(name, "activations") is not activation:
        raise UncompilableStep(
            step=name_of(layer), reason=f"the compiler has no piece for its activation {name}"
        )
    return ACTIVATIONS[name](values)


def _dense(layer: Any, inputs: list[Tensor]) -> Tensor:
    values = inputs[0] @ _numbers(layer.kernel)
    return _activated(layer, values if layer.bias is None else values + _numbers(layer.bias))


def _batch_normalization(layer: Any, inputs: list[Tensor]) -> Tensor:
    _along_columns(layer)
    scale = (_numbers(layer.gamma) if layer.scale else 1.0) / np.sqrt(
        _numbers(layer.moving_variance) + layer.epsilon
    )
    offset = (_numbers(layer.beta) if layer.center else 0.0) - _numbers(layer.moving_mean) * scale
    values: Tensor = inputs[0] * scale + offset
    return values


def _layer_normalization(layer: Any, inputs: list[Tensor]) -> Tensor:
    _along_columns(layer)
    if layer.rms_scaling:
        raise UncompilableStep(step=name_of(layer), reason="rms_scaling is deprecated")
    values, graph = inputs[0], inputs[0].graph
    mean = graph.op("ReduceMean", values, np.array([1]), keepdims=1)
    apart = values - mean
    variance = graph.op("ReduceMean", apart * apart, np.array([1]), keepdims=1)
    scale = 1.0 / graph.op("Sqrt", variance + layer.epsilon)
    scale = scale if layer.gamma is None else scale * _numbers(layer.gamma)
    offset = -mean * scale
    return values * scale + (offset if layer.beta is None else offset + _numbers(layer.beta))


def _along_columns(layer: Any) -> None:
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if axes not in ([1], [-1]):
        raise UncompilableStep(step=name_of(layer), reason=f"its axis is {layer.axis}, must be -1")


def _normalization(layer: Any, inputs: list[Tensor]) -> Tensor:
    smallest = sys.modules["keras"].config.epsilon()
    mean, spread = _numbers(layer.mean), np.maximum(np.sqrt(_numbers(layer.variance)), smallest)
    values: Tensor = inputs[0] * spread + mean if layer.invert else (inputs[0] - mean) / spread
    return values


def _rescaling(layer: Any, inputs: list[Tensor]) -> Tensor:
    return inputs[0] * _constants(layer.scale) + _constants(layer.offset)


def _constants(values: Any) -> NDArray[np.float64]:
    """Return what TensorFlow makes of numbers that are no array: float32 first, in float64 networks too."""
    return _numbers(values if hasattr(values, "dtype") else np.float32(values))


def _relu(layer: Any, inputs: list[Tensor]) -> Tensor:
    top, slope, threshold = layer.max_value, float(layer.negative_slope), float(layer.threshold)
    if top is None and not threshold:
        return leaky_relu(inputs[0], slope)
    above = relu(inputs[0], top=top, threshold=threshold)
    return above - relu(threshold - inputs[0]) * slope if slope else above


def _prelu(layer: Any, inputs: list[Tensor]) -> Tensor:
    return inputs[0].graph.where(inputs[0] < 0.0, inputs[0] * _numbers(layer.alpha), inputs[0])


def _sum(_: Any, inputs: list[Tensor]) -> Tensor:
    total = inputs[0]
    for values in inputs[1:]:
        total = total + values
    return total


def _concatenate(layer: Any, inputs: list[Tensor]) -> Tensor:
    _along_columns(layer)
    return inputs[0].graph.concat(inputs)


def _unchanged(_: Any, inputs: list[Tensor]) -> Tensor:
    return inputs[0]


ONLY_IN_TRAINING = ("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization")

PIECES: dict[str, Piece] = {
    "Dense": _dense,
    "Activation": lambda layer, inputs: _activated(layer, inputs[0]),
    "ReLU": _relu,
    "LeakyReLU": lambda layer, inputs: leaky_relu(inputs[0], float(layer.negative_slope)),
    "PReLU": _prelu,
    "ELU": lambda layer, inputs: elu(inputs[0], float(layer.alpha)),
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Add": _sum,
    "Concatenate": _concatenate,
    **dict.fromkeys(("Flatten", "Identity", *ONLY_IN_TRAINING), _unchanged),
}
"""By the names of Keras's layers; all values have the shape (n_rows, width)."""
