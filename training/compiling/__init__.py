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
    packing        rows as a scorer takes them
    parity         the graph against the pipeline, on real and hard rows
    verified       both steps in one, as training takes them
    cost           the size of a graph and the time of a row, and how much is allowed
    reason_file    what explains predictions, beside them
    writing        model.onnx and scorer.json
    errors         what is refused

Nothing here knows MLflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from training.compiling import cost
    from training.compiling.compiler import compile_pipeline
    from training.compiling.packing import pack_frame
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

__getattr__ = at_first_use(
    __name__,
    {
        "Verified": "verified",
        "compile_pipeline": "compiler",
        "compile_verified": "verified",
        "pack_frame": "packing",
        "raw_row": "writing",
        "versions": "writing",
        "with_scale": "verified",
        "write_scorer": "writing",
    },
)
