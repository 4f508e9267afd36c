"""The bytes of an ONNX file -> nodes, constants, inputs and outputs; a field that no graph of ours has is refused.

A small reader of the protobuf wire format. It does not know what the nodes compute: see `shapes`.
Field numbers are those of onnx.proto (ONNX 1.23). A field that is not named here is refused, so that a later
ONNX cannot add a door unseen, and so is whatever protobuf would merge from two places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.scorer.errors import RefusedGraph

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

VERSIONS = {"": range(18, 26), "ai.onnx.ml": range(5, 6)}
"""The versions of the operators whose shapes are known here; Slipway writes 22 and 5."""

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
class Node:
    """One step: an operator, the names of what goes in and comes out, and its attributes."""

    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, NDArray[Any]] = field(default_factory=dict)

    def attribute(self, name: str) -> NDArray[Any]:
        """Return an integer, a list of integers or a tensor; an empty array where there is none."""
        return self.attributes.get(name, np.zeros(0, dtype=np.int64))


@dataclass
class ReadGraph:
    """What a file holds; inputs and outputs are float64 tensors, each with its name and shape."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    inputs: list[tuple[str, list[int | str]]] = field(default_factory=list)
    outputs: list[tuple[str, list[int | str]]] = field(default_factory=list)


def read_graph(content: bytes) -> ReadGraph:
    """Return the graph in these bytes; raises RefusedGraph."""
    try:
        return _model(content)
    except (IndexError, ValueError, OverflowError) as error:
        raise RefusedGraph(reason="it is no ONNX file") from error


def refuse(reason: str) -> RefusedGraph:
    """Return the error for a reason."""
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


def fields(content: bytes, known: str, message: str) -> Iterator[Field]:
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
            raise refuse(f"{message} has field {number}, which no graph of ours has")
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


def _model(content: bytes) -> ReadGraph:
    graphs: list[ReadGraph] = []
    domains: dict[str, int] = {}
    for number, _, value in fields(content, "1 2 3 4 5 6 7 8 14", "the model"):
        if number == 7:
            graphs.append(_graph(_bytes(value)))
        if number == 8:
            domain, version = _opset(_bytes(value))
            if domain in domains:
                raise refuse(f"it names the operator domain {domain!r} twice")
            domains[domain] = version
    if len(graphs) != 1 or not graphs[0].nodes:
        raise ValueError("no graph")
    if domains.keys() - OPERATORS.keys():
        raise refuse(f"it uses the operator domain {sorted(domains.keys() - OPERATORS.keys())[0]!r}")
    for domain, version in domains.items():
        if version not in VERSIONS[domain]:  # an older operator takes its axes otherwise
            raise refuse(f"it uses version {version} of the operators {domain or 'of ONNX'}")
    return graphs[0]


def _opset(content: bytes) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in fields(content, "1 2", "an operator set"):
        if number == 1:
            domain = _text(value)
        else:
            version = _number(value)
    return domain, version


def _graph(content: bytes) -> ReadGraph:
    graph = ReadGraph()
    for number, _, value in fields(content, "1 2 5 10 11 12", "the graph"):
        if number == 1:
            graph.nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, tensor = _tensor(_bytes(value))
            if name in graph.constants:
                raise refuse(f"tensor {name!r} is written twice")
            graph.constants[name] = tensor
        elif number == 11:
            graph.inputs.append(_value(_bytes(value)))
        elif number == 12:
            graph.outputs.append(_value(_bytes(value)))
        if len(graph.nodes) > MOST_NODES:
            raise refuse(f"it has more than {MOST_NODES} nodes")
    return graph


def _node(content: bytes) -> Node:
    node = Node()
    for number, _, value in fields(content, "1 2 3 4 5 7", "a node"):
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
        raise refuse(f"it uses the operator {named}")
    return node


def _attribute(content: bytes, node: Node) -> None:
    name = ""
    held: list[NDArray[np.generic]] = []
    content, run = _without_integers(content)
    for number, _, value in fields(content, "1 2 3 4 5 7 20", "an attribute"):
        if number == 1:
            name = _text(value)
        elif number == 3:
            held.append(np.array(_number(value), dtype=np.int64))
        elif number == 5:
            held.append(_tensor(_bytes(value))[1])
        elif number != 20:
            held.append(np.zeros(0))  # a fraction or a text, of which no shape depends
    if name in node.attributes or len(held) + bool(len(run)) > 1:
        raise refuse(f"attribute {name!r} is written twice")
    node.attributes[name] = held[0] if held else run


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
    for index in range(int((ends - starts).max(initial=0)) + 1):
        inside = starts + index <= ends
        part = (stream[starts[inside] + index] & 0x7F).astype(np.uint64)
        numbers[inside] |= part << np.uint64(min(7 * index, 63))
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
    for number, _, value in fields(content, "1 2 8 9 13 14", "a tensor"):
        if number in (13, 14):
            raise refuse("a tensor's data is kept in another file")
        if number == 1:
            sizes.append(_number(value))
        elif number == 2:
            kind = _number(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _bytes(value)
    if kind not in TYPES:
        raise refuse(f"tensor {name!r} has type {kind}")
    if min(sizes, default=1) < 0 or math.prod(sizes) * TYPES[kind].itemsize != len(raw):
        raise refuse(f"tensor {name!r} has {len(raw)} bytes, which do not fit its shape {sizes}")
    return name, np.frombuffer(raw, dtype=TYPES[kind]).reshape(sizes)


def _value(content: bytes) -> tuple[str, list[int | str]]:
    """Return the name and shape of an input or output, which must be a float64 tensor."""
    name, kind, shape = "", 0, b""
    seen: list[int] = []
    for number, _, value in fields(content, "1 2", "an input or output"):
        seen.append(number)
        if number == 1:
            name = _text(value)
            continue
        for _, _, tensor in fields(_bytes(value), "1", "a type"):
            for part, _, inner in fields(_bytes(tensor), "1 2", "a tensor type"):
                seen.append(10 + part)
                if part == 1:
                    kind = _number(inner)
                else:
                    shape = _bytes(inner)
    if len(seen) != len(set(seen)):  # protobuf would join the two
        raise refuse(f"{name!r} is described twice")
    if kind != DOUBLE:
        raise refuse(f"{name!r} has type {kind}, must be a float64 tensor")
    return name, [_size(_bytes(size)) for _, _, size in fields(shape, "1", "a shape")]


def _size(content: bytes) -> int | str:
    size: int | str = ""
    for number, _, value in fields(content, "1 2", "a dimension"):
        size = _number(value) if number == 1 else _text(value)
    return size
