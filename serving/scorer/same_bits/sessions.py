"""A graph that gives a row the same bits whatever rows are asked with it, and on however many threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from serving.scorer.graph_session import SORTED_ROWS, Predict, Session, opened
from serving.scorer.intervals import Floats
from serving.scorer.same_bits.graph_parts import Pieces, steady
from serving.scorer.same_bits.leaf_masks import LeafMasks, leaf_masks

PARTED_FROM = 20_000
"""Rows that were asked before a graph is taken apart, which takes as long as trees take for so many."""

COMPARED_ROWS = 500
"""Of a batch, and of hard rows: what the parts give for them is held to the whole graph's answer."""

TOGETHER = 4096
"""Rows that go through onnxruntime together, at most."""

MULTIPLE = 8
"""Of rows: the last cells of an array go through scalar code otherwise."""


class SameBitsSession(Session):
    """A graph that gives a row the same bits whatever rows are asked with it, and on however many threads.

    Three things of onnxruntime's change the last of them. With threads of its own it adds the trees' values in another
    order: here each block has one, and several blocks are under way. A sum over an odd number of cells begins with
    another cell in every second row: see `graph_parts`. The last cells of an array go through scalar code: the rows are
    filled up to a multiple of eight.

    Many rows go through trees by tables, which give the same bits in less time: see `leaf_masks`.
    """

    BLOCK_ROWS = 16_384
    """Rows that a thread takes at once: Python's share of a step through the tables gets small."""

    def __init__(self, graph: bytes, *, threads: int = 1, widest: int = 1) -> None:
        super().__init__(steady(graph), threads=1, widest=widest)
        self._together = min(TOGETHER, max(MULTIPLE, self._most_rows // MULTIPLE * MULTIPLE))
        self._graph, self._threads = graph, threads
        self._lock, self._asked = threading.Lock(), 0
        self._parted: dict[tuple[str, ...], _Parted | None] = {}

    def predict(self, matrix: Floats) -> Floats:
        """Return the first output, shape (n_rows,), for a packed matrix of shape (n_rows, n_columns)."""
        parted = self._parts((self.PREDICTION,), matrix)
        if parted is not None and not parted.has_branches:
            return self._over_blocks(self._run, matrix)
        return super().predict(matrix)

    def predict_with_scale(self, matrix: Floats) -> Floats:
        """Return predictions and scales, shape (n_rows, 2); 1 for a graph without scales."""
        if self._has_scale:
            self._parts((self.PREDICTION, self.SCALE), matrix)
        return super().predict_with_scale(matrix)

    def _parts(self, outputs: tuple[str, ...], matrix: Floats) -> _Parted | None:
        """Return the graph's parts; None where few rows were asked so far, or where they do not give its bits."""
        with self._lock:
            self._asked += len(matrix)
            if outputs not in self._parted and self._asked >= PARTED_FROM:
                self._parted[outputs] = self._compared(outputs, matrix)
            return self._parted.get(outputs)

    def _compared(self, outputs: tuple[str, ...], matrix: Floats) -> _Parted | None:
        parted = _Parted(Pieces.of(self._graph), outputs, self._together)
        if not parted.has_tables:
            return None
        rows = np.concatenate([matrix[:COMPARED_ROWS], *parted.hard_rows(COMPARED_ROWS, matrix.shape[1])])
        pairs = zip(self._whole(outputs, rows), parted(rows) or [], strict=False)
        equal = [np.array_equal(one, other, equal_nan=True) for one, other in pairs]
        return parted if equal and all(equal) else None

    def _over_blocks(self, run: Predict, matrix: Floats) -> Floats:
        rows = min(self.BLOCK_ROWS, max(TOGETHER, -(-len(matrix) // self._threads)))
        starts = range(0, max(len(matrix), 1), rows)
        blocks = (matrix[start : start + rows] for start in starts)
        if self._threads == 1 or len(starts) == 1:
            return np.concatenate(list(map(run, blocks)))
        with ThreadPoolExecutor(self._threads) as pool:
            return np.concatenate(list(pool.map(run, blocks)))

    def _run(self, matrix: Floats) -> Floats:
        return self._outputs((self.PREDICTION,), matrix)[0]

    def _run_scaled(self, matrix: Floats) -> Floats:
        return np.column_stack(self._outputs((self.PREDICTION, self.SCALE), matrix))

    def _outputs(self, outputs: tuple[str, ...], matrix: Floats) -> list[Floats]:
        parted = self._parted.get(outputs)
        made = parted(matrix) if parted is not None and len(matrix) >= SORTED_ROWS else None
        return made or self._whole(outputs, matrix)

    def _whole(self, outputs: tuple[str, ...], matrix: Floats) -> list[Floats]:
        inputs = (self.INPUT, self.SCALE_INPUT)[: len(outputs)]
        return asked(self._session, outputs, dict.fromkeys(inputs, matrix), self._together)


class _Parted:
    """A graph in parts: trees of few leaves by tables, and all the rest as it is."""

    def __init__(self, pieces: Pieces, outputs: tuple[str, ...], together: int) -> None:
        trees = pieces.trees(outputs)
        made = {node.outputs[0]: (node.inputs[0], leaf_masks(node)) for node in trees}
        self._trees: dict[str, tuple[str, LeafMasks]] = {
            name: (rows, masks) for name, (rows, masks) in made.items() if masks is not None
        }
        self.has_tables, self.has_branches = bool(self._trees), len(self._trees) < len(trees)
        looked_at = sorted(
            {rows for rows, _ in self._trees.values()} - {name for name, _ in pieces.read.inputs}
        )
        self._front = _Ready(pieces, looked_at, together) if looked_at else None
        self._back = _Ready(pieces, outputs, together, given=self._trees)

    def __call__(self, matrix: Floats) -> list[Floats] | None:
        """Return the outputs for a packed matrix; None where a tree's tables do not know a value."""
        known = dict.fromkeys((Session.INPUT, Session.SCALE_INPUT), matrix)
        if self._front is not None:
            known |= self._front(known)
        if not all(masks.knows(known[rows]) for rows, masks in self._trees.values()):
            return None
        known |= {name: masks(known[rows])[:, None] for name, (rows, masks) in self._trees.items()}
        return list(self._back(known).values())

    def hard_rows(self, rows: int, width: int) -> list[Floats]:
        """Return rows of shape (rows, width) on which trees of packed columns may go either way."""
        inputs = (Session.INPUT, Session.SCALE_INPUT)
        asked = [masks for looked_at, masks in self._trees.values() if looked_at in inputs]
        made = [masks.hard_rows(rows, width) for masks in asked]
        coded = sorted({column for masks in asked for column in masks.coded})
        for matrix in made:
            matrix[:, coded] = np.floor(matrix[:, coded])
        return made


class _Ready:
    """A part of a graph in onnxruntime."""

    def __init__(
        self, pieces: Pieces, outputs: Sequence[str], together: int, given: Iterable[str] = ()
    ) -> None:
        content, self._inputs = pieces.part(outputs, dict.fromkeys(given, 1))
        self._outputs, self._together, self._session = outputs, together, opened(content)

    def __call__(self, known: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return the outputs by name, of what is known by name, one row each."""
        feeds = {name: known[name] for name in self._inputs}
        values = asked(self._session, self._outputs, feeds, self._together)
        return dict(zip(self._outputs, values, strict=True))


def asked(session: Any, outputs: Sequence[str], feeds: Mapping[str, Floats], together: int) -> list[Floats]:
    """Return what a graph gives for each row, so many of which go through it together."""
    count = len(next(iter(feeds.values())))
    blocks = [
        session.run(outputs, {name: _filled(rows[start : start + together]) for name, rows in feeds.items()})
        for start in range(0, max(count, 1), together)
    ]
    return [np.concatenate(values)[:count] for values in zip(*blocks, strict=True)]


def _filled(rows: Floats) -> Floats:
    lack = -len(rows) % MULTIPLE
    return np.concatenate([rows, np.repeat(rows[-1:], lack, axis=0)]) if lack else rows
