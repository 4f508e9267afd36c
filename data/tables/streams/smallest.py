"""The rows with the smallest numbers among very many: a sample that neither order nor batches change.

A row's number follows from its content. Of rows with the last number that is taken all are, as in
`training.rows.thinned`: equal rows stay together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
LARGEST = np.uint64(2**64 - 1)

SPARE = 1.5
"""How many times as many rows are held, at most, as are asked for."""

MOST_SHARED = 100_000
"""Different texts of which one stands for all that are equal: each batch brings its own, of 60 bytes."""


class Smallest:
    """At most so many rows, and those that are like the last of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._below = LARGEST
        self._order: list[NDArray[np.uint64]] = []
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._texts: dict[Any, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process: no rows to spare."""
        if self._order:
            self._cut(self._most)
        return {**vars(self), "_texts": {}}

    def add(self, order: NDArray[np.uint64], columns: Columns) -> None:
        """Look at rows; arrays of shape (n_rows,)."""
        taken = order <= self._below
        if not taken.any():
            return
        self._order.append(order[taken])
        for name, values in columns.items():
            self._parts.setdefault(name, []).append(self._shared(values[taken]))
        if sum(map(len, self._order)) > SPARE * self._most:
            self._cut(self._most)

    def _shared(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the same values, equal texts as one object."""
        if values.dtype != object:
            return values
        if len(self._texts) > MOST_SHARED:
            self._texts = {}
        shared = np.empty(len(values), dtype=object)
        shared[:] = [self._texts.setdefault(value, value) for value in values]
        return shared

    def _cut(self, most: int) -> None:
        order = np.concatenate(self._order)
        if len(order) <= most:
            return
        self._below = np.partition(order, most - 1)[most - 1]
        kept = order <= self._below
        self._order = [order[kept]]
        for parts in self._parts.values():  # one column after the other: all at once would be twice as much
            parts[:] = [np.concatenate(parts)[kept]]

    def take(self, most: int) -> tuple[NDArray[np.uint64], Columns]:
        """Return the numbers and the columns of so many rows, at most as many as were kept, the smallest first.

        They are held here no longer.
        """
        if not self._order:
            return np.zeros(0, dtype=np.uint64), {}
        self._cut(most)
        order = np.concatenate(self._order)
        indexes = np.argsort(order, kind="stable")
        columns = {name: np.concatenate(self._parts.pop(name))[indexes] for name in list(self._parts)}
        self._order = []
        return order[indexes], columns
