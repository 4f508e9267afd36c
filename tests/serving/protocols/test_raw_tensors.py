"""Raw tensors are read in a quick way, and taken and refused as the slow one would."""

from __future__ import annotations

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
