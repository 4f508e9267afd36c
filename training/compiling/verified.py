"""A graph that was compared with its pipeline: the only kind that training goes on with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import Schema
from serving.scorer import Parity, Session
from training.compiling import cost
from training.compiling.compiler import Draft
from training.compiling.errors import ParityFailed
from training.compiling.keras import FLOAT32_TOLERANCE, Network, adapted, packages
from training.compiling.packing import pack_frame
from training.compiling.parity import measure_parity, require
from training.compiling.reasons import Sum, sum_of

SCALE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verified:
    """A compiled model, how near it is to the pipeline it was compiled from, what that needs beyond the usual,
    and the trees whose sum it is, if it is one.
    """

    graph: bytes
    parity: Parity
    draft: Draft = field(repr=False)
    packages: tuple[str, ...] = ()
    trees: Sum | None = field(default=None, repr=False)


def compile_verified(
    pipeline: Any, *, schema: Schema, frame: pd.DataFrame, target: NDArray[np.float64], cheap: bool = False
) -> Verified:
    """Compile a fitted pipeline, or a Keras model, and compare the two on training rows and hard ones.

    Parameters
    ----------
    frame : DataFrame of shape (n_train, n_features)
        The rows it was fitted on; for a Keras model with the schema's columns in order, and no others.
    target : float64 array of shape (n_train,)
        Their target; its standard deviation is the scale of the comparison.
    cheap : bool
        Whether the graph has to be one that a scorer may hold. It is asked before the comparison, of thousands of rows.

    Raises
    ------
    CompilingError
        A step is unknown, the two differ, or the graph takes too much.
    """
    pipeline = adapted(pipeline)
    draft = Draft.of(pipeline, schema)
    graph = draft.written()
    if cheap:
        cost.require_cheap(graph, len(schema.columns))
    session, spread = Session(graph, at_once=None), float(np.std(target))
    exact = pipeline.in_float64 if isinstance(pipeline, Network) else pipeline
    parity = measure_parity(exact, session, schema, frame, spread, graph=graph)
    require(parity)
    if exact is not pipeline:
        parity = measure_parity(pipeline, session, schema, frame, spread, tolerance=FLOAT32_TOLERANCE)
        require(parity)
    return Verified(graph, parity, draft, packages(pipeline), sum_of(pipeline, draft.graph))


def with_scale(compiled: Verified, scale: Any, *, frame: pd.DataFrame) -> Verified:
    """Return the graph with a second output for intervals, its predictions unchanged to the bit.

    Raises
    ------
    CompilingError
        The scale is unknown to the compiler, differs from its model, or disturbs the prediction.
    """
    graph = compiled.draft.written(scale)
    matrix = pack_frame(frame, compiled.draft.schema)
    before, after = (Session(each, at_once=None) for each in (compiled.graph, graph))
    apart = float(np.max(np.abs(after.predict_with_scale(matrix)[:, 1] / scale.predict(frame) - 1.0)))
    if not np.array_equal(after.predict(matrix), before.predict(matrix), equal_nan=True):
        apart = np.inf
    if not apart <= SCALE_TOLERANCE:
        raise ParityFailed(max_rel=apart, rows=len(frame))
    return replace(compiled, graph=graph)
