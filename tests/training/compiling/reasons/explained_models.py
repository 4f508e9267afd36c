"""Models with what explains them, as the server has it, and what a tree gives of a coalition by definition."""

from __future__ import annotations

import itertools

import numpy as np

from data.schema import Column, Schema
from serving.scorer import Session
from serving.scorer.graph_checks import check_graph
from serving.scorer.reasons import About, explainer_of
from tests.training.compiling.pipelines import table
from training.compiling import pack_frame
from training.compiling.compiler import Draft
from training.compiling.reasons.reason_file import explained, sum_of

FRAME, TARGET, SCHEMA = table(160)

MATRIX = pack_frame(FRAME, SCHEMA)


class Loaded:
    """A compiled graph, and how the scorer loads the one beside it."""

    def __init__(self, graph, columns):
        self.predict, self._columns = Session(graph).predict, columns

    def features(self, graph, width):
        check_graph(graph, columns=self._columns, width=width)
        return Session(graph).predict


def explainer(pipeline, frame=FRAME, target=TARGET, schema=SCHEMA):
    """Fit, compile, and return what explains the predictions as the server has it."""
    graph, content = written(pipeline, frame, target, schema)
    about = About(tuple(schema.names), "y", "", float(np.std(target)))
    return explainer_of(content, about, Loaded(graph, len(schema.columns)))


def written(pipeline, frame, target, schema):
    """Fit and compile; return the graph, and the file that explains it. The parity of the two has tests of its own."""
    draft = Draft.of(pipeline.fit(frame, target), schema)
    graph = draft.written()
    return graph, explained(graph, pack_frame(frame, schema), schema, sum_of(pipeline, draft.graph))


def worth(tree, row, behind, coalition, node=0):
    """What a tree gives where only a coalition's columns are known: at other splits the mean, by the training rows."""
    left, right = tree.children_left[node], tree.children_right[node]
    if left == -1:
        return tree.value[node, 0, 0]
    if behind[tree.feature[node]] in coalition:
        value = row[tree.feature[node]]
        goes_left = tree.missing_go_to_left[node] if np.isnan(value) else value <= tree.threshold[node]
        return worth(tree, row, behind, coalition, left if goes_left else right)
    weights = tree.weighted_n_node_samples[[left, right]] / tree.weighted_n_node_samples[node]
    both = [worth(tree, row, behind, coalition, child) for child in (left, right)]
    return float(weights @ both)


def plain(columns):
    """A schema of numbers."""
    described = [
        Column(f"x{place}", "number", minimum=-9.0, maximum=9.0, quantiles=(0.0,) * 7)
        for place in range(columns)
    ]
    return Schema(tuple(described), target="y")


def hard_rows():
    """Rows with unseen categories, gaps everywhere, and numbers beyond the training's."""
    rows = np.resize(MATRIX, (40, MATRIX.shape[1])).copy()
    for column, value in itertools.product(range(rows.shape[1]), (np.nan, -1.0, 1e9)):
        rows[(3 * column + int(value == -1.0)) % 40, column] = value
    return rows
