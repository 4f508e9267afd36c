"""A fitted scikit-learn pipeline becomes one exact float64 graph.

    compiler       which piece compiles which step; start here
    features       what a column between two steps is, before it is computed
    graph          nodes and constants
    encoders       one-hot, ordinal and target encoders: lookups
    preprocessing  imputers, scalers, powers, polynomials, splines
    functions      logarithms and powers, both ways
    calendar       dates
    linear, trees, neural, kernels    models
    networks       Keras's models; layers, activations: what they are made of
    ensembles      pipelines, columns, averages, stacks, transformed targets
    targets        the way back from a transformed target
    parity         the graph against the pipeline, on real and hard rows
    verified       both steps in one, as training takes them
    writing        model.onnx and scorer.json
    errors         what is refused

Nothing here knows MLflow.
"""

from serving.scorer import Parity
from training.compiling.compiler import compile_pipeline
from training.compiling.errors import (
    CompilingError,
    NoTensorFlow,
    ParityFailed,
    RefusedPair,
    UncompilableStep,
    UnreadableNetwork,
)
from training.compiling.keras.networks import Network, load_network
from training.compiling.parity import measure_parity, pack_frame, require
from training.compiling.verified import Verified, compile_verified, with_scale
from training.compiling.writing import write_scorer

__all__ = [
    "compile_pipeline",
    "measure_parity",
    "require",
    "pack_frame",
    "write_scorer",
    "Parity",
    "Verified",
    "compile_verified",
    "with_scale",
    "Network",
    "load_network",
    "CompilingError",
    "ParityFailed",
    "RefusedPair",
    "UncompilableStep",
    "NoTensorFlow",
    "UnreadableNetwork",
]
