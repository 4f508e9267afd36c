"""A Keras network that takes a frame, as a pipeline does, and becomes a graph.

A graph computes in float64, most networks in float32, where the last digits are rounding. So the
network is written again in float64 by Keras itself, with the same weights and the input rounded as
before: the graph is made from that twin and must equal it on real and hard rows as any pipeline's
graph must. The network as it is must agree on the real rows, as near as float32 allows.

Where float32 overflows inside a network, at values far beyond the table's, Keras gives infinity or
NaN and the graph a number. Keras and TensorFlow are imported by `load_network` alone.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto

from data.own_files import own_folder
from data.schema import Schema
from training.compiling.errors import NoTensorFlow, UncompilableStep, UnreadableNetwork
from training.compiling.graph import Graph, Tensor
from training.compiling.keras.layers import name_of, network

FLOAT32_TOLERANCE = 1e-5
"""Of max(|prediction|, sd of the training target): Keras and the graph add in another order."""

BATCH_ROWS = 8192
WIDTHS = {"float32", "float64"}


@dataclass(frozen=True)
class Network:
    """A Keras model of one input, (n_rows, n_columns), and one output, (n_rows, 1)."""

    model: Any

    @property
    def n_features_in_(self) -> int:
        """How many columns it takes, as scikit-learn calls it; raises UncompilableStep where it takes no table."""
        shapes = [tuple(tensor.shape) for tensor in self.model.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] is None:
            reason = f"its inputs are {shapes}, must be one of (None, columns)"
            raise UncompilableStep(step=name_of(self.model), reason=reason)
        return int(shapes[0][1])

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return predictions of shape (n_rows,); the frame's columns stand in the order of training."""
        values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
        predicted = self.model.predict(values, batch_size=BATCH_ROWS, verbose=0)
        return np.asarray(predicted, dtype=np.float64).reshape(-1)

    @cached_property
    def in_float64(self) -> Network:
        """The same network with the same weights, computed in float64."""
        if _widths(self.model) == {"float64"}:
            return self
        written = _widened(self.model.get_config())
        for layer in written["layers"]:
            if layer["class_name"] == "InputLayer":
                layer["config"]["dtype"] = "float32"
        twin = type(self.model).from_config(written)
        with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
            weights = str(Path(folder, "network.weights.h5"))
            self.model.save_weights(weights)
            twin.load_weights(weights)
        return Network(twin)

    @property
    def uncompiled(self) -> Any:
        """The model without its loss and optimizer, which scoring does not need and a loader may not know."""
        with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
            file = Path(folder, "network.keras")
            self.model.save(file)
            return load_network(file).model


def adapted(model: Any) -> Any:
    """Return a Keras model as a `Network`, and any other model as it is."""
    return Network(model) if type(model).__module__.startswith("keras.src.models.") else model


def packages(model: Any) -> tuple[str, ...]:
    """Return the installed packages that a model needs beyond those of every version."""
    return ("keras", _tensorflow()) if isinstance(model, Network) else ()


def _tensorflow() -> str:
    try:
        version("tensorflow-cpu")
    except PackageNotFoundError:
        return "tensorflow"
    return "tensorflow-cpu"


def load_network(path: str | Path) -> Network:
    """Return the network in a `.keras` file; no code that came with the file is run.

    Raises
    ------
    NoTensorFlow
        It is not installed.
    UnreadableNetwork
        The file is none of Keras's, or needs code of its own.
    """
    if Path(path).suffix != ".keras" or not zipfile.is_zipfile(path):
        raise UnreadableNetwork(path=str(path), reason="it is no .keras file")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets with its CPU's features
    try:
        import keras  # noqa: PLC0415 - seconds, and not everybody has it
        import tensorflow  # noqa: F401, PLC0415
    except ImportError as error:
        raise NoTensorFlow(path=str(path)) from error
    try:
        return Network(keras.saving.load_model(path, compile=False, safe_mode=True))
    except Exception as error:  # Keras raises whatever the file's content makes it raise
        raise UnreadableNetwork(path=str(path), reason=_cause(error)) from error


def _cause(error: Exception) -> str:
    """Return the innermost sentence of Keras's paragraphs."""
    innermost = str(error).rsplit("Exception encountered: ", 1)[-1].strip()
    return innermost.split("\n", 1)[0].split(". ", 1)[0].rstrip(".") or type(error).__name__


def compiled_network(given: Network, schema: Schema, graph: Graph) -> Tensor:
    """Return a network's prediction from the packed columns; raises UncompilableStep."""
    _check(given.model, schema)
    network(
        given.model, Graph(len(schema.columns)).rows
    )  # what is unknown is named before Keras writes a twin
    values = graph.rows
    if _rounds_input(given.in_float64.model):
        values = values.cast(TensorProto.FLOAT).cast(TensorProto.DOUBLE)
    return network(given.in_float64.model, values)


def _rounds_input(model: Any) -> bool:
    """Return whether `predict` does: Keras's own setting counts as much as the model's."""
    import keras  # noqa: PLC0415 - it is loaded, for here is a model of it

    return "float32" in (keras.config.floatx(), model.inputs[0].dtype)


def _check(model: Any, schema: Schema) -> None:
    name = name_of(model)
    if not model.built:
        raise UncompilableStep(step=name, reason="it was not built: call it, or give it an Input")
    for column in schema.columns:
        if column.kind not in ("number", "boolean"):
            reason = f"column {column.name!r} is a {column.kind}, a network takes numbers and booleans"
            raise UncompilableStep(step=name, reason=reason)
        if column.missing:  # Keras gives NaN, or what a kernel makes of it: oneDNN's relu makes it 0
            reason = f"column {column.name!r} has missing values, of which a network makes no number"
            raise UncompilableStep(step=name, reason=reason)
    shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    expected = [(None, len(schema.columns)), (None, 1)]
    if shapes != expected:
        raise UncompilableStep(step=name, reason=f"its inputs and outputs are {shapes}, must be {expected}")
    strange = ({model.inputs[0].dtype} | _widths(model)) - WIDTHS
    if strange or len(_widths(model)) > 1:
        result = ", ".join(sorted({model.inputs[0].dtype} | _widths(model)))
        raise UncompilableStep(step=name, reason=f"it mixes {result}, must be all float32 or all float64")


def _widths(model: Any) -> set[str]:
    """Return in what its layers compute."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    return set().union(
        *(_widths(each) if hasattr(each, "layers") else {each.compute_dtype} for each in layers)
    )


def _widened(written: Any) -> Any:
    """Return a configuration whose layers take and compute float64."""
    if isinstance(written, dict):
        if written.get("class_name") == "DTypePolicy":
            return {**written, "config": {"name": "float64"}}
        if written.get("class_name") == "InputLayer":
            return {**written, "config": {**written["config"], "dtype": "float64"}}
        return {key: _widened(value) for key, value in written.items()}
    return [_widened(value) for value in written] if isinstance(written, list | tuple) else written
