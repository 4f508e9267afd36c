"""Digests of very many rows, sorted on disk a part at a time: the table's fingerprint, and how many differ.

The fingerprint equals `data.tables.fingerprint` of the whole table. Digests are spread evenly, so that those that begin
with the same byte are a 256th of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.tables.fingerprints import header_of

PARTS, AT_ONCE = 256, 1_000_000
"""Files that the digests are dealt to, and digests that are held before they are."""

STARTS = np.arange(1, PARTS, dtype=np.uint64) << np.uint64(56)


class Digests:
    """The digests of a table's rows, in a folder; without one, memory holds those of a part until they are added."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder, self._name = folder, name
        self._held: list[NDArray[np.uint64]] = []
        self._rows = 0

    def add(self, digests: NDArray[np.uint64]) -> None:
        """Keep the digests of some rows; raises OSError."""
        self._held.append(digests)
        self._rows += len(digests)
        if self._folder and sum(map(len, self._held)) >= AT_ONCE:
            self._write()

    def add_all(self, part: Digests) -> None:
        """Keep those that memory holds of other rows."""
        for digests in part._held:
            self.add(digests)

    def _write(self) -> None:
        ordered = np.sort(np.concatenate(self._held)) if self._held else np.zeros(0, dtype=np.uint64)
        self._held = []
        for index, part in enumerate(np.split(ordered, np.searchsorted(ordered, STARTS))):
            with self._path(index).open("ab") as file:
                file.write(part.astype("<u8").tobytes())

    def fingerprint(self, names: Sequence[str]) -> str:
        """Return the fingerprint of a table with these columns."""
        digest = blake2b(digest_size=16)
        digest.update(header_of(self._rows, names))
        for part in self._parts():
            digest.update(part.astype("<u8").tobytes())
        return digest.hexdigest()

    def distinct(self, most: int) -> tuple[int, NDArray[np.uint64], NDArray[np.int64]]:
        """Return how many differ, and, where these are no more than `most`, which they are and how often each is."""
        count, result, counts = 0, [], []
        for part in self._parts():
            values, times = np.unique(part, return_counts=True)
            count += len(values)
            if count <= most:
                result.append(values)
                counts.append(times)
        if count > most:
            result, counts = [], []
        empty = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
        return count, np.concatenate(result or empty[0]), np.concatenate(counts or empty[1])

    def _parts(self) -> Iterator[NDArray[np.uint64]]:
        self._write()
        for index in range(PARTS):
            yield np.sort(np.fromfile(self._path(index), dtype="<u8")).astype(np.uint64)

    def _path(self, place: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._name}-{place:03}"
