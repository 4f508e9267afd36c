"""Steps made of steps: pipelines, columns side by side, averages, stacks, a transformed target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.pipeline import Pipeline

from training.compiling.errors import UncompilableStep
from training.compiling.features import Feature, slots
from training.compiling.graph import Graph, Tensor
from training.compiling.steps import inverse

Made = list[Feature] | Tensor
"""Features if the step transforms, a prediction of shape (n_rows, 1) if it predicts."""

Compile = Callable[[Any, list[Feature], Graph], Made]
"""Compiles any step; given to these so that they can ask for their parts."""


def pipeline(step: Any, features: list[Feature], graph: Graph, compiled: Compile) -> Made:
    """Compile each step on what the one before gave."""
    made: Made = features
    for _, part in step.steps:
        if isinstance(made, Tensor):
            raise UncompilableStep(step=type(part).__name__, reason="it stands behind a model")
        if part is not None and not isinstance(part, str):
            made = compiled(part, made, graph)
    return made


def columns(step: Any, features: list[Feature], graph: Graph, compiled: Compile) -> Made:
    """Give each part its columns and put the outputs side by side in the step's order."""
    outputs: dict[str, list[Feature]] = {}
    for name, part, _ in step.transformers_:
        chosen = [features[index] for index in step._transformer_to_input_indices[name]]
        if isinstance(part, str):
            outputs[name] = chosen if part == "passthrough" else []
        elif chosen:
            made = compiled(part, chosen, graph)
            if isinstance(made, Tensor):
                raise UncompilableStep(step=type(part).__name__, reason="a model stands among transformers")
            outputs[name] = made
    order = sorted(outputs, key=lambda name: step.output_indices_[name].start)
    return [feature for name in order for feature in outputs[name]]


def average(step: Any, features: list[Feature], graph: Graph, compiled: Compile) -> Made:
    """Return the weighted mean of the members."""
    weights = (
        np.ones(len(step.estimators_)) if step._weights_not_none is None else np.array(step._weights_not_none)
    )
    parts = [predicted(part, features, graph, compiled) for part in step.estimators_]
    graph.members.extend(zip(step.estimators_, parts, strict=True))
    members = graph.concat(parts)
    return (members @ weights.astype(np.float64)[:, None]) / float(weights.sum())


def stack(step: Any, features: list[Feature], graph: Graph, compiled: Compile) -> Made:
    """Feed the members' predictions, and the features if asked, to the final model."""
    if any(method != "predict" for method in step.stack_method_):
        raise UncompilableStep(step="StackingRegressor", reason="a member does not predict")
    parts = [predicted(part, features, graph, compiled) for part in step.estimators_]
    members = slots(graph.concat(parts), len(parts), rounds="StackingRegressor")
    made = compiled(step.final_estimator_, [*members, *(features if step.passthrough else [])], graph)
    if not isinstance(made, Tensor):
        raise UncompilableStep(step="StackingRegressor", reason="its final step is no model")
    return made


def transformed_target(step: Any, features: list[Feature], graph: Graph, compiled: Compile) -> Made:
    """Undo the target's transformation."""
    prediction = predicted(step.regressor_, features, graph, compiled)
    graph.refuse(prediction * 0.0)  # exp(-inf) is a number, an overflow is none
    return inverse(step.transformer_, prediction)


def predicted(step: Any, features: list[Feature], graph: Graph, compiled: Compile) -> Tensor:
    """Compile a step that must predict."""
    made = compiled(step, features, graph)
    if not isinstance(made, Tensor):
        raise UncompilableStep(step=type(step).__name__, reason="it ends without a model")
    return made


STEPS: dict[type, Any] = {
    Pipeline: pipeline,
    ColumnTransformer: columns,
    VotingRegressor: average,
    StackingRegressor: stack,
    TransformedTargetRegressor: transformed_target,
}
