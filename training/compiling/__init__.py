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
    cost           the size of a graph and the time of a row, and how much is allowed
    reason_file    what explains predictions, beside them
    writing        model.onnx and scorer.json
    errors         what is refused

Nothing here knows MLflow.
"""

from training.compiling import cost
from training.compiling.compiler import compile_pipeline
from training.compiling.parity import pack_frame
from training.compiling.verified import Verified, compile_verified, with_scale
from training.compiling.writing import raw_row, versions, write_scorer

__all__ = [
    "Verified",
    "compile_pipeline",
    "compile_verified",
    "cost",
    "pack_frame",
    "raw_row",
    "versions",
    "with_scale",
    "write_scorer",
]
