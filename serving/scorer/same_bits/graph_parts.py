"""A graph rewritten in its bytes: sums whose order is the same in every row, and parts that lead to some values.

onnxruntime (1.32) adds an odd number of cells two by two, from the first cell on in every second row and from the
second one on in the others. Here each row stands twice where its cells are added, and the first sum counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.scorer.graph_checks import Node, ReadGraph, fields, followed, read_graph

SUMS = ("ReduceSum", "ReduceMean")
"""What adds the cells of a row in an order of its own; ReduceSumSquare and products do not."""

NODE, CONSTANT, INPUT, OUTPUT, GRAPH = 1, 5, 11, 12, 7
INT64, DOUBLE, A_NUMBER = 7, 11, 2


@dataclass(frozen=True)
class Pieces:
    """A graph as it was read, and the bytes of each of its pieces; of the model, those of all but the graph."""

    read: ReadGraph
    shapes: Mapping[str, Sequence[int | str]]
    model: bytes
    nodes: tuple[bytes, ...]
    constants: Mapping[str, bytes]
    ends: Mapping[str, bytes]

    @classmethod
    def of(cls, content: bytes) -> Pieces:
        """Take a graph apart that was checked before."""
        read, model = read_graph(content), b""
        inside: dict[int, list[bytes]] = {NODE: [], CONSTANT: [], INPUT: [], OUTPUT: []}
        for number, _, value in fields(content, "1 2 3 4 5 6 7 8 14", "the model"):
            if number != GRAPH or isinstance(value, int):
                model += _field(number, value)
                continue
            for part, _, held in fields(value, "1 2 5 10 11 12", "the graph"):
                inside.setdefault(part, []).append(_field(part, held))
        names = [name for name, _ in (*read.inputs, *read.outputs)]
        return cls(
            read,
            {name: value.shape for name, value in followed(read, int(read.inputs[0][1][1])).items()},
            model,
            tuple(inside[NODE]),
            dict(zip(read.constants, inside[CONSTANT], strict=True)),
            dict(zip(names, inside[INPUT] + inside[OUTPUT], strict=True)),
        )

    @property
    def outputs(self) -> list[str]:
        """The names of the whole graph's outputs."""
        return [name for name, _ in self.read.outputs]

    def part(self, outputs: Iterable[str], given: Mapping[str, int]) -> tuple[bytes, tuple[str, ...]]:
        """Return the graph that gives some values of the rows, and of given values, and the names of its inputs.

        Parameters
        ----------
        given : mapping of name to int
            Values of shape (n_rows, this many columns) that are not worked out but come in.
        """
        outputs = list(outputs)
        nodes, names = self._needed(outputs, given)
        inputs = [name for name, _ in self.read.inputs if name in names]
        more = [name for name in given if name in names]
        held = [content for name, content in self.constants.items() if name in names]
        held += [self.ends[name] for name in inputs] + [_value(INPUT, name, given[name]) for name in more]
        held += [self.ends[name] if name in self.ends else _value(OUTPUT, name) for name in outputs]
        for index in nodes:
            node = self.read.nodes[index]
            held += self._twice(node) if self._is_uneven(node) else [self.nodes[index]]
        graph = _field(2, "part") + b"".join(held)
        return self.model + _field(GRAPH, graph), (*inputs, *more)

    def trees(self, outputs: Iterable[str]) -> list[Node]:
        """Return the ensembles that lead to some values."""
        nodes = (self.read.nodes[index] for index in self._needed(outputs, ())[0])
        return [node for node in nodes if node.operator == "TreeEnsemble"]

    def _needed(self, outputs: Iterable[str], given: Iterable[str]) -> tuple[list[int], set[str]]:
        """Return which nodes lead to some values, in order, and the names of all that they take and give."""
        names, nodes = set(outputs), []
        for index in reversed(range(len(self.nodes))):
            node = self.read.nodes[index]
            if names.intersection(node.outputs).difference(given):
                nodes.append(index)
                names.update(node.inputs)
        return nodes[::-1], names

    def _is_uneven(self, node: Node) -> bool:
        """Whether a node adds an odd number of a row's cells, or may."""
        if node.operator not in SUMS or len(node.inputs) < 2:
            return False
        *sizes, last = self.shapes[node.inputs[0]]
        if not sizes or not isinstance(sizes[0], str):
            return False
        axes = self.read.constants[node.inputs[1]] % (len(sizes) + 1)
        return axes.tolist() != [len(sizes)] or not isinstance(last, int) or last % 2 == 1

    def _twice(self, node: Node) -> list[bytes]:
        """Return a sum over cells in which each row stands twice."""
        (values, axes), (output,) = node.inputs, node.outputs
        axis = self.read.constants[axes].astype(np.int64)
        name, keeps = f"{output}, twice", int(node.attributes.get("keepdims", np.array(1)))
        return [
            _constant(f"{name}: place", np.array([1])),
            _constant(f"{name}: axes", np.where(axis < 0, axis, axis + 1)),
            _constant(f"{name}: first", np.array(0)),
            _node("Unsqueeze", [values, f"{name}: place"], f"{name}: one"),
            _node("Concat", [f"{name}: one"] * 2, f"{name}: rows", axis=1),
            _node(node.operator, [f"{name}: rows", f"{name}: axes"], name, keepdims=keeps),
            _node("Gather", [name, f"{name}: first"], output, axis=1),
        ]


def steady(content: bytes) -> bytes:
    """Return a whole graph that adds each row's cells in one order."""
    pieces = Pieces.of(content)
    return pieces.part(pieces.outputs, {})[0]


# --- the wire format ---------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    number &= 2**64 - 1
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _value(number: int, name: str, width: int | None = None) -> bytes:
    """Return an input or output of float64, its second dimension where it is known."""
    sizes = b"" if width is None else _field(1, _field(2, "n")) + _field(1, _field(1, width))
    shape = b"" if width is None else _field(2, sizes)
    return _field(number, _field(1, name) + _field(2, _field(1, _field(1, DOUBLE) + shape)))


def _constant(name: str, values: NDArray[Any]) -> bytes:
    sizes = b"".join(_field(1, size) for size in values.shape)
    return _field(
        CONSTANT, sizes + _field(2, INT64) + _field(8, name) + _field(9, values.astype("<i8").tobytes())
    )


def _node(operator: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    held = [_field(1, name) for name in inputs] + [_field(2, output), _field(4, operator)]
    held += [
        _field(5, _field(1, name) + _field(3, value) + _field(20, A_NUMBER))
        for name, value in attributes.items()
    ]
    return _field(NODE, b"".join(held))
