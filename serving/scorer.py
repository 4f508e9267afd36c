"""A compiled model, ready to score: a packed matrix in, predictions out.

It needs numpy and onnxruntime only, checks a graph before it runs it, and never unpickles.
It knows no formats of requests and no registry. The one assumption that can fail: that this
machine's onnxruntime computes as the training machine's did; `replay_golden` finds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from data.schema import Schema
from serving.errors import GoldenMismatch, RefusedGraph, WrongDigest
from serving.graph_guard import check_graph
from serving.scorer_format import TOLERANCE, Document, digest_of, read_document, read_files

BLOCK_ROWS = 8192
"""Rows that go through the graph together: bounds its memory, and keeps a block in the cache."""

INPUT, PREDICTION = "rows", "prediction"
"""The names of the graph's input and its first output."""


@dataclass(frozen=True)
class Golden:
    """Rows of shape (n_golden, n_columns) and the predictions of shape (n_golden,) that they must give."""

    matrix: NDArray[np.float64]
    predictions: NDArray[np.float64]


class Scorer:
    """One version's model. Safe to use from several threads at once.

    Attributes
    ----------
    schema : Schema
        The input columns in order, and the target.
    digest : str
        SHA-256 hex over both files.
    document : Document
        All of `scorer.json`.
    golden : Golden
        Ten rows and their predictions.
    """

    def __init__(self, graph: bytes, document: Document, *, digest: str, threads: int = 1) -> None:
        check_graph(graph, columns=len(document.schema.columns))
        self.schema: Schema = document.schema
        self.document = document
        self.digest = digest
        self.golden = Golden(
            document.golden_matrix(), np.array(document.golden_predictions, dtype=np.float64)
        )
        self._session = open_session(graph, threads=threads)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, digest: str | None = None) -> Scorer:
        """Read and check both files of a `scorer/` folder; nothing in them is executed before that.

        Raises
        ------
        ModelError
            A file is absent, hostile or broken, or the digest is not the one given.
        """
        graph, content = read_files(Path(folder))
        document, canonical_content = read_document(content)
        found = digest_of(graph, canonical_content)
        if digest is not None and digest != found:
            raise WrongDigest(expected=digest, found=found)
        return cls(graph, document, digest=found, threads=threads)

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions of shape (n_rows,) for a packed float64 matrix of shape (n_rows, n_columns)."""
        return run_blocks(self._session, matrix)

    def replay_golden(self) -> None:
        """Score the golden rows; raises GoldenMismatch unless each gives its prediction.

        Equal means within `TOLERANCE`: another kind of CPU may add in another order.
        """
        found = self.predict(self.golden.matrix)
        scale = np.maximum(np.abs(self.golden.predictions), self.document.parity.target_sd)
        wrong = ~(np.abs(found - self.golden.predictions) <= TOLERANCE * scale)
        if wrong.any():
            row = int(np.argmax(wrong))
            expected = float(self.golden.predictions[row])
            raise GoldenMismatch(row=row, expected=expected, found=float(found[row]))


def open_session(graph: bytes, *, threads: int = 1) -> ort.InferenceSession:
    """Return an onnxruntime session on the CPU for a graph in memory; raises RefusedGraph."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        raise RefusedGraph(reason=f"onnxruntime cannot load it ({_first_line(error)})") from error


def run_blocks(session: Any, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first output, shape (n_rows,), running at most `BLOCK_ROWS` rows at a time."""
    if len(matrix) <= BLOCK_ROWS:
        first: NDArray[np.float64] = session.run([PREDICTION], {INPUT: matrix})[0]
        return first
    predictions = np.empty(len(matrix), dtype=np.float64)
    for start in range(0, len(matrix), BLOCK_ROWS):
        block = matrix[start : start + BLOCK_ROWS]
        predictions[start : start + len(block)] = session.run([PREDICTION], {INPUT: block})[0]
    return predictions


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
