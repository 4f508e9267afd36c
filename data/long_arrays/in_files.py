"""What is made of arrays that lie in files: it lies in files without a name, and is made a block at a time.

The pages of a file are the kernel's to drop and to read again, so that they take none of a process's own memory. What
is made of an array in memory lies in memory. It knows no tables.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from data.own_files import own_folder

ROWS_AT_ONCE = 1_000_000
"""Of a block."""


def blocks(count: int) -> Iterator[slice]:
    """Yield the blocks of so many rows.

    >>> list(blocks(1_500_000))
    [slice(0, 1000000, None), slice(1000000, 1500000, None)]
    """
    for start in range(0, count, ROWS_AT_ONCE):
        yield slice(start, min(start + ROWS_AT_ONCE, count))


def beside(values: NDArray[Any], count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array for so many numbers, in a file where `values` lie in one; raises OSError."""
    return in_file(count, dtype) if _lies_in_file(values) else np.empty(count, dtype)


def in_file(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array for so many numbers in a file that is gone with it; raises OSError."""
    if not count:
        return np.empty(count, dtype)
    with tempfile.TemporaryFile(dir=own_folder()) as file:
        os.posix_fallocate(file.fileno(), 0, count * np.dtype(dtype).itemsize)  # a full disk says so here
        return np.asarray(np.memmap(file, dtype, mode="r+", shape=(count,)))


def _lies_in_file(values: Any) -> bool:
    while isinstance(values, np.ndarray):
        values = values.base
    return isinstance(values, mmap.mmap)


def chosen(values: NDArray[Any], rows: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values in some of the rows, themselves where these are all."""
    count = int(np.count_nonzero(rows))
    if count == len(values):
        return values
    result, end = beside(values, count, values.dtype), 0
    for part in blocks(len(values)):
        some = values[part][rows[part]]
        result[end : end + len(some)] = some
        end += len(some)
    return result


def sorted_finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the finite values, the smallest first."""
    known = chosen(values, np.isfinite(values))
    if known is values:
        known = beside(values, len(values), values.dtype)
        for part in blocks(len(values)):
            known[part] = values[part]
    known.sort()
    return known
