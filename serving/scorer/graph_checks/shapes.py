"""What type and shape does an operator give, and does it mix rows? One rule for each, nothing is run.

One dimension, the rows', is known by name and not by size: an operator that would add up, pick or join along it
is refused, so no row can see another one. All other sizes are numbers. What cannot be told is refused: a shape
that is computed, an operator's attribute that no graph of ours has. `guard` walks the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.scorer.graph_checks.reader import TYPES, Node, refuse

ROWS, SCALE_ROWS = "rows", "scale_rows"
FLOAT64, FLOAT32, INT64, BOOLEAN = np.dtype("<f8"), np.dtype("<f4"), np.dtype("<i8"), np.dtype("?")

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Value:
    """A value's type, and its shape with a name in the place of the number of rows."""

    kind: np.dtype[Any]
    shape: Shape


@dataclass(frozen=True)
class NodeCall:
    """One node with the values that go in."""

    node: Node
    inputs: tuple[Value, ...]
    constants: dict[str, NDArray[np.generic]]

    def value(self, index: int) -> Value:
        """Return an input; raises RefusedGraph where it lacks."""
        if index >= len(self.inputs):
            raise refuse(f"{self.node.operator} lacks an input")
        return self.inputs[index]

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is one whole number."""
        value = self.node.attributes.get(name)
        if value is not None and (value.ndim or value.dtype != INT64):
            raise refuse(f"{self.node.operator} has no number in {name!r}")
        return default if value is None else int(value)

    def flag(self, name: str, default: int) -> bool:
        """Return an attribute that is 0 or 1; onnxruntime reads any other number in its own way."""
        value = self.integer(name, default)
        if value not in (0, 1):
            raise refuse(f"{self.node.operator} has {name} {value}")
        return value == 1

    def numbers(self, index: int) -> list[int]:
        """Return the whole numbers of an input that must stand in the file; raises RefusedGraph."""
        name = self.node.inputs[index] if index < len(self.node.inputs) else ""
        array = self.constants.get(name)
        if array is None or array.dtype != INT64 or array.ndim > 1 or array.size > 16:
            raise refuse(f"{self.node.operator} takes a shape or axes that do not stand in the file")
        return [int(number) for number in array.ravel()]

    def has(self, index: int) -> bool:
        """Return whether an optional input is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""


Rule = Callable[[NodeCall], Value]


def size_of(shape: Sequence[int | str]) -> int:
    """Return how many numbers a shape holds for one row."""
    return math.prod(size for size in shape if isinstance(size, int))


def _mixed(call: NodeCall) -> Exception:
    return refuse(f"{call.node.operator} looks across rows, so one client's rows could move another's answer")


# --- one rule for each operator ----------------------------------------------------------------


def _same(call: NodeCall) -> Value:
    return call.value(0)


def _boolean(call: NodeCall) -> Value:
    return Value(BOOLEAN, _broadcast(call, [value.shape for value in call.inputs]))


def _arithmetic(call: NodeCall) -> Value:
    if any(value.kind != call.value(0).kind for value in call.inputs):
        raise refuse(f"{call.node.operator} takes values of two types")
    return Value(call.value(0).kind, _broadcast(call, [value.shape for value in call.inputs]))


def _float_arithmetic(call: NodeCall) -> Value:
    """Whole numbers are left out: one divided by zero, or the smallest by -1, ends the process."""
    if any(value.kind not in (FLOAT64, FLOAT32) for value in call.inputs):
        raise refuse(f"{call.node.operator} is used on whole numbers")
    return _arithmetic(call)


def _clip(call: NodeCall) -> Value:
    if any(size_of(value.shape) != 1 for value in call.inputs[1:]):
        raise refuse("Clip has bounds that are no single numbers")
    return _arithmetic(NodeCall(call.node, call.inputs[:1], call.constants))


def _where(call: NodeCall) -> Value:
    if call.value(0).kind != BOOLEAN or call.value(1).kind != call.value(2).kind:
        raise refuse("Where takes values of two types")
    return Value(call.value(1).kind, _broadcast(call, [value.shape for value in call.inputs]))


def _broadcast(call: NodeCall, shapes: Sequence[Shape]) -> Shape:
    if not shapes:
        raise refuse(f"{call.node.operator} lacks an input")
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_joined(call, sizes) for sizes in zip(*padded, strict=True))


def _joined(call: NodeCall, sizes: Sequence[int | str]) -> int | str:
    larger = {size for size in sizes if size != 1}
    if len(larger) > 1:
        raise refuse(f"{call.node.operator} takes values whose shapes do not fit")
    return larger.pop() if larger else 1


def _cast(call: NodeCall) -> Value:
    if call.integer("to", 0) not in TYPES:
        raise refuse("Cast makes a type that no graph of ours has")
    return Value(TYPES[call.integer("to", 0)], call.value(0).shape)


def _cast_like(call: NodeCall) -> Value:
    return Value(call.value(1).kind, call.value(0).shape)


def _axis(call: NodeCall, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise refuse(f"{call.node.operator} has an axis beyond its input")
    return axis % rank


def _inner_axis(call: NodeCall, axis: int, shape: Shape) -> int:
    """Return an axis counted from the front; raises RefusedGraph where it is the rows'."""
    axis = _axis(call, axis, len(shape))
    if isinstance(shape[axis], str):
        raise _mixed(call)
    return axis


def _concat(call: NodeCall) -> Value:
    first = call.value(0)
    axis = _inner_axis(call, call.integer("axis", 0), first.shape)
    others = [value.shape[:axis] + value.shape[axis + 1 :] for value in call.inputs]
    alike = all((value.kind, len(value.shape)) == (first.kind, len(first.shape)) for value in call.inputs)
    if not alike or any(each != others[0] for each in others):
        raise refuse("Concat takes values whose shapes or types do not fit")
    parts = [value.shape[axis] for value in call.inputs]
    if any(isinstance(part, str) for part in parts):
        raise _mixed(call)
    return Value(first.kind, (*first.shape[:axis], size_sum(parts), *first.shape[axis + 1 :]))


def size_sum(parts: Sequence[int | str]) -> int:
    """Add up sizes that are all numbers."""
    return sum(part for part in parts if isinstance(part, int))


def split_shapes(call: NodeCall) -> list[Value]:
    """Return what Split gives, the only operator with more than one result."""
    value = call.value(0)
    axis = _inner_axis(call, call.integer("axis", 0), value.shape)
    sizes = call.numbers(1)
    if sum(sizes) != value.shape[axis] or min(sizes, default=-1) < 0:
        raise refuse("Split has parts that do not fit its input")
    return [Value(value.kind, (*value.shape[:axis], size, *value.shape[axis + 1 :])) for size in sizes]


def _gather(call: NodeCall) -> Value:
    """Look up in a table by row, or pick columns."""
    table, indices = call.value(0), call.value(1)
    axis = _inner_axis(call, call.integer("axis", 0), table.shape)
    if indices.kind != INT64:
        raise refuse("Gather has indices that are no whole numbers")
    return Value(table.kind, table.shape[:axis] + indices.shape + table.shape[axis + 1 :])


def _gather_elements(call: NodeCall) -> Value:
    table, indices = call.value(0), call.value(1)
    axis = _inner_axis(call, call.integer("axis", 0), table.shape)
    fits = len(table.shape) == len(indices.shape) and indices.kind == INT64
    if not fits or any(
        index != axis and size != length
        for index, (size, length) in enumerate(zip(table.shape, indices.shape, strict=True))
    ):
        raise refuse("GatherElements has indices that do not fit its table")
    return Value(table.kind, indices.shape)


def _reduce(call: NodeCall) -> Value:
    value = call.value(0)
    if value.kind not in (FLOAT64, FLOAT32):
        raise refuse(f"{call.node.operator} is used on whole numbers")
    asked = call.numbers(1) if call.has(1) else []
    axes = {_inner_axis(call, axis, value.shape) for axis in asked}
    if len(axes) != len(asked):
        raise refuse(f"{call.node.operator} names an axis twice")
    if not axes:  # all of them, unless another attribute says none
        axes = {_inner_axis(call, axis, value.shape) for axis in range(len(value.shape))}
    if any(value.shape[axis] == 0 for axis in axes):
        raise refuse(f"{call.node.operator} adds up nothing")
    keeps = call.flag("keepdims", 1)
    shape = tuple(
        1 if axis in axes else size for axis, size in enumerate(value.shape) if keeps or axis not in axes
    )
    return Value(value.kind, shape)


def _matmul(call: NodeCall) -> Value:
    left, right = call.value(0), call.value(1)
    if len(left.shape) < 2 or len(right.shape) < 2:
        raise refuse("MatMul takes a value that is no matrix")
    return _product(call, left, right.shape)


def _product(call: NodeCall, left: Value, right: Shape) -> Value:
    if isinstance(left.shape[-1], str) or isinstance(right[-1], str) or isinstance(right[-2], str):
        raise _mixed(call)
    if left.kind != call.value(1).kind or left.kind not in (FLOAT64, FLOAT32) or left.shape[-1] != right[-2]:
        raise refuse(f"{call.node.operator} takes values whose shapes or types do not fit")
    batch = _broadcast(call, [left.shape[:-2], right[:-2]])
    return Value(left.kind, (*batch, left.shape[-2], right[-1]))


def _gemm(call: NodeCall) -> Value:
    left, right = call.value(0), call.value(1).shape
    if len(left.shape) != 2 or len(right) != 2 or call.flag("transA", 0):
        raise refuse("Gemm takes a value that is no matrix, or a transposed one")
    made = _product(call, left, right[::-1] if call.flag("transB", 0) else right)
    if len(call.inputs) > 2 and (
        _broadcast(call, [made.shape, call.value(2).shape]) != made.shape or call.value(2).kind != made.kind
    ):
        raise refuse("Gemm adds a value that does not fit")
    return made


def _reshape(call: NodeCall) -> Value:
    """Shapes stand in the file. With rows, -1 stands for them, and each row keeps all of its own numbers."""
    value, asked = call.value(0), call.numbers(1)
    if min(asked, default=1) < -1 or asked.count(-1) > 1 or 0 in asked:
        raise refuse("Reshape has sizes that are no sizes")
    index = asked.index(-1) if -1 in asked else None
    named = [axis for axis, size in enumerate(value.shape) if isinstance(size, str)]
    total = size_of(value.shape)
    others = math.prod(size for size in asked if size != -1)
    if not named:
        return Value(value.kind, _filled(asked, index, total, others))
    before = size_of(value.shape[: named[0]]), math.prod(asked[:index]) if index is not None else 0
    if index is None or before != (1, 1) or total != others:
        raise _mixed(call)
    return Value(value.kind, (*asked[:index], value.shape[named[0]], *asked[index + 1 :]))


def _filled(asked: list[int], index: int | None, total: int, others: int) -> Shape:
    if others == 0 or total % others or (index is None and total != others):
        raise refuse("Reshape makes another number of values")
    return tuple(total // others if at == index else size for at, size in enumerate(asked))


def _expand(call: NodeCall) -> Value:
    asked = call.numbers(1)
    if min(asked, default=1) < 1:
        raise refuse("Expand has sizes that are no sizes")
    return Value(call.value(0).kind, _broadcast(call, [call.value(0).shape, tuple(asked)]))


def _squeeze(call: NodeCall) -> Value:
    shape = call.value(0).shape
    axes = {_inner_axis(call, axis, shape) for axis in call.numbers(1)}
    if not axes or len(axes) != len(call.numbers(1)) or any(shape[axis] != 1 for axis in axes):
        raise refuse("Squeeze drops an axis that is not of one")
    return Value(call.value(0).kind, tuple(size for axis, size in enumerate(shape) if axis not in axes))


def _unsqueeze(call: NodeCall) -> Value:
    value, asked = call.value(0), call.numbers(1)
    rank = len(value.shape) + len(asked)
    axes = {_axis(call, axis, rank) for axis in asked}
    if len(axes) != len(asked):
        raise refuse("Unsqueeze names an axis twice")
    sizes = iter(value.shape)
    return Value(value.kind, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))


def _transpose(call: NodeCall) -> Value:
    value = call.value(0)
    asked = call.node.attribute("perm").ravel().tolist() or list(range(len(value.shape)))[::-1]
    if sorted(asked) != list(range(len(value.shape))):
        raise refuse("Transpose has axes that are none")
    return Value(value.kind, tuple(value.shape[axis] for axis in asked))


def _slice(call: NodeCall) -> Value:
    value = call.value(0)
    starts, ends = call.numbers(1), call.numbers(2)
    axes = call.numbers(3) if call.has(3) else list(range(len(starts)))
    steps = call.numbers(4) if call.has(4) else [1] * len(starts)
    positions = [_inner_axis(call, axis, value.shape) for axis in axes]
    if (
        not len(starts) == len(ends) == len(axes) == len(steps)
        or 0 in steps
        or len(set(positions)) < len(axes)
    ):
        raise refuse("Slice has bounds that do not fit")
    shape = list(value.shape)
    for start, end, position, step in zip(starts, ends, positions, steps, strict=True):
        shape[position] = len(range(*slice(start, end, step).indices(size_of([shape[position]]))))
    return Value(value.kind, tuple(shape))


def _trees(call: NodeCall) -> Value:
    value = call.value(0)
    if value.kind != FLOAT64 or len(value.shape) != 2 or not isinstance(value.shape[0], str):
        raise refuse("a tree looks at a value that is no matrix of rows")
    return Value(FLOAT64, (value.shape[0], 1))


_BY_RULE: tuple[tuple[Rule, str], ...] = (
    (_same, "Abs Ceil Cos Exp Floor Identity Log Neg Reciprocal Relu Round Sigmoid Sign Sin Sqrt Tanh"),
    (_boolean, "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or"),
    (_arithmetic, "Add Max Min Mul Sub Sum"),
    (_float_arithmetic, "Div Mod Pow"),
    (_reduce, "ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare"),
    (_cast, "Cast"),
    (_cast_like, "CastLike"),
    (_clip, "Clip"),
    (_concat, "Concat"),
    (_expand, "Expand"),
    (_gather, "Gather"),
    (_gather_elements, "GatherElements"),
    (_gemm, "Gemm"),
    (_matmul, "MatMul"),
    (_reshape, "Reshape"),
    (_slice, "Slice"),
    (_squeeze, "Squeeze"),
    (_transpose, "Transpose"),
    (_trees, "TreeEnsemble"),
    (_unsqueeze, "Unsqueeze"),
    (_where, "Where"),
)
RULES = {name: rule for rule, names in _BY_RULE for name in names.split()}

_WORDS = {
    "Cast": "to",
    "Concat": "axis",
    "Gather": "axis",
    "GatherElements": "axis",
    "Gemm": "alpha beta transA transB",
    "IsInf": "detect_negative detect_positive",
    "Mod": "fmod",
    "Split": "axis",
    "Transpose": "perm",
    "TreeEnsemble": """
        aggregate_function leaf_targetids leaf_weights membership_values n_targets nodes_falseleafs nodes_falsenodeids
        nodes_featureids nodes_modes nodes_splits nodes_missing_value_tracks_true nodes_trueleafs
        nodes_truenodeids post_transform tree_roots
    """,
    **{name: "keepdims" for name in RULES if name.startswith("Reduce")},
}
ATTRIBUTES = {name: frozenset(words.split()) for name, words in _WORDS.items()}
"""The attributes that an operator may have: an older form of an operator takes its axes by one."""
