"""Which piece compiles which step, and the walk over a fitted pipeline.

To teach the compiler a step, write a function from (step, features, graph) to features or a
prediction in the module of its family, and name the step in that module's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data.schema import Column, Schema
from training.compiling.errors import UncompilableStep
from training.compiling.estimators import ensembles, kernels, leafwise, linear, neural, trees
from training.compiling.features import UNSEEN_TEXT, Dates, Feature, Slot, Text
from training.compiling.graph import Graph, Tensor
from training.compiling.keras import Network, adapted, compiled_network
from training.compiling.steps import calendar, encoders, preprocessing

PIECES: dict[type, Any] = {
    **preprocessing.STEPS,
    **encoders.STEPS,
    **calendar.STEPS,
    **linear.MODELS,
    **trees.MODELS,
    **leafwise.MODELS,
    **neural.MODELS,
    **kernels.MODELS,
}
"""The function for each class of step without steps inside; a subclass may compute otherwise and has none."""


def compile_pipeline(pipeline: Any, schema: Schema, *, scale: Any = None) -> bytes:
    """Return a fitted pipeline as one ONNX model in float64.

    Parameters
    ----------
    pipeline : scikit-learn estimator, or Keras model
        Fitted on a frame with the schema's columns: float64 for numbers and booleans, text for
        categories and datetimes, None or NaN where missing.
    schema : Schema
        The packed matrix's columns.
    scale : scikit-learn estimator
        Fitted likewise; the second output, for intervals.

    Returns
    -------
    bytes
        A model from the packed float64 matrix of shape (n_rows, n_columns) to predictions of
        shape (n_rows,). The same fitted pipeline gives the same bytes.

    Raises
    ------
    UncompilableStep
        A step, or a setting of one, has no piece here.
    RefusedPair
        Trees stand behind a step that rounds differently on other machines.
    """
    return Draft.of(pipeline, schema).written(scale)


@dataclass(frozen=True)
class Draft:
    """A pipeline's nodes, from which its model is written without and with a scale: the pipeline is compiled once."""

    schema: Schema
    graph: Graph
    prediction: Tensor

    @classmethod
    def of(cls, pipeline: Any, schema: Schema) -> Draft:
        """Compile a fitted pipeline; raises as `compile_pipeline` does."""
        graph = Graph(len(schema.columns))
        return cls(schema, graph, _whole(pipeline, schema, graph))

    def written(self, scale: Any = None) -> bytes:
        """Return the model; the draft stays as it is, so that the bytes are the same whatever was written before."""
        with self.graph.kept():
            return self.graph.finish(
                self.prediction, None if scale is None else _whole(scale, self.schema, self.graph.beside())
            )


def _whole(pipeline: Any, schema: Schema, graph: Graph) -> Tensor:
    pipeline = adapted(pipeline)
    if isinstance(pipeline, Network):
        return compiled_network(pipeline, schema, graph)
    names = list(getattr(pipeline, "feature_names_in_", schema.names))
    given = dict(zip(schema.names, _columns(schema, graph), strict=True))
    return ensembles.predicted(pipeline, [given[name] for name in names], graph, compiled)


def compiled(step: Any, features: list[Feature], graph: Graph) -> ensembles.Made:
    """Compile any step; raises UncompilableStep with its name."""
    if type(step) in ensembles.STEPS:
        made: ensembles.Made = ensembles.STEPS[type(step)](step, features, graph, compiled)
        return made
    if type(step) not in PIECES:
        raise UncompilableStep(step=type(step).__name__)
    piece: ensembles.Made = PIECES[type(step)](step, features, graph)
    return piece


def _columns(schema: Schema, graph: Graph) -> list[Feature]:
    return [_given(index, column, graph) for index, column in enumerate(schema.columns)]


def _given(place: int, column: Column, graph: Graph) -> Feature:
    if column.kind == "category":
        return Text(place, np.array([*column.categories, UNSEEN_TEXT, np.nan], dtype=object))
    if column.kind == "datetime":
        return Dates(place)
    return Slot(graph.rows, place, graph.columns)
