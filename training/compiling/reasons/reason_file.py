"""What explains a version's predictions, written beside its scorer when it is compiled.

A sum of trees is written as the covers of its leaves, a sum of single columns as their means and one row, a blend of
the two as both and a graph of its second part. Any other model is asked itself, and needs rows to stand in for what
a coalition leaves open: a few training rows, spread evenly over the table. They are training data, and go where the
version goes. Where no three columns act together, in the model or a blend's second part, it is asked only of pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.schema import Schema
from serving.scorer import Floats, Session
from serving.scorer.reasons import METHOD, About, Arrays, Names, Ways, explainer_of, packed
from training.compiling.estimators import trees as tree_models
from training.compiling.graph import Graph, Tensor
from training.compiling.reasons.leaf_covers import Covers, NotOneColumn, features_of, line_of, members_of

FEW_COLUMNS = 8
BACKGROUND_ROWS = {True: 100, False: 32}
"""Stored rows, where the model has few columns and where it has more."""

COMPARED_ROWS, MOST_MIXED, MOST_MIXED_CELLS = 64, 500, 62_500
"""Rows on which what the covers of trees explain is held to what the graph predicts, and with columns mixed, a sum; of
a wide table so many cells, for the model is asked once for each."""

PAIRED_ROWS, MOST_PAIRED = 64, 200_000
"""Rows with columns mixed that show whether no three columns act together, and what the model is asked for them."""

TOLERANCE = 1e-10
MOST_SEEN, MOST_CELLS = 5_000, 250_000
"""Rows that show whether a model is a sum of its columns, and have their means taken; so many cells of a wide table."""


class Sum(NamedTuple):
    """A prediction that is a weighted sum of trees, of a constant and of what other models of a blend predict.

    `graph` is what they were put into. Of the other models it is not known yet what they are.
    """

    ensembles: list[tree_models.Grown]
    weights: list[float]
    graph: Graph
    rest: list[tuple[float, Tensor]]


def sum_of(pipeline: Any, graph: Graph) -> Sum | None:
    """Return a compiled pipeline as a sum of trees and others; None where no trees are summed, or some lie deeper."""
    members = members_of(pipeline)
    weights = [each.weight for each in members if each.is_trees]
    if not weights or len(weights) != len(graph.ensembles):
        return None
    rest = [(each.weight, graph.predicted_by(each.model)) for each in members if not each.is_trees]
    return Sum(list(graph.ensembles), weights, graph, rest)


def explained(graph: bytes, matrix: NDArray[np.float64], schema: Schema, trees: Sum | None = None) -> bytes:
    """Return the file that explains a graph's predictions.

    Parameters
    ----------
    graph : bytes
        As `compile_pipeline` gave it.
    matrix : float64 array of shape (n_train, n_columns)
        Training rows, packed, that have a finite prediction.
    trees : Sum, optional
        What the model is a sum of.
    """
    model = _Loaded(graph)
    if trees and (covered := _covered(model, trees, schema, matrix)):
        return covered
    if single := _single(model, matrix, schema):
        return packed(Arrays(single, {METHOD: Ways.SINGLE}))
    way = Ways.PAIRS if _paired(model, matrix, schema) else Ways.ASKED
    return packed(Arrays(_stored(matrix), {METHOD: way}))


class _Loaded:
    """A graph of ours, as the scorer has it."""

    def __init__(self, graph: bytes) -> None:
        self._session = Session(graph, at_once=None)

    def predict(self, matrix: Floats, /) -> Floats:
        return self._session.predict(matrix).reshape(len(matrix))

    def features(self, graph: bytes, width: int, /) -> Any:  # noqa: ARG002 - as the scorer's
        return Session(graph).predict


def _covered(model: _Loaded, trees: Sum, schema: Schema, rows: NDArray[np.float64]) -> bytes | None:
    """Return the file of a sum of trees, its base set so that it explains the predictions; None if it cannot.

    What else is in the sum must add up columns, or pairs, and is held to the predictions with columns mixed, too.
    """
    line: dict[str, NDArray[Any]] = {}
    way, seen = Ways.TREES, _evenly(rows, COMPARED_ROWS)
    if trees.rest:
        written = line_of(trees.rest, trees.graph)
        asked = _Loaded(written)
        added = _single(asked, rows, schema) or _paired(asked, rows, schema)
        if added is None:
            return None
        line = added | {Names.LINE: np.frombuffer(written, dtype=np.uint8)}
        way, seen = Ways.SUM, _evenly(rows, COMPARED_ROWS // 2)
        seen = np.concatenate([seen, _mixed(seen)])
    try:
        arrays = Covers(trees.ensembles, trees.weights, trees.graph, schema).arrays() | line
    except NotOneColumn:
        return None
    if features := features_of(trees.ensembles, trees.graph, len(arrays["starts"]) - 1):
        arrays[Names.GRAPH] = np.frombuffer(features, dtype=np.uint8)
    predictions = model.predict(seen)
    about = About(tuple(schema.names), schema.target, "", float(np.std(predictions)))
    arrays[Names.BASE] = np.zeros(1)
    part = explainer_of(packed(Arrays(arrays, {METHOD: way})), about, model).part
    shares, _ = part.explain(seen, predictions, np.inf)
    bases = predictions - shares.sum(axis=1)
    scale = max(float(np.max(np.abs(predictions))), about.target_sd)
    if not np.ptp(bases) <= TOLERANCE * scale:
        return None
    arrays[Names.BASE] = np.array([bases.mean()])
    return packed(Arrays(arrays, {METHOD: way}))


def _single(
    model: _Loaded, rows: NDArray[np.float64], schema: Schema
) -> dict[str, NDArray[np.float64]] | None:
    """Return the arrays of a model that adds up what each column gives by itself, as these rows show; else None.

    Rows in which columns were mixed must show it, too: two columns may have moved together in all others.
    """
    columns = rows.shape[1]
    rows = _evenly(rows, min(MOST_SEEN, max(MOST_CELLS // columns, COMPARED_ROWS)))
    reference = rows[len(rows) // 2]
    arrays = {Names.REFERENCE: reference, Names.MEANS: np.zeros(columns), Names.BASE: np.zeros(1)}
    about = About(tuple(schema.names), schema.target, "", 0.0)
    part = explainer_of(packed(Arrays(arrays, {METHOD: Ways.SINGLE})), about, model).part
    mixed = min(MOST_MIXED, max(MOST_MIXED_CELLS // columns, COMPARED_ROWS))
    seen = np.concatenate([rows, _mixed(rows)[:mixed]])
    predictions = model.predict(seen)
    changes, _ = part.explain(seen, predictions, np.inf)
    apart = np.abs(predictions - model.predict(reference[None, :])[0] - changes.sum(axis=1))
    if not np.nanmax(apart) <= TOLERANCE * np.nanmax(np.abs(predictions)):
        return None
    arrays[Names.MEANS] = changes[: len(rows)].mean(axis=0)
    arrays[Names.BASE] = predictions[: len(rows)].mean(keepdims=True)
    return arrays


def _paired(
    model: _Loaded, rows: NDArray[np.float64], schema: Schema
) -> dict[str, NDArray[np.float64]] | None:
    """Return the stored rows of a model in which no three columns act together, as mixed rows show; else None.

    What three do together is counted half too much: the shares then miss the prediction.
    """
    arrays = _stored(rows)
    most = MOST_PAIRED // (2 * arrays[Names.BACKGROUND].size)
    seen = _mixed(_evenly(rows, MOST_SEEN))[: min(PAIRED_ROWS, max(most, 4))]
    about = About(tuple(schema.names), schema.target, "", 0.0)
    part = explainer_of(packed(Arrays(arrays, {METHOD: Ways.PAIRS})), about, model).part
    for some in (seen[:2], seen[2:]):  # most of the others are told by the first two
        predictions = model.predict(some)
        shares, _ = part.explain(some, predictions, np.inf)
        apart = np.abs(predictions - part.base - shares.sum(axis=1))
        scale = np.max(np.abs(predictions), initial=abs(part.base))
        if not (apart <= TOLERANCE * scale).all():
            return None
    return arrays


def _stored(rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the few rows that stand in for what a coalition leaves open."""
    return {Names.BACKGROUND: _evenly(rows, BACKGROUND_ROWS[rows.shape[1] <= FEW_COLUMNS])}


def _mixed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows of the same values, each column's in an order of its own."""
    random = np.random.default_rng(0)
    return np.column_stack([random.permutation(column) for column in rows.T])


def _evenly(rows: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    return rows[spread_places(len(rows), most)]


def spread_places(rows: int, most: int) -> NDArray[np.int64]:
    """Return places spread evenly over so many rows; all of them where there are no more."""
    return np.linspace(0, rows - 1, min(most, rows)).round().astype(np.int64)
