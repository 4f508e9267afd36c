"""Which of the user's columns each column of a tensor depends on, read off the graph's own nodes.

Reasons are those of the user's columns: a tree's split on an imputed, scaled or calendar feature counts for the
column that the feature was made of. Where an operator is not known to work column by column, all that went in counts.
"""

from __future__ import annotations

from functools import reduce

import onnx
from onnx import numpy_helper

from training.compiling.graph import Graph, Tensor

Columns = list[frozenset[int]]
"""Of each column of a tensor; of one where the number of columns is not known."""

BY_COLUMN = frozenset(
    word
    for words in (
        "Abs Add And Cast Ceil Clip Cos Div Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less",
        "LessOrEqual Log Max Min Mod Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid Sign Sin Sqrt Sub Tanh",
        "Where",
    )
    for word in words.split()
)


class Dependence:
    """Of one graph's tensors."""

    def __init__(self, graph: Graph) -> None:
        self._makers = {output: node for node in graph.nodes for output in node.output}
        self._constants = {each.name: numpy_helper.to_array(each) for each in graph.constants}
        self._known: dict[str, Columns] = {
            graph.rows.name: [frozenset({column}) for column in range(graph.columns)]
        }

    def of(self, tensor: Tensor) -> Columns:
        """Return the columns behind each column of a tensor."""
        waiting = [tensor.name]
        while waiting:
            name = waiting[-1]
            node = self._makers.get(name)
            lacks = [] if node is None or name in self._known else self._lacking(node)
            if lacks:
                waiting += lacks
                continue
            waiting.pop()
            if name not in self._known:
                self._known[name] = self._made(node) if node else self._constant(name)
        return self._known[tensor.name]

    def _lacking(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in node.input if name and name not in self._known]

    def _constant(self, name: str) -> Columns:
        values = self._constants.get(name)
        return [frozenset()] * (values.shape[-1] if values is not None and values.ndim else 1)

    def _made(self, node: onnx.NodeProto) -> Columns:
        given = [self._known[name] for name in node.input if name]
        axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
        if node.op_type in BY_COLUMN:
            width = max(map(len, given))
            if all(len(each) in (1, width) for each in given):
                return [
                    frozenset().union(*(each[index if len(each) > 1 else 0] for each in given))
                    for index in range(width)
                ]
        if node.op_type == "Concat" and axis == 1:
            return [column for each in given for column in each]
        if node.op_type == "Gather" and axis == 1 and node.input[1] in self._constants:
            return [given[0][index] for index in self._constants[node.input[1]].reshape(-1).tolist()]
        every = reduce(frozenset.union, (column for each in given for column in each), frozenset[int]())
        if node.op_type == "Reshape" and node.input[1] in self._constants:
            width = int(self._constants[node.input[1]].reshape(-1)[-1])
            return given[0] if len(given[0]) == width else [every] * max(width, 1)
        return [every]
