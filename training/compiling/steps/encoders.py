"""Steps on categories: each output is a table over the states of one column.

The tables are read off the fitted step, by transforming every state once: infrequent groups,
dropped columns, unknown and missing values then mean here what they mean there.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from training.compiling.errors import UncompilableStep
from training.compiling.features import Feature, Lookup, Text, folded, states
from training.compiling.graph import Graph
from training.transformers import CategoryText


def category_text(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:  # noqa: ARG001
    """Keep the text; a missing value is NaN already."""
    return features


def encoder(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Return one lookup for each output of a one-hot, ordinal or target encoder."""
    strange = [feature for feature in features if not isinstance(feature, Text | Lookup)]
    if strange:
        raise UncompilableStep(
            step=type(step).__name__, reason="it encodes a column that holds no categories"
        )
    for feature, known in zip(features, step.categories_, strict=True):
        if not isinstance(feature, Text):
            continue
        alien = [each for each in known if each is None or not (isinstance(each, str) or pd.isna(each))]
        if alien:
            reason = f"it was fitted on {alien[0]!r}, a category is text here, and NaN where it is missing"
            raise UncompilableStep(step=type(step).__name__, reason=reason)
        lacking = {category for category in known if isinstance(category, str)} - set(feature.values)
        if lacking:
            raise UncompilableStep(
                step=type(step).__name__,
                reason=f"the rows lack {len(lacking)} of the categories that it knows",
            )
    if getattr(step, "target_type_", "continuous") == "multiclass":
        raise UncompilableStep(
            step="TargetEncoder", reason="it took the target for classes; set target_type='continuous'"
        )
    encoded, refused = _transformed(step, features)
    for feature, faults in zip(features, refused.T, strict=True):
        if isinstance(feature, Text | Lookup) and faults[: _states(feature)].any():
            table = np.where(faults[: _states(feature)], np.nan, 0.0)
            graph.refuse(folded(graph, [Lookup(feature.column, table)], np.ones(1)))
    owners = _owners(step, len(features))
    return [
        Lookup(owner.column, encoded[: _states(owner), position])
        for position, owner in enumerate(features[index] for index in owners)
        if isinstance(owner, Text | Lookup)
    ]


def _states(feature: Text | Lookup) -> int:
    return len(feature.values if isinstance(feature, Text) else feature.table)


def _transformed(step: Any, features: list[Feature]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the step's output on every state, and which states of each input it refuses."""
    frame = states(features)
    frame.columns = getattr(step, "feature_names_in_", frame.columns)
    known = np.ones(frame.shape, dtype=bool)
    if getattr(step, "handle_unknown", "") == "error":
        for index, categories in enumerate(step.categories_):
            column = frame.iloc[:, index]
            known[:, index] = column.isin(categories) | (column.isna() & pd.isna(categories).any())
            frame.isetitem(index, column.where(known[:, index], categories[0]).to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "unknown categories": asked for
        output = step.transform(frame)
    dense = np.array(output.toarray() if hasattr(output, "toarray") else output, dtype=np.float64)
    return dense, ~known


def _owners(step: Any, width: int) -> list[int]:
    """Return which input each output belongs to."""
    if not isinstance(step, OneHotEncoder):
        return list(range(width))
    return [index for index, count in enumerate(step._n_features_outs) for _ in range(count)]


STEPS: dict[type, Any] = {
    CategoryText: category_text,
    OneHotEncoder: encoder,
    OrdinalEncoder: encoder,
    TargetEncoder: encoder,
}
