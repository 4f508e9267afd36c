"""The different texts of a column, and the number of each, those of rows above first.

The texts lie in a file; of each, memory holds a hash and its number. Of 500,000 texts two share a hash with a
probability of 10^-8, and would be taken for one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class TextNumbers:
    """Texts in a file of which nobody else knows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hashes = np.zeros(0, dtype=np.uint64)  # the smallest first
        self._numbers = np.zeros(0, dtype=np.int32)
        self._lengths: list[NDArray[np.int32]] = []
        path.touch()

    def __len__(self) -> int:
        return len(self._hashes)

    def of(self, texts: NDArray[Any]) -> NDArray[np.int32]:
        """Return the numbers of texts of which no two are equal, for new ones the next; raises OSError."""
        hashes = pd.util.hash_array(texts, categorize=False)
        places = np.searchsorted(self._hashes, hashes)
        is_new = np.append(self._hashes, hashes[:1])[places] != hashes
        is_new |= places == len(self)
        numbers = np.append(self._numbers, np.int32(0))[places]
        numbers[is_new] = len(self) + np.arange(np.count_nonzero(is_new))
        self._append(texts[is_new])
        order = np.argsort(hashes[is_new], kind="stable")
        before = places[is_new][order]
        self._hashes = np.insert(self._hashes, before, hashes[is_new][order])
        self._numbers = np.insert(self._numbers, before, numbers[is_new][order])
        return numbers

    def _append(self, texts: NDArray[Any]) -> None:
        if not len(texts):
            return
        written = pa.array(texts, pa.large_string())
        self._lengths.append(pc.binary_length(written).to_numpy().astype(np.int32))
        with self._path.open("ab") as file:
            file.write(written.buffers()[2] or b"")

    def texts(self, most: int) -> pd.Index:
        """Return the texts by their numbers, so many at most."""
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *self._lengths])
        ends = pa.py_buffer(np.cumsum(lengths, dtype=np.int64))
        whole = pa.LargeStringArray.from_buffers(len(self), ends, pa.py_buffer(self._path.read_bytes()))
        texts: pd.Index = pd.Index(whole[:most].to_numpy(zero_copy_only=False), dtype=object)
        return texts
