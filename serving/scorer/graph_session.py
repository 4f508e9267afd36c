"""One graph in onnxruntime, asked for any number of rows.

It needs numpy and onnxruntime only, and knows no document: what is checked before, and what comes after, is `scoring`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Before the import: from 1.29 on it tells Microsoft of each session, under an id that it leaves in the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from serving.scorer.errors import RefusedGraph
from serving.scorer.intervals import Floats

SORTED_ROWS = 250
"""From here on sorting rows costs less than it saves: 200 trees on 20,000 flights take 132 ms, sorted 78."""

Predict = Callable[[Floats], Floats]


class Session:
    """A graph in onnxruntime on the CPU, for any number of rows; raises RefusedGraph.

    Its widest value holds `widest` numbers a row (`check_graph` says how many), which bounds the rows of a block.
    Of several blocks of rows so many are under way at once, each in a thread; None for one on each core. The bits are
    those of one block after the other.
    """

    BLOCK_ROWS = 8192
    """Rows that go through the graph together: bounds its memory, and keeps a block in the cache."""

    INPUT, PREDICTION = "rows", "prediction"
    """The names of the graph's input and its first output."""

    SCALE_INPUT, SCALE = "scale_rows", "scale"
    """Of the intervals: the same rows again, none by default, for onnxruntime computes every output each time."""

    SORT_BY = "sort_by"
    """The graph's note of columns: rows that are alike in them take the same way through its trees."""

    BLOCK_NUMBERS = 2**20
    """Of one value, at most, that are made together: 3,000 support vectors take 349 rows at once."""

    def __init__(self, graph: bytes, *, threads: int = 1, at_once: int | None = 1, widest: int = 1) -> None:
        self._at_once, self._most_rows = at_once or _cores(), max(1, self.BLOCK_NUMBERS // widest)
        try:
            self._session = opened(graph, threads=threads)
            note = self._session.get_modelmeta().custom_metadata_map.get(self.SORT_BY, "")
            self._has_scale = any(output.name == self.SCALE for output in self._session.get_outputs())
            self._sort_by = [
                range(self._session.get_inputs()[0].shape[1])[int(index)] for index in note.split()
            ]
        except Exception as error:  # onnxruntime raises a class of its own for each status code
            raise RefusedGraph(reason=f"onnxruntime cannot load it ({first_line(error)})") from error

    def predict(self, matrix: Floats) -> Floats:
        """Return the first output, shape (n_rows,), for a packed matrix of shape (n_rows, n_columns)."""
        if len(matrix) < SORTED_ROWS or not self._sort_by:
            return self._run_blocks(matrix)
        order = np.lexsort([matrix[:, column] for column in reversed(self._sort_by)])
        predictions = np.empty(len(matrix), dtype=np.float64)
        predictions[order] = self._run_blocks(matrix[order])
        return predictions

    def _run_blocks(self, matrix: Floats) -> Floats:
        if len(matrix) <= min(self.BLOCK_ROWS, self._most_rows):
            return self._run(matrix)
        return self._over_blocks(self._run, matrix)

    def predict_with_scale(self, matrix: Floats) -> Floats:
        """Return predictions and scales, shape (n_rows, 2); 1 for a graph without scales."""
        if not self._has_scale:
            return np.column_stack([self.predict(matrix), np.ones(len(matrix))])
        return self._over_blocks(self._run_scaled, matrix)

    def scales(self, matrix: Floats) -> Floats:
        """Return the second output, shape (n_rows,), without computing the first; 1 for a graph without it."""
        return self._over_blocks(self._run_scales, matrix) if self._has_scale else np.ones(len(matrix))

    def _run_scales(self, matrix: Floats) -> Floats:
        asked = {self.INPUT: matrix[:0], self.SCALE_INPUT: matrix}
        return np.ravel(self._session.run([self.SCALE], asked)[0])

    def _over_blocks(self, run: Predict, matrix: Floats) -> Floats:
        rows = min(self.BLOCK_ROWS, self._most_rows)
        starts = range(0, max(len(matrix), 1), rows)
        blocks = (matrix[start : start + rows] for start in starts)
        if self._at_once == 1 or len(starts) == 1:
            return np.concatenate(list(map(run, blocks)))
        with ThreadPoolExecutor(self._at_once) as pool:
            return np.concatenate(list(pool.map(run, blocks)))

    def _run(self, matrix: Floats) -> Floats:
        return self._session.run([self.PREDICTION], {self.INPUT: matrix})[0]  # type: ignore[no-any-return]

    def _run_scaled(self, matrix: Floats) -> Floats:
        asked = {self.INPUT: matrix, self.SCALE_INPUT: matrix}
        return np.column_stack(self._session.run([self.PREDICTION, self.SCALE], asked))


def opened(graph: bytes, *, threads: int = 1) -> ort.InferenceSession:
    """Return a graph that is ready to run on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # as written: by default all terms of a sum are made first (50 columns of support vectors: 806 MB, and 51 so)
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, its class where it says nothing."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
