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


class Smallest:
    """At most so many rows, and those that are like the last of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._below = LARGEST
        self._orders: list[NDArray[np.uint64]] = []
        self._parts: list[Columns] = []
        self.seen = 0

    def add(self, order: NDArray[np.uint64], columns: Columns) -> None:
        """Look at rows; arrays of shape (n_rows,)."""
        self.seen += len(order)
        taken = order <= self._below
        if not taken.any():
            return
        self._orders.append(order[taken])
        self._parts.append({name: values[taken] for name, values in columns.items()})
        if sum(map(len, self._orders)) > 2 * self._most:
            self._cut(self._most)

    def _cut(self, most: int) -> None:
        order, columns = np.concatenate(self._orders), self._joined()
        if len(order) > most:
            self._below = np.partition(order, most - 1)[most - 1]
            kept = order <= self._below
            order, columns = order[kept], {name: values[kept] for name, values in columns.items()}
        self._orders, self._parts = [order], [columns]

    def _joined(self) -> dict[str, NDArray[Any]]:
        return {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}

    def take(self, most: int) -> tuple[NDArray[np.uint64], Columns]:
        """Return the numbers and the columns of so many rows, at most as many as were kept, the smallest first."""
        if not self._orders:
            return np.zeros(0, dtype=np.uint64), {}
        self._cut(most)
        (order,), (columns,) = self._orders, self._parts
        places = np.argsort(order, kind="stable")
        return order[places], {name: values[places] for name, values in columns.items()}
