"""Named tensors of the Open Inference Protocol -> rows, and predictions -> named tensors.

What its REST and gRPC shells share: datatypes, shapes, the raw form (little-endian numbers one after
the other; texts each behind their length in four bytes), and what the outputs are called. A tensor is
a column; one tensor of shape [rows, columns] is a whole table of numbers. Lengths and shapes are the
sender's word, and are held against the data before anything is made of their size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import prod
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.schema import Schema
from serving.errors import Malformed, TooLarge
from serving.rows import Rows, coercion, from_columns, from_records
from serving.scorer import Bounds, Floats, Intervals
from serving.settings import Limits

NUMPY: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    "BOOL": np.dtype("?"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
"""The datatypes but BYTES, in their raw form."""

DATATYPES = (*NUMPY, "BYTES")
OF_KIND = {"number": "FP64", "boolean": "BOOL", "category": "BYTES", "datetime": "BYTES"}
"""The datatype that the metadata names for a column; any that holds its values is taken."""

_SINGLE = {"FP64": Struct("<d"), "INT64": Struct("<q"), "INT32": Struct("<i"), "BOOL": Struct("?")}
"""For a tensor of one value, which numpy takes four times as long for."""

_ONE = [1]
MANY = 64
"""From so many texts on, sorting them costs less than making each a Python object."""

RAW_BYTES = 2
"""Bytes of raw tensors, which are read at five times the rate of JSON, that count as one of it."""

PREDICTION, LOWER, UPPER = "prediction", "lower", "upper"
DEFAULT_COVERAGE = 0.9
"""Of `lower` and `upper` where a request names them and no coverage."""


class NamedTensor(NamedTuple):
    """One input as it came: values are a flat list, or a numpy array of the shape [n].

    `is_date` where its sender says that its texts are dates.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    values: Any
    is_date: bool = False


class WantedOutputs(NamedTuple):
    """What the answer repeats, and what it should hold.

    Attributes
    ----------
    id : str
        The request's, or nothing.
    outputs : tuple of str
        Names, or none for all.
    coverage : float or None
        Of the intervals.
    """

    id: str = ""
    outputs: tuple[str, ...] = ()
    coverage: Any = None


def asked(identity: Any, outputs: Iterable[Any], coverage: Any) -> WantedOutputs:
    """Check what a request wants back; raises Malformed."""
    names = tuple(outputs)
    if type(identity) is not str and identity is not None:
        raise Malformed("id must be text")
    if coverage is None and (LOWER in names or UPPER in names):
        coverage = DEFAULT_COVERAGE
    return WantedOutputs(identity or "", names, coverage)


def rows_of(tensors: Sequence[NamedTensor], wanted: WantedOutputs, schema: Schema, limits: Limits) -> Rows:
    """Return the rows that the tensors hold; raises RequestError."""
    if len(tensors) > limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    columns: dict[str, Any] = {}
    deep = False
    for name, _, shape, values, is_date in tensors:
        if is_date:
            check_date(name, {column.name for column in schema.columns if column.kind == "datetime"})
        if shape != _ONE or len(values) != 1:
            _check_shape(shape, len(values))
            deep = deep or len(shape) == 2
        columns[name] = values
    if len(columns) != len(tensors):
        raise Malformed("two tensors have the same name")
    if deep:
        columns = _of_two_dimensions(tensors, columns, schema)
    if set(map(len, columns.values())) == {1}:
        row = {name: _plain(values) for name, values in columns.items()}
        return of_request(from_records([row], schema, limits), wanted)
    return of_request(from_columns(columns, schema, limits), wanted)


def of_request(rows: Rows, wanted: WantedOutputs) -> Rows:
    """Return the rows with what the request says beside them; raises Malformed."""
    rows = rows.within(wanted.coverage)
    return rows._replace(request_id=wanted.id) if wanted.id else rows


def check_date(name: str, dates: Collection[str]) -> None:
    """Raise Malformed where a tensor of dates is none of the columns that hold some."""
    if name not in dates:
        raise Malformed("content_type datetime: the column holds no dates, leave content_type out")


def _of_two_dimensions(
    tensors: Sequence[NamedTensor], columns: dict[str, Any], schema: Schema
) -> dict[str, Any]:
    """Return columns where some tensors have two dimensions: a packed table, or columns of one."""
    if len(tensors) == 1 and tensors[0].name not in schema.names:
        return _table(tensors[0], schema)
    if any(len(tensor.shape) == 2 and tensor.shape[1] != 1 for tensor in tensors):
        raise Malformed("a tensor of one column must have the shape [n] or [n, 1]")
    return columns


def _plain(values: Any) -> Any:
    return values[0] if type(values) is list else values.item()


def _check_shape(shape: Sequence[int], values: int) -> None:
    if not 1 <= len(shape) <= 2 or min(shape) < 0 or prod(shape) != values:
        raise Malformed("a tensor's shape must be [n] or [n, columns], with as many values as it says")


def _table(tensor: NamedTensor, schema: Schema) -> dict[str, Any]:
    """Return the columns of one packed tensor, in the order of the schema."""
    wide = len(schema.columns)
    if not {column.kind for column in schema.columns} <= {"number", "boolean"}:
        raise Malformed("a packed tensor serves models of numbers alone: send one tensor for each column")
    if tensor.shape[1] != wide or tensor.datatype == "BYTES":
        raise Malformed(f"a packed tensor must have the shape [n, {wide}] and a datatype of numbers")
    return {name: tensor.values[index::wide] for index, name in enumerate(schema.names)}


def unpack(raw: bytes | memoryview, datatype: str, count: int) -> Any:
    """Return raw bytes as an array, or a list of texts; raises Malformed unless there are `count` values."""
    if datatype == "BYTES":
        return _texts(bytes(raw), count)
    if count == 1 and datatype in _SINGLE and len(raw) == _SINGLE[datatype].size:
        return list(_SINGLE[datatype].unpack(raw))
    kind = NUMPY.get(datatype)
    if kind is None or len(raw) != count * kind.itemsize:
        raise Malformed(
            f"raw data must hold as many values as its shape says, of one of {', '.join(DATATYPES)}"
        )
    return np.frombuffer(raw, dtype=kind)


def _texts(raw: bytes, count: int) -> Sequence[str]:
    """Read texts behind their lengths; at once where all have the length of the first, as codes have."""
    length = int.from_bytes(raw[:4], "little")
    try:
        if count == 1 and len(raw) == 4 + length:
            return [raw[4:].decode("utf-8")]
        if count >= MANY and length and len(raw) == count * (4 + length):
            cells = np.frombuffer(raw, dtype=[("length", "<u4"), ("text", f"S{length}")])
            if (cells["length"] == length).all():
                return _repeated(cells["text"], length)
        return _texts_one_by_one(raw, count)
    except UnicodeDecodeError as error:
        raise Malformed("BYTES must be text in UTF-8") from error


def _repeated(cells: NDArray[np.bytes_], length: int) -> coercion.Repeated:
    """Return texts of one length; numpy leaves zero bytes at their ends out, which are put back."""
    distinct, indices = np.unique(cells, return_inverse=True)
    return coercion.Repeated(
        [text.ljust(length, b"\0").decode("utf-8") for text in distinct.tolist()], indices
    )


def _texts_one_by_one(raw: bytes, count: int) -> list[str]:
    texts, start = [], 0
    while start + 4 <= len(raw):
        end = start + 4 + int.from_bytes(raw[start : start + 4], "little")
        if end > len(raw):
            break
        texts.append(raw[start + 4 : end].decode("utf-8"))
        start = end
    if start != len(raw) or len(texts) != count:
        raise Malformed(
            "raw BYTES must be as many texts as the shape says, each behind its length in four bytes"
        )
    return texts


def outputs_of(values: Floats | Bounds) -> list[NamedTensor]:
    """Return a scorer's outputs, the prediction first."""
    if isinstance(values, Bounds):
        named = {PREDICTION: values.predictions, LOWER: values.lower, UPPER: values.upper}
    else:
        named = {PREDICTION: values}
    return [NamedTensor(name, "FP64", [len(each)], each) for name, each in named.items()]


def chosen(outputs: Sequence[NamedTensor], wanted: WantedOutputs) -> Sequence[NamedTensor]:
    """Return the outputs that a request named, in its order, or all; raises Malformed."""
    if not wanted.outputs:
        return outputs
    named = {output.name: output for output in outputs}
    if not set(wanted.outputs) <= set(named):
        raise Malformed(f"an output asked for is none of {', '.join(named)}")
    return [named[name] for name in wanted.outputs]


def pack(tensor: NamedTensor) -> bytes:
    """Return a tensor's raw form."""
    if tensor.datatype == "BYTES":
        texts = [text.encode() for text in tensor.values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.ascontiguousarray(tensor.values, dtype=NUMPY[tensor.datatype]).tobytes()


def metadata(name: str, version: str, schema: Schema, intervals: Intervals | None) -> dict[str, Any]:
    """Return the protocol's description of a model: a tensor for each column, the prediction first."""
    outputs = (PREDICTION, LOWER, UPPER) if intervals else (PREDICTION,)
    return {
        "name": name,
        "versions": [version],
        "platform": "slipway_scorer",
        "inputs": [
            {"name": column.name, "datatype": OF_KIND[column.kind], "shape": [-1]}
            for column in schema.columns
        ],
        "outputs": [{"name": output, "datatype": "FP64", "shape": [-1]} for output in outputs],
    }


def server_metadata(version: str) -> Mapping[str, Any]:
    """Return the protocol's description of this server."""
    return {"name": "slipway", "version": version, "extensions": ["binary_tensor_data"]}
