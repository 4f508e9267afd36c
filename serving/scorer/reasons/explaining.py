"""A version's file of reasons -> what explains its predictions.

Shares are those of the user's columns, in the target's unit; a row's shares are its prediction minus the base. That
is checked for each row: reasons that do not add up are not given out. It knows no requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from serving.errors import TooLarge
from serving.scorer.errors import NotAScorer, UnsoundReasons
from serving.scorer.intervals import Floats
from serving.scorer.reasons.coalitions import Coalitions, Predict
from serving.scorer.reasons.column_pairs import ColumnPairs
from serving.scorer.reasons.leaf_paths import LeafPaths
from serving.scorer.reasons.packed_arrays import Arrays, unpacked
from serving.scorer.reasons.single_columns import SingleColumns
from serving.scorer.reasons.weighted_sums import WeightedSum
from serving.scorer.scorer_files import EXPLAIN_FILE

MOST_ROWS = 1_000
"""Of one request."""

TOLERANCE = 1e-9
"""A row's shares are its prediction minus the base within this share of the larger of these and the target's sd."""

METHOD = "method"
"""The note that says how a version is explained."""


class Ways:
    """The methods: the model is asked, its trees' paths are written, columns count by themselves, or in pairs.

    In a sum there are trees, and what is one of the last two.
    """

    ASKED, TREES, SINGLE, PAIRS, SUM = "coalitions", "trees", "columns", "pairs", "sum"


class Names:
    """Of arrays: stored rows; the graph of what trees look at; each column's mean, and the row they are put into.

    Of a sum of both there is also the graph of what is no tree, and `base` is that of the whole.
    """

    BACKGROUND, GRAPH, BASE, MEANS, REFERENCE = "background", "graph", "base", "means", "reference"
    LINE = "line"


FINITE = {Names.BASE, Names.MEANS, "share", "value"}
"""Arrays of numbers that shares are made of; those of trees go by how many columns their leaves have."""


@dataclass(frozen=True)
class Reasons:
    """Why some rows are predicted as they are.

    Attributes
    ----------
    predictions : float64 array of shape (n_rows,)
    base : float
        What a row is predicted of which nothing is known.
    shares : float64 array of shape (n_rows, n_columns)
        NaN where there is no prediction.
    errors : float64 array of shape (n_rows, n_columns), or None where the shares are exact
        Standard errors, where orders were sampled.
    method : str
        How they were found; docs/explanations.md explains each.
    columns : tuple of str
        Names, in the order of the shares.
    target, unit : str
        What is predicted.
    """

    predictions: Floats
    base: float
    shares: Floats
    errors: Floats | None
    method: str
    columns: tuple[str, ...]
    target: str = ""
    unit: str = ""


class WayToExplain(Protocol):
    """One way to explain."""

    base: float
    method: str
    most_rows: int

    def explain(self, matrix: Floats, predictions: Floats, deadline: float) -> tuple[Floats, Floats | None]:
        """Return shares and, where they are sampled, their standard errors; raises TooSlow."""


@dataclass(frozen=True)
class About:
    """What is said of the rows: their columns, and what is predicted in which unit, with which standard deviation."""

    columns: tuple[str, ...]
    target: str
    unit: str
    target_sd: float


class Explainer:
    """Explains one version's predictions. Safe to use from several threads at once."""

    def __init__(self, part: WayToExplain, about: About, predict: Callable[[Floats], Floats]) -> None:
        self.part, self._about, self._predict = part, about, predict
        self.most_rows = min(part.most_rows, MOST_ROWS)

    def check_rows(self, rows: int) -> None:
        """Raise TooLarge for more rows than one request may have explained."""
        if rows > self.most_rows:
            raise TooLarge(what="rows to explain", limit=self.most_rows)

    def explain(self, matrix: Floats, deadline: float = np.inf) -> Reasons:
        """Return the reasons of packed rows, shape (n_rows, n_columns).

        Raises
        ------
        TooSlow
            The deadline, by `time.perf_counter`, passed.
        UnsoundReasons
            A row's shares are not its prediction minus the base.
        """
        predictions, part, about = self._predict(matrix), self.part, self._about
        shares, errors = part.explain(matrix, predictions, deadline)
        self._check(predictions, shares)
        named = (about.columns, about.target, about.unit)
        return Reasons(predictions, part.base, shares, errors, part.method, *named)

    def _check(self, predictions: Floats, shares: Floats) -> None:
        base = self.part.base
        apart = np.abs(shares.sum(axis=1) - (predictions - base))
        if (
            apart <= TOLERANCE * self._about.target_sd
        ).all():  # the scale is no smaller: nearly all rows end here
            return
        scale = np.maximum(np.maximum(np.abs(predictions), abs(base)), self._about.target_sd)
        apart /= np.where(scale > 0.0, scale, 1.0)
        wrong = ~(apart <= TOLERANCE) & np.isfinite(predictions) & np.isfinite(shares).all(axis=1)
        if wrong.any():
            raise UnsoundReasons(row=int(np.argmax(wrong)), apart=float(apart[wrong][0]))


class LoadedGraph(Protocol):
    """What is explained: a loaded graph, and how another one is loaded."""

    def predict(self, matrix: Floats, /) -> Floats:
        """Return predictions of shape (n_rows,)."""

    def features(self, graph: bytes, width: int, /) -> Callable[[Floats], Floats]:
        """Return what a graph beside the model's own computes of packed rows; raises RefusedGraph."""


def explainer_of(content: bytes, about: About, model: LoadedGraph) -> Explainer:
    """Return what a file of reasons explains with; raises NotAScorer, or RefusedGraph for what is in it."""
    arrays = unpacked(content)
    try:
        _check_finite(arrays)
        part = _part(arrays, model, len(about.columns))
        if not np.isfinite(part.base):
            raise ValueError("its base is no number")
        return Explainer(part, about, model.predict)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise NotAScorer(file=EXPLAIN_FILE, reason=f"cannot be used: {error!r:.200}") from error


def _check_finite(arrays: Arrays) -> None:
    """Raise ValueError where a number that shares are made of is none: they would all be null, and nobody told why.

    Rows may have gaps: those that are stored, and the one that columns are put into.
    """
    for name, values in arrays.by_name.items():
        if name.partition("_")[0] in FINITE and not np.isfinite(values).all():
            raise ValueError(f"{name} holds what is no number")


def _part(arrays: Arrays, model: LoadedGraph, columns: int) -> WayToExplain:
    method = arrays.notes.get(METHOD, "")
    if method == Ways.ASKED:
        return Coalitions(_rows_of(arrays, columns), model.predict)
    if method == Ways.TREES:
        return LeafPaths(arrays.by_name, columns, _features_of(arrays, model))
    if method == Ways.SINGLE:
        return _single_of(arrays, columns, float(arrays.by_name[Names.BASE][0]), model.predict)
    if method == Ways.PAIRS:
        return ColumnPairs(_rows_of(arrays, columns), model.predict)
    if method == Ways.SUM:
        trees = LeafPaths(arrays.by_name, columns, _features_of(arrays, model))
        return WeightedSum(trees, _line_of(arrays, columns, model))
    raise NotAScorer(file=EXPLAIN_FILE, reason=f"has the method {method[:40]!r}, which this Slipway lacks")


def _single_of(arrays: Arrays, columns: int, base: float, predict: Predict) -> SingleColumns:
    reference, means = arrays.by_name[Names.REFERENCE], arrays.by_name[Names.MEANS]
    if reference.shape != (columns,) or means.shape != (columns,):
        raise ValueError("its row does not fit")
    return SingleColumns(reference, means, base, predict)


def _line_of(arrays: Arrays, columns: int, model: LoadedGraph) -> SingleColumns | ColumnPairs:
    """Return what explains the part of a sum that is no trees, by its own graph."""
    line = model.features(arrays.by_name[Names.LINE].tobytes(), 1)

    def predict(matrix: Floats) -> Floats:
        return line(matrix)[:, 0]

    if Names.BACKGROUND in arrays.by_name:
        return ColumnPairs(_rows_of(arrays, columns), predict)
    return _single_of(arrays, columns, 0.0, predict)


def _features_of(arrays: Arrays, model: LoadedGraph) -> Callable[[Floats], Floats]:
    """Return what computes what the trees look at: the packed rows as they are, where there is no graph."""
    if Names.GRAPH not in arrays.by_name:
        return lambda matrix: matrix
    width = len(arrays.by_name["starts"]) - 1
    return model.features(arrays.by_name[Names.GRAPH].tobytes(), width)


def _rows_of(arrays: Arrays, columns: int) -> Floats:
    background = arrays.by_name.get(Names.BACKGROUND, np.zeros(0))
    if background.ndim != 2 or background.shape[1] != columns or not 1 <= len(background) <= MOST_ROWS:
        raise NotAScorer(file=EXPLAIN_FILE, reason=f"has stored rows of the shape {background.shape}")
    return background
