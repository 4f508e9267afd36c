"""What each column between two steps is, before any node is made for it.

A value that depends on one category column alone is a table over that column's states, read
off the fitted step itself; so encoders compile to lookups, a linear model folds its
coefficients into them, and a tree tests the packed code. A column is put into the graph only
when a model needs it as a number.

A category column of k categories has k + 2 states: its categories, then unseen, then missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto

from training.compiling.graph import Graph, Tensor

UNSEEN_TEXT = "\x00slipway: a category that training did not see"


@dataclass(frozen=True)
class Slot:
    """A column of a tensor; `rounds` names the step before it whose last digit depends on the machine."""

    tensor: Tensor
    place: int
    width: int
    rounds: str = ""


@dataclass(frozen=True, eq=False)
class Lookup:
    """A number for each state of a category column, float64 of shape (k + 2,)."""

    column: int
    table: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Text:
    """The text (or NaN) for each state of a category column, objects of shape (k + 2,)."""

    column: int
    values: NDArray[np.object_]


@dataclass(frozen=True)
class Dates:
    """A datetime column as text: only calendar features can use it."""

    column: int


Feature = Slot | Lookup | Text | Dates


def slots(tensor: Tensor, width: int, *, rounds: str = "") -> list[Feature]:
    """Return the columns of a tensor of shape (n_rows, width)."""
    return [Slot(tensor, index, width, rounds) for index in range(width)]


def states(features: list[Feature]) -> pd.DataFrame:
    """Return a frame that shows each looked-up column in all its states, the shorter ones repeated."""
    tables = [_table(feature) for feature in features]
    length = max((len(table) for table in tables), default=1)
    return pd.DataFrame({index: np.resize(table, length) for index, table in enumerate(tables)})


def _table(feature: Feature) -> NDArray[np.generic]:
    if isinstance(feature, Lookup):
        return feature.table
    return feature.values if isinstance(feature, Text) else np.ones(1)


def matrix(graph: Graph, features: list[Feature]) -> Tensor:
    """Return the features as one float64 tensor of shape (n_rows, len(features))."""
    parts = []
    for _, run in groupby(features, key=_origin):
        part = list(run)
        parts.append(_slots_matrix(part) if isinstance(part[0], Slot) else _looked_up(graph, part))
    return graph.concat(parts)


def finite_matrix(graph: Graph, features: list[Feature]) -> Tensor:
    """Return the features; refuse rows with a gap or an overflow, for ``exp(-inf)`` is 0."""
    values = matrix(graph, features)
    graph.refuse(graph.sum(values * 0.0))
    return values


def _origin(feature: Feature) -> str:
    return feature.tensor.name if isinstance(feature, Slot) else "lookup"


def _slots_matrix(run: list[Feature]) -> Tensor:
    first = run[0]
    assert isinstance(first, Slot)
    indexes = [slot.place for slot in run if isinstance(slot, Slot)]
    return first.tensor if indexes == list(range(first.width)) else first.tensor.take(indexes)


def _looked_up(graph: Graph, run: list[Feature]) -> Tensor:
    parts = []
    for _, same in groupby(run, key=lambda feature: feature.column):  # type: ignore[union-attr]
        tables = [_numbers(feature) for feature in same]
        column = next(f.column for f in run if isinstance(f, Lookup) and f.table is tables[0])
        places = state_of(graph, [column], [len(tables[0]) - 2])
        rows = graph.op("Gather", np.column_stack(tables), places, axis=0)
        parts.append(rows.of_width(len(tables)))
    return graph.concat(parts)


def _numbers(feature: Feature) -> NDArray[np.float64]:
    if not isinstance(feature, Lookup):
        raise TypeError("a model got text: encode categories and dates before it")
    return feature.table


def folded(graph: Graph, lookups: list[Lookup], coefficients: NDArray[np.float64]) -> Tensor:
    """Return ``sum(coefficient * lookup)`` of shape (n_rows, 1), by one table a column."""
    tables: dict[int, NDArray[np.float64]] = {}
    for lookup, coefficient in zip(lookups, coefficients, strict=True):
        tables[lookup.column] = tables.get(lookup.column, 0.0) + coefficient * lookup.table
    sizes = [len(table) for table in tables.values()]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    places = state_of(graph, list(tables), [size - 2 for size in sizes], starts=starts)
    return graph.sum(graph.op("Gather", np.concatenate(list(tables.values())), places, axis=0))


def state_of(
    graph: Graph, columns: list[int], counts: list[int], *, starts: NDArray[np.int64] | None = None
) -> Tensor:
    """Return which state each category column is in, int64 of shape (n_rows, len(columns))."""
    codes = graph.rows if columns == list(range(graph.columns)) else graph.rows.take(columns)
    offset = np.zeros(len(columns)) if starts is None else starts.astype(np.float64)
    count = np.array(counts, dtype=np.float64)
    seen = graph.where(codes < 0.0, offset + count, codes + offset if offset.any() else codes)
    return graph.where(graph.op("IsNaN", codes), offset + count + 1.0, seen).cast(TensorProto.INT64)
