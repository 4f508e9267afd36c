"""A small builder of ONNX graphs: tensors that can be added, multiplied and compared.

It knows operators and constants, nothing of models. Names count up and constants are stored
once each, so that building the same graph twice gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from serving.scorer import Session

OPSETS = {"": 22, "ai.onnx.ml": 5}
IR_VERSION = 10


@dataclass(frozen=True)
class Tensor:
    """A value in the graph; arithmetic on it adds nodes."""

    graph: Graph
    name: str

    def __add__(self, other: Operand) -> Tensor:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Operand) -> Tensor:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: ArrayLike) -> Tensor:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Operand) -> Tensor:
        return self.graph.op("Div", self, other)

    def __rtruediv__(self, other: ArrayLike) -> Tensor:
        return self.graph.op("Div", other, self)

    def __neg__(self) -> Tensor:
        return self.graph.op("Neg", self)

    def __matmul__(self, other: Operand) -> Tensor:
        return self.graph.op("MatMul", self, other)

    def __pow__(self, other: Operand) -> Tensor:
        return self.graph.op("Pow", self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return self.graph.op("Less", self, other)

    def __le__(self, other: Operand) -> Tensor:
        return self.graph.op("LessOrEqual", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return self.graph.op("Greater", self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return self.graph.op("GreaterOrEqual", self, other)

    def cast(self, kind: int) -> Tensor:
        """Return the values in another TensorProto type."""
        return self.graph.op("Cast", self, to=kind)

    def take(self, places: ArrayLike) -> Tensor:
        """Return columns by position, shape (n_rows, len(places))."""
        return self.graph.op("Gather", self, np.asarray(places, dtype=np.int64), axis=1)

    def of_width(self, width: int) -> Tensor:
        """Return the same values as (n_rows, width), which the loader can then rely on."""
        return self.graph.op("Reshape", self, np.array([-1, width], dtype=np.int64))


Operand = Tensor | ArrayLike


class Graph:
    """Nodes and constants in the order of their making."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = Tensor(self, Session.INPUT)
        self.visits: dict[str, Counter[int]] = {"codes": Counter(), "numbers": Counter()}
        """How many training rows were split by each packed column, category codes apart from numbers."""
        self.ensembles: list[Any] = []
        """Trees as they were put in, in order: `estimators.trees.Grown`."""
        self.members: list[tuple[Any, Tensor]] = []
        """Models that are averaged, and what each predicts."""
        self._faults: list[Tensor] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._known: dict[Any, Tensor] = {}

    def op(self, operator: str, *inputs: Operand, domain: str = "", **attributes: Any) -> Tensor:
        """Add a node and return its output; the same operator on the same inputs is added once."""
        names = [self._operand(value).name for value in inputs]
        key = (operator, *names, repr(attributes))
        if domain or key not in self._known:
            output = Tensor(self, f"t{len(self._nodes)}")
            node = helper.make_node(operator, names, [output.name], domain=domain, **attributes)
            self._nodes.append(node)
            self._known[key] = output
        return self._known[key]

    def constant(self, values: ArrayLike) -> Tensor:
        """Return a constant; floats become float64, and one number a matrix of one.

        onnxruntime takes fifteen times as long for 1,000 rows of one column with a number of fewer
        dimensions: it repeats the number for each row.
        """
        array = np.ascontiguousarray(values) if np.ndim(values) else np.array(values, ndmin=2)
        if array.dtype.kind == "f" or (array.dtype.kind == "i" and not isinstance(values, np.ndarray)):
            array = array.astype(np.float64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = Tensor(self, f"c{len(self._constants)}")
            self._constants.append(numpy_helper.from_array(array, self._known[key].name))
        return self._known[key]

    def where(self, condition: Tensor, yes: Operand, no: Operand) -> Tensor:
        """Choose by element."""
        return self.op("Where", condition, yes, no)

    def concat(self, parts: list[Tensor]) -> Tensor:
        """Put columns side by side."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def sum(self, values: Tensor) -> Tensor:
        """Add up each row, shape (n_rows, 1)."""
        return self.op("ReduceSum", values, np.array([1]), keepdims=1)

    def predicted_by(self, model: Any) -> Tensor:
        """Return what one of the averaged models predicts, shape (n_rows, 1)."""
        return next(tensor for member, tensor in self.members if member is model)

    def refuse(self, faults: Tensor) -> None:
        """Make the prediction NaN where this value of shape (n_rows, 1) is NaN; elsewhere it must be 0."""
        self._faults.append(faults)

    def beside(self) -> Graph:
        """Return a graph on the scales' rows that shares this one's nodes."""
        other = Graph(self.columns)
        other.rows = Tensor(other, Session.SCALE_INPUT)
        other._nodes, other._constants, other._known = self._nodes, self._constants, self._known
        return other

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Take back, at the end, all nodes and constants that were added meanwhile."""
        nodes, constants, known = len(self._nodes), len(self._constants), set(self._known)
        try:
            yield
        finally:
            del self._nodes[nodes:], self._constants[constants:]
            for key in self._known.keys() - known:
                del self._known[key]

    def finish(self, prediction: Tensor, scale: Tensor | None = None) -> bytes:
        """Return the model whose outputs are these values of shape (n_rows, 1)."""
        last = [self._output(prediction, Session.PREDICTION)]
        inputs = [helper.make_tensor_value_info(Session.INPUT, TensorProto.DOUBLE, ["n", self.columns])]
        outputs = [helper.make_tensor_value_info(Session.PREDICTION, TensorProto.DOUBLE, ["n"])]
        defaults = []
        if scale is not None:
            last.append(scale.graph._output(scale, Session.SCALE))
            inputs.append(
                helper.make_tensor_value_info(Session.SCALE_INPUT, TensorProto.DOUBLE, ["m", self.columns])
            )
            outputs.append(helper.make_tensor_value_info(Session.SCALE, TensorProto.DOUBLE, ["m"]))
            defaults = [numpy_helper.from_array(np.zeros((0, self.columns)), Session.SCALE_INPUT)]
        nodes, constants = self._needed(last)
        graph = helper.make_graph(nodes, "slipway", inputs, outputs, [*constants, *defaults])
        model = _model(graph)
        sort_by = [str(column) for visits in self.visits.values() for column, _ in visits.most_common(1)]
        helper.set_model_props(model, {Session.SORT_BY: " ".join(sort_by)} if sort_by else {})
        return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """What was added so far."""
        return self._nodes

    @property
    def constants(self) -> list[onnx.TensorProto]:
        """What the nodes refer to."""
        return self._constants

    def features(self, values: Tensor, width: int) -> bytes:
        """Return the model whose one output is a value of shape (n_rows, width)."""
        last = helper.make_node("Identity", [values.name], [Session.PREDICTION])
        nodes, constants = self._needed([last])
        inputs = [helper.make_tensor_value_info(Session.INPUT, TensorProto.DOUBLE, ["n", self.columns])]
        outputs = [helper.make_tensor_value_info(Session.PREDICTION, TensorProto.DOUBLE, ["n", width])]
        return _model(helper.make_graph(nodes, "slipway", inputs, outputs, constants)).SerializeToString(  # type: ignore[no-any-return]
            deterministic=True
        )

    def _output(self, value: Tensor, name: str) -> onnx.NodeProto:
        for fault in self._faults:
            value = value + fault
        return helper.make_node("Reshape", [value.name, self.constant(np.array([-1])).name], [name])

    def _needed(self, last: list[onnx.NodeProto]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Leave out what no prediction depends on: a feature that no tree splits on, say."""
        names, nodes = {name for node in last for name in node.input}, last[::-1]
        for node in reversed(self._nodes):
            if names.intersection(node.output):
                names.update(node.input)
                nodes.append(node)
        return nodes[::-1], [constant for constant in self._constants if constant.name in names]

    def _operand(self, value: Operand) -> Tensor:
        return value if isinstance(value, Tensor) else self.constant(value)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="slipway")


def as_tensor(values: NDArray[Any]) -> onnx.TensorProto:
    """Return an array as an attribute of a node."""
    return numpy_helper.from_array(values)
