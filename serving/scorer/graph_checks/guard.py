"""Is this file nothing but arithmetic on its input, each row for itself? Answered before onnxruntime sees it.

The file is read once (`reader`) and refused where it holds what no graph of ours does: other
operators and domains, functions, subgraphs, data kept in other files, sparse or string tensors. Then every
value's shape is worked out (`shapes`): a graph that looks across rows, makes something large or
takes long is refused, and so are trees with NaN thresholds or with links that do not lead on. It does not
prove that the predictions are sensible; the golden rows do that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.scorer.graph_checks.reader import Node, ReadGraph, read_graph, refuse
from serving.scorer.graph_checks.shapes import (
    ATTRIBUTES,
    FLOAT64,
    ROWS,
    RULES,
    SCALE_ROWS,
    NodeCall,
    Value,
    size_of,
    split_shapes,
)

PREDICTION, SCALE = "prediction", "scale"
MEMBER = 6
"""The mode of a node that looks for a value in a set."""


MOST_VALUES = 2**20
"""Numbers in one value for each row. A support vector machine has one for each of its vectors."""

MOST_CONSTANT_VALUES = 2**24
"""The same for a value that is the same for all rows, beyond what the file itself holds."""

MOST_WORK = 2**31
"""Multiplications and additions for one row, about a second: a network of 20,000 by 20,000 takes a fifth of it."""


def check_graph(content: bytes, *, columns: int, width: int = 0) -> int:
    """Return how many numbers its widest value holds for a row; raises RefusedGraph where it is not safe to run.

    It runs on a matrix of this many columns, and must give a number for each row, or `width` of them where that is not
    0.
    """
    graph = read_graph(content)
    _check_ends(graph, columns, width)
    try:
        values = followed(graph, columns)
    except (IndexError, ValueError, OverflowError) as error:
        raise refuse("its shapes cannot be told") from error
    _check_outputs(graph, values, width)
    for node in graph.nodes:
        if node.operator == "TreeEnsemble":
            _check_trees(node, int(values[node.inputs[0]].shape[1]))
    of_rows = (value.shape for value in values.values() if {ROWS, SCALE_ROWS}.intersection(value.shape))
    return max(map(size_of, of_rows))


def _check_ends(graph: ReadGraph, columns: int, width: int) -> None:
    inputs = [(name, shape[1:]) for name, shape in graph.inputs]
    if inputs not in ([(ROWS, [columns])], [(ROWS, [columns]), (SCALE_ROWS, [columns])]):
        raise refuse(f"its inputs are {graph.inputs}, scorer.json has {columns} columns")
    if not graph.outputs or any(len(shape) != 1 + bool(width) for _, shape in graph.outputs):
        raise refuse(f"its outputs are {graph.outputs}, each must be one number a row")
    if graph.outputs[0][0] != PREDICTION:
        raise refuse(f"its first output is {graph.outputs[0][0]!r}, must be 'prediction'")


def _check_outputs(graph: ReadGraph, values: dict[str, Value], width: int) -> None:
    """Refuse outputs but the prediction of each row, and a scale of each row of the scales' input."""
    expected = {PREDICTION: ROWS, SCALE: SCALE_ROWS}
    for name, _ in graph.outputs:
        rows = expected.get(name)
        if rows is None or values.get(name) != Value(FLOAT64, (rows, width) if width else (rows,)):
            raise refuse(f"its output {name!r} is not {width or 'one'} float64 number for each row")


def followed(graph: ReadGraph, columns: int) -> dict[str, Value]:
    """Return every value of the graph by name; raises RefusedGraph where rows mix or a size is too large."""
    known = {name: Value(values.dtype, values.shape) for name, values in graph.constants.items()}
    inputs = {name: Value(FLOAT64, (name, columns)) for name, _ in graph.inputs}
    constants = {name: values for name, values in graph.constants.items() if name not in inputs}
    known |= inputs
    work = 0
    for node in graph.nodes:
        made, cost = _made(node, known, constants)
        work += cost
        if work > MOST_WORK:
            raise refuse(f"it takes more than {MOST_WORK:,} steps for each row")
        for name, value in made.items():
            if name in known:
                raise refuse(f"value {name!r} is made twice")
            known[name] = value
    return known


def _made(
    node: Node, known: dict[str, Value], constants: dict[str, NDArray[np.generic]]
) -> tuple[dict[str, Value], int]:
    """Return what a node gives, and how many steps that takes for one row."""
    if unknown := node.attributes.keys() - ATTRIBUTES.get(node.operator, frozenset()):
        raise refuse(f"{node.operator} has the attribute {min(unknown)!r}")
    lacks = [name for name in node.inputs if name and name not in known]
    if lacks:
        raise refuse(f"value {lacks[0]!r} is used before it is made")
    call = NodeCall(node, tuple(known[name] for name in node.inputs if name), constants)
    made = split_shapes(call) if node.operator == "Split" else [RULES[node.operator](call)]
    if len(made) != len(node.outputs):
        raise refuse(f"{node.operator} has {len(node.outputs)} outputs, must have {len(made)}")
    for value in made:
        _check_size(node, value)
    widest = max(size_of(value.shape) for value in (*call.inputs, *made))
    return dict(zip(node.outputs, made, strict=True)), widest * _depth(call)


def _check_size(node: Node, value: Value) -> None:
    named = sum(isinstance(size, str) for size in value.shape)
    if named > 1:
        raise refuse(f"{node.operator} sets rows against rows")
    most = MOST_VALUES if named else MOST_CONSTANT_VALUES
    if size_of(value.shape) > most:
        raise refuse(f"{node.operator} makes {size_of(value.shape):,} numbers, at most {most:,} are allowed")


def _depth(call: NodeCall) -> int:
    """Return how many products are added up for each number of the result."""
    if call.node.operator not in ("MatMul", "Gemm"):
        return 1
    inner = call.value(0).shape[-1]
    return inner if isinstance(inner, int) else 1


def _check_trees(node: Node, width: int) -> None:
    """Refuse thresholds that are NaN, features beyond the input, and links that do not lead on."""
    features, splits, weights = (
        node.attribute(n) for n in ("nodes_featureids", "nodes_splits", "leaf_weights")
    )
    nodes, leaves = len(features), weights.size
    if splits.dtype != np.float64 or np.isnan(splits).any():
        raise refuse("a tree's threshold is NaN or no float64")
    if weights.dtype != np.float64 or np.isnan(weights).any():
        raise refuse("a tree's leaf is NaN or no float64")
    if not nodes or not leaves or splits.shape != (nodes,) or node.attribute("nodes_modes").shape != (nodes,):
        raise refuse("a tree's nodes and thresholds do not fit")
    if features.min() < 0 or features.max() >= width:
        raise refuse(f"a tree looks at column {int(features.max())} of {width}")
    _check_members(node, nodes)
    for side in ("true", "false"):
        _check_links(
            node.attribute(f"nodes_{side}nodeids"), node.attribute(f"nodes_{side}leafs"), nodes, leaves
        )
    roots, targets = node.attribute("tree_roots"), node.attribute("leaf_targetids")
    if not roots.size or roots.min() < 0 or roots.max() >= nodes:
        raise refuse("a tree's root is nowhere")
    if targets.shape != (leaves,) or targets.any() or node.attribute("n_targets") != 1:
        raise refuse("its trees predict more than one number")


def _check_members(node: Node, nodes: int) -> None:
    """Refuse sets of members that do not end where their nodes do: onnxruntime reads on to the next NaN."""
    modes, members = node.attribute("nodes_modes"), node.attribute("membership_values")
    tracks = node.attribute("nodes_missing_value_tracks_true")
    if modes.dtype != np.uint8 or modes.max() > MEMBER or tracks.shape not in ((0,), (nodes,)):
        raise refuse("a tree's nodes and tests do not fit")
    sets = int((modes == MEMBER).sum())
    ends = np.isnan(members) if members.dtype == np.float64 else np.zeros(0, dtype=np.bool_)
    if ends.sum() != sets or (sets and not ends[-1]):
        raise refuse("a tree's sets do not fit its nodes")


def _check_links(links: NDArray[Any], ends: NDArray[Any], nodes: int, leaves: int) -> None:
    if links.shape != (nodes,) or ends.shape != (nodes,):
        raise refuse("a tree's nodes and links do not fit")
    lowest, highest = np.where(ends == 1, 0, np.arange(nodes) + 1), np.where(ends == 1, leaves, nodes)
    if (links < lowest).any() or (links >= highest).any():
        raise refuse("a tree's link leads back or nowhere")
