"""Raw tensors are read in a quick way, and taken and refused as the slow one would."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import Column, Schema
from serving.errors import Malformed, RequestError
from serving.protocols import v2
from serving.protocols.open_inference.tensors import MANY, NamedTensor, WantedOutputs, rows_of, unpack
from serving.rows.cells.coercion import pack_columns
from serving.settings import Limits

SHORT = [b"aa", b"bb", b"c\0", b"\0\0", b"\0a", "\u00e4".encode(), b"\xff\xfe", b"11"]
DATES = [b"2013-01-01", b"2013-12-31", b"2013-13-01", b" 2013-1-1 ", b"2013-01-0\0", b"not a date"]


def raw_texts(cells: list[bytes]) -> bytes:
    """Texts in their raw form."""
    return b"".join(len(cell).to_bytes(4, "little") + cell for cell in cells)


@pytest.mark.parametrize("kind", ["category", "datetime", "number", "boolean"])
@given(
    cells=st.one_of(
        *(st.lists(st.sampled_from(some), min_size=1, max_size=6) for some in (SHORT, DATES, SHORT + DATES))
    ),
    count=st.sampled_from([2, MANY, 3 * MANY]),
)
def test_many_raw_texts_are_taken_and_refused_as_each_of_them(kind, cells, count) -> None:
    """The quick way sorts them and looks at the different ones; the reference is the list, cell by cell."""
    cells = (cells * count)[:count]
    categories = ("aa", "\u00e4", "c", "c\0") if kind == "category" else ()
    schema = Schema((Column("c", kind, categories=categories),), target="y")

    def outcome(texts: Callable[[], Any]) -> str:
        try:
            found = rows_of([NamedTensor("c", "BYTES", [count], texts())], WantedOutputs(), schema, Limits())
        except UnicodeDecodeError:
            return "BYTES must be text in UTF-8"
        except RequestError as error:
            return f"{error} {vars(error)}"
        return repr((found.matrix.tolist(), found.unseen, found.missing))

    quick = outcome(lambda: unpack(raw_texts(cells), "BYTES", count))
    assert quick.startswith(outcome(lambda: [cell.decode() for cell in cells]))


def test_many_raw_texts_that_lie_about_a_length_are_refused() -> None:
    """At the end, or where all others have the length of the first."""
    raw = raw_texts([b"aa"] * MANY)
    for broken in (raw[:-1], raw + b"\0", raw[:-6] + b"\xff" + raw[-5:]):
        with pytest.raises(Malformed, match="raw BYTES"):
            unpack(broken, "BYTES", MANY)
    assert list(unpack(raw, "BYTES", MANY)) == ["aa"] * MANY


@pytest.mark.parametrize("width", ["<f8", "<f4"])
@given(
    st.lists(st.tuples(*[st.sampled_from([0.5, -1.0, 2.0**60, np.nan, np.inf])] * 2), min_size=1, max_size=5)
)
def test_raw_numbers_are_taken_and_refused_as_each_of_them(width, cells) -> None:
    """Finite ones are packed at once; the reference is the list, cell by cell."""
    schema = Schema((Column("a", "number"), Column("b", "number", missing=True)), target="y")
    arrays = dict(zip("ab", np.array(cells, dtype=width).T, strict=True))
    quick = pack_columns(arrays, schema)
    by_cell = pack_columns({name: values.tolist() for name, values in arrays.items()}, schema)
    assert quick[1:5] == by_cell[1:5]
    if not quick.n_faults:
        np.testing.assert_array_equal(quick.matrix, by_cell.matrix)


@pytest.mark.parametrize("place", ["name", "parameters", "size"])
def test_keys_that_come_twice_beside_binary_data_are_refused(place) -> None:
    """Keys are counted instead of looked at, so each place where they stand must be counted."""
    size = '"binary_data_size": 8'
    tensor = '"name": "a", "datatype": "FP64", "shape": [1]'
    parameters = f'"parameters": {{{size}}}'
    twice = {
        "name": f'{{"name": "b", {tensor}, {parameters}}}',
        "parameters": f"{{{tensor}, {parameters}, {parameters}}}",
        "size": f'{{{tensor}, "parameters": {{{size}, {size}}}}}',
    }

    def tensors(inputs: str) -> list[NamedTensor]:
        head = f'{{"inputs": [{inputs}]}}'.encode()
        return v2.decode(head + bytes(8), v2.BINARY, {v2.HEADER_LENGTH: b"%d" % len(head)}, Limits())[0]

    assert tensors(f"{{{tensor}, {parameters}}}")[0].values == [0.0]
    with pytest.raises(Malformed, match="twice"):
        tensors(twice[place])


@pytest.fixture(scope="module")
def numeric() -> Schema:
    """Two numbers and a boolean."""
    return Schema((Column("a", "number"), Column("b", "number"), Column("c", "boolean")), target="y")


def test_one_packed_tensor_serves_a_model_of_numbers(numeric) -> None:
    """Row by row in the columns' order, whatever the tensor is called; nested in JSON, flat in raw."""
    flat = [1.0, 2.0, 1.0, 3.0, 4.0, 0.0]
    for values in (flat, np.array(flat, dtype=np.float32)):
        packed = rows_of([NamedTensor("input-0", "FP32", [2, 3], values)], WantedOutputs(), numeric, Limits())
        assert packed.matrix.tolist() == [[1.0, 2.0, 1.0], [3.0, 4.0, 0.0]]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT64"])
def test_raw_numbers_of_each_datatype_are_exact(datatype, numeric) -> None:
    """Little-endian, and refused where a float64 would not hold them."""
    kind = np.dtype(
        {"FP": "f", "IN": "i", "UI": "u"}[datatype[:2]] + str(int(re.sub(r"\D", "", datatype)) // 8)
    )
    raw = np.array([1, 100], dtype=kind.newbyteorder("<")).tobytes()
    values = unpack(raw, datatype, 2)
    row = [NamedTensor(name, datatype, [2], values) for name in "ab"]
    flags = NamedTensor("c", "BOOL", [2], unpack(b"\x01\x00", "BOOL", 2))
    assert rows_of([*row, flags], WantedOutputs(), numeric, Limits()).matrix.tolist() == [
        [1, 1, 1],
        [100, 100, 0],
    ]
    if datatype == "INT64":
        beyond = [NamedTensor(name, datatype, [2], np.array([2**53 + 1, 0])) for name in "ab"]
        with pytest.raises(RequestError, match="beyond"):
            rows_of([*beyond, flags], WantedOutputs(), numeric, Limits())


@pytest.mark.parametrize(
    "texts",
    [
        ["ab", "cd"],
        ["a", "bcd", ""],
        ["ä", "日本"],
        ["ä", "ö"],
        ["x" * 130, "y" * 130],
        ["a\0", "b\0"],
        ["\0\0", "aa"],
    ],
)
def test_raw_texts_come_back(texts: list[str]) -> None:
    """Of one length, of several, beyond ASCII, with zero bytes at the end."""
    raw = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts)
    assert unpack(raw, "BYTES", len(texts)) == texts
    for broken in (raw[:-1], raw + b"\0", raw + b"\xff\xff\xff\xff"):
        with pytest.raises(RequestError, match="raw BYTES"):
            unpack(broken, "BYTES", len(texts))
    with pytest.raises(RequestError, match="UTF-8"):
        unpack(b"\x01\0\0\0\xff", "BYTES", 1)
