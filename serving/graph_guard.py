"""Is this file nothing but arithmetic on its input? Answered before onnxruntime sees it.

A small reader of the protobuf wire format walks the model once and refuses whatever a graph of
ours does not hold: other operators and domains, functions, subgraphs, data kept in other files,
sparse or string tensors, sizes that do not fit their dimensions, trees with NaN thresholds or
with links that do not lead on. It does not prove that the predictions are sensible; the golden
rows do that.

Field numbers are those of onnx.proto (ONNX 1.23). A field that is not named here is refused,
so that a later ONNX cannot add a door unseen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import RefusedGraph

OPERATORS = {
    "": frozenset(
        """
        Abs Add And Cast CastLike Ceil Clip Concat Cos Div Equal Exp Expand Floor Gather GatherElements
        Gemm Greater GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual Log MatMul Max Min Mod Mul Neg
        Not Or Pow Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape
        Round Sigmoid Sign Sin Slice Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
        """.split()  # noqa: SIM905 - fifty lines of quotes otherwise
    ),
    "ai.onnx.ml": frozenset(["TreeEnsemble"]),
}
"""Every operator that a graph may use, by domain: none reads a file, loops, or draws a number."""

TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    11: np.dtype("<f8"),
}
"""TensorProto.DataType that a tensor may have."""

DOUBLE = 11
MOST_NODES = 100_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
INTS = 8 << 3 | VARINT

Field = tuple[int, int, int | bytes]


@dataclass
class _Node:
    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, NDArray[Any]] = field(default_factory=dict)

    def attribute(self, name: str) -> NDArray[Any]:
        """Return an integer, a list of integers or a tensor; an empty array where there is none."""
        return self.attributes.get(name, np.zeros(0, dtype=np.int64))


@dataclass
class _Graph:
    nodes: list[_Node] = field(default_factory=list)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    inputs: list[tuple[str, list[int | str]]] = field(default_factory=list)
    outputs: list[tuple[str, list[int | str]]] = field(default_factory=list)


def check_graph(content: bytes, *, columns: int) -> None:
    """Return if the model's bytes are safe to run on a matrix of this many columns; raises RefusedGraph."""
    try:
        graph = _model(content)
    except (IndexError, ValueError, OverflowError) as error:
        raise RefusedGraph(reason="it is no ONNX file") from error
    _check_shapes(graph, columns)
    widths = _Widths(graph, columns)
    for node in graph.nodes:
        if node.operator == "TreeEnsemble":
            _check_trees(node, widths.of(node.inputs[0]))


def _refuse(reason: str) -> RefusedGraph:
    return RefusedGraph(reason=reason)


# --- the wire format ---------------------------------------------------------------------------


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than ten bytes")


def _fields(content: bytes, known: str, message: str) -> Iterator[Field]:
    """Yield (number, wire type, value) of one message; refuse a field whose number is not among `known`."""
    allowed = {int(number) for number in known.split()}
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == VARINT:
            value, at = _varint(content, at)
        elif wire in (BYTES, FIXED64, FIXED32):
            size, at = _varint(content, at) if wire == BYTES else ((8 if wire == FIXED64 else 4), at)
            value = content[at : at + size]
            if len(value) != size:
                raise ValueError("the file ends inside a field")
            at += size
        else:
            raise ValueError("unknown wire type")
        if number not in allowed:
            raise _refuse(f"{message} has field {number}, which no graph of ours has")
        yield number, wire, value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes belong")  # noqa: TRY004 - the file is at fault
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number belongs")  # noqa: TRY004
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


# --- the messages ------------------------------------------------------------------------------


def _model(content: bytes) -> _Graph:
    graphs: list[_Graph] = []
    domains: dict[str, int] = {}
    for number, _, value in _fields(content, "1 2 3 4 5 6 7 8 14", "the model"):
        if number == 7:
            graphs.append(_graph(_bytes(value)))
        if number == 8:
            domain, version = _opset(_bytes(value))
            domains[domain] = version
    if len(graphs) != 1 or not graphs[0].nodes:
        raise ValueError("no graph")
    if domains.keys() - OPERATORS.keys():
        raise _refuse(f"it uses the operator domain {sorted(domains.keys() - OPERATORS.keys())[0]!r}")
    return graphs[0]


def _opset(content: bytes) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in _fields(content, "1 2", "an operator set"):
        if number == 1:
            domain = _text(value)
        else:
            version = _number(value)
    return domain, version


def _graph(content: bytes) -> _Graph:
    graph = _Graph()
    for number, _, value in _fields(content, "1 2 5 10 11 12", "the graph"):
        if number == 1:
            graph.nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, tensor = _tensor(_bytes(value))
            if name in graph.constants:
                raise _refuse(f"tensor {name!r} is written twice")
            graph.constants[name] = tensor
        elif number == 11:
            graph.inputs.append(_value(_bytes(value)))
        elif number == 12:
            graph.outputs.append(_value(_bytes(value)))
        if len(graph.nodes) > MOST_NODES:
            raise _refuse(f"it has more than {MOST_NODES} nodes")
    return graph


def _node(content: bytes) -> _Node:
    node = _Node()
    for number, _, value in _fields(content, "1 2 3 4 5 7", "a node"):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            node.operator = _text(value)
        elif number == 5:
            _attribute(_bytes(value), node)
        elif number == 7:
            node.domain = _text(value)
    if node.operator not in OPERATORS.get(node.domain, frozenset()):
        named = f"{node.domain}.{node.operator}" if node.domain else node.operator
        raise _refuse(f"it uses the operator {named}")
    return node


def _attribute(content: bytes, node: _Node) -> None:
    name = ""
    integer: int | None = None
    tensor: NDArray[np.generic] | None = None
    content, run = _without_integers(content)
    for number, _, value in _fields(content, "1 2 3 4 5 7 20", "an attribute"):
        if number == 1:
            name = _text(value)
        elif number == 3:
            integer = _number(value)
        elif number == 5:
            tensor = _tensor(_bytes(value))[1]
    if name in node.attributes:
        raise _refuse(f"attribute {name!r} is written twice")
    node.attributes[name] = tensor if tensor is not None else (run if integer is None else np.array(integer))


def _without_integers(content: bytes) -> tuple[bytes, NDArray[np.int64]]:
    """Split the run of `ints` (field 8) out of an attribute: a forest has millions, too many for a loop."""
    at = 0
    while at < len(content) and content[at] != INTS:
        at = _skip(content, at)
    stream = np.frombuffer(content, dtype=np.uint8, offset=min(at, len(content) - 1))
    last = np.flatnonzero(stream < 0x80)
    if at >= len(content) or not len(last):
        return content, np.zeros(0, dtype=np.int64)
    first = np.concatenate([[0], last[:-1] + 1])
    keys = (first[::2] == last[::2]) & (stream[first[::2]] == INTS)
    count = min(int(np.argmin(keys)) if not keys.all() else len(keys), len(last) // 2)
    starts, ends = first[1 : 2 * count : 2], last[1 : 2 * count : 2]
    numbers = np.zeros(count, dtype=np.uint64)
    for place in range(int((ends - starts).max(initial=0)) + 1):
        inside = starts + place <= ends
        part = (stream[starts[inside] + place] & 0x7F).astype(np.uint64)
        numbers[inside] |= part << np.uint64(min(7 * place, 63))
    rest = at + int(ends[-1]) + 1 if count else at
    return content[:at] + content[rest:], numbers.view(np.int64)


def _skip(content: bytes, at: int) -> int:
    """Return where the field at `at` ends."""
    key, at = _varint(content, at)
    if key & 7 == VARINT:
        return _varint(content, at)[1]
    size, at = _varint(content, at) if key & 7 == BYTES else (8 if key & 7 == FIXED64 else 4, at)
    return at + size


def _tensor(content: bytes) -> tuple[str, NDArray[np.generic]]:
    name, kind, raw = "", 0, b""
    sizes: list[int] = []
    for number, _, value in _fields(content, "1 2 8 9 13 14", "a tensor"):
        if number in (13, 14):
            raise _refuse("a tensor's data is kept in another file")
        if number == 1:
            sizes.append(_number(value))
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _bytes(value)
    if kind not in TYPES:
        raise _refuse(f"tensor {name!r} has type {kind}")
    if min(sizes, default=1) < 0 or math.prod(sizes) * TYPES[kind].itemsize != len(raw):
        raise _refuse(f"tensor {name!r} has {len(raw)} bytes, which do not fit its shape {sizes}")
    return name, np.frombuffer(raw, dtype=TYPES[kind]).reshape(sizes)


def _value(content: bytes) -> tuple[str, list[int | str]]:
    """Return the name and shape of an input or output, which must be a float64 tensor."""
    name, kind, shape = "", 0, b""
    for number, _, value in _fields(content, "1 2", "an input or output"):
        if number == 1:
            name = _text(value)
            continue
        for _, _, tensor in _fields(_bytes(value), "1", "a type"):
            for part, _, inner in _fields(_bytes(tensor), "1 2", "a tensor type"):
                if part == 1:
                    kind = _number(inner)
                else:
                    shape = _bytes(inner)
    if kind != DOUBLE:
        raise _refuse(f"{name!r} has type {kind}, must be a float64 tensor")
    return name, [_size(_bytes(size)) for _, _, size in _fields(shape, "1", "a shape")]


def _size(content: bytes) -> int | str:
    size: int | str = ""
    for number, _, value in _fields(content, "1 2", "a dimension"):
        size = _number(value) if number == 1 else _text(value)
    return size


# --- what the graph must be --------------------------------------------------------------------


def _check_shapes(graph: _Graph, columns: int) -> None:
    inputs = [(name, shape[1:]) for name, shape in graph.inputs]
    if inputs not in ([("rows", [columns])], [("rows", [columns]), ("scale_rows", [columns])]):
        raise _refuse(f"its inputs are {graph.inputs}, scorer.json has {columns} columns")
    if not graph.outputs or any(len(shape) != 1 for _, shape in graph.outputs):
        raise _refuse(f"its outputs are {graph.outputs}, each must be one number a row")
    if graph.outputs[0][0] != "prediction":
        raise _refuse(f"its first output is {graph.outputs[0][0]!r}, must be 'prediction'")


class _Widths:
    """How many columns a value has, where the operators before it make that certain."""

    def __init__(self, graph: _Graph, columns: int) -> None:
        self._constants = graph.constants
        self._made_by = {output: node for node in graph.nodes for output in node.outputs}
        self._known = {"rows": columns, "scale_rows": columns}

    def of(self, name: str) -> int:
        """Return the number of columns of a value of shape (n_rows, width); raises RefusedGraph."""
        if name not in self._known:
            self._known[name] = -1  # a value that is made from itself
            self._known[name] = self._found(name)
        if self._known[name] < 0:
            raise _refuse(f"the width of {name!r} is not certain")
        return self._known[name]

    def _found(self, name: str) -> int:
        node = self._made_by.get(name, _Node())
        if node.operator == "Cast":
            return self.of(node.inputs[0])
        if node.operator == "Concat" and node.attribute("axis") == 1:
            return sum(self.of(part) for part in node.inputs)
        if node.operator == "Gather" and node.attribute("axis") == 1:
            chosen = self._constants.get(node.inputs[1], np.zeros((0, 0)))
            return len(chosen) if chosen.ndim == 1 else -1
        if node.operator == "Reshape":
            shape = self._constants.get(node.inputs[1], np.zeros(0)).tolist()
            return int(shape[1]) if len(shape) == 2 and shape[0] == -1 else -1
        return -1


def _check_trees(node: _Node, width: int) -> None:
    """Refuse thresholds that are NaN, features beyond the input, and links that do not lead on."""
    features, splits, weights = (
        node.attribute(n) for n in ("nodes_featureids", "nodes_splits", "leaf_weights")
    )
    nodes, leaves = len(features), weights.size
    if splits.dtype != np.float64 or np.isnan(splits).any():
        raise _refuse("a tree's threshold is NaN or no float64")
    if weights.dtype != np.float64 or np.isnan(weights).any():
        raise _refuse("a tree's leaf is NaN or no float64")
    if not nodes or not leaves or splits.shape != (nodes,) or node.attribute("nodes_modes").shape != (nodes,):
        raise _refuse("a tree's nodes and thresholds do not fit")
    if features.min() < 0 or features.max() >= width:
        raise _refuse(f"a tree looks at column {int(features.max())} of {width}")
    for side in ("true", "false"):
        _check_links(
            node.attribute(f"nodes_{side}nodeids"), node.attribute(f"nodes_{side}leafs"), nodes, leaves
        )
    roots, targets = node.attribute("tree_roots"), node.attribute("leaf_targetids")
    if not roots.size or roots.min() < 0 or roots.max() >= nodes:
        raise _refuse("a tree's root is nowhere")
    if targets.shape != (leaves,) or targets.any() or node.attribute("n_targets") != 1:
        raise _refuse("its trees predict more than one number")


def _check_links(links: NDArray[Any], ends: NDArray[Any], nodes: int, leaves: int) -> None:
    if links.shape != (nodes,) or ends.shape != (nodes,):
        raise _refuse("a tree's nodes and links do not fit")
    lowest, highest = np.where(ends == 1, 0, np.arange(nodes) + 1), np.where(ends == 1, leaves, nodes)
    if (links < lowest).any() or (links >= highest).any():
        raise _refuse("a tree's link leads back or nowhere")
