"""The texts of a whole column of Arrow, read by one reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.cells.readings import Reading


def plain_texts(array: Any, reading: Reading) -> tuple[Any, NDArray[np.bool_]]:
    """Return a text array or column of Arrow with its cells in plain text, and which of them cannot be used.

    Each different text is looked at once. A cell that cannot be used is null.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    coded = array if pa.types.is_dictionary(array.type) else array.cast(pa.large_string()).dictionary_encode()
    read = [None if text is None else reading.plain(text) for text in coded.dictionary.to_pylist()]
    plain = pa.array([text or None for text in read], pa.string()).take(coded.indices)
    refused = np.array([text is None for text in read] + [False], dtype=np.bool_)
    codes = np.asarray(coded.indices.cast(pa.int64()).fill_null(len(read)))
    return plain, refused[codes]
