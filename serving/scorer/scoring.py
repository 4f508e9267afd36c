"""A compiled model, ready to score: a packed matrix in, predictions out.

It needs numpy and onnxruntime only, checks a graph before it runs it, and never unpickles.
It knows no formats of requests and no registry. The one assumption that can fail: that this
machine's onnxruntime computes as the training machine's did; `replay_golden` finds out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.schema import Schema
from serving.errors import CoverageRefused, ModelError, NotExplained
from serving.scorer import scorer_files
from serving.scorer.document import Document, Parity, read_document
from serving.scorer.errors import FailingGraph, GoldenMismatch, WrongDigest
from serving.scorer.graph_checks import check_graph
from serving.scorer.graph_session import SORTED_ROWS, Predict, Session, first_line
from serving.scorer.intervals import Bounds, Floats, Intervals

if TYPE_CHECKING:
    from serving.scorer.reasons import Explainer

__all__ = ["SORTED_ROWS", "Golden", "Scorer", "Session", "failing_graph"]


@dataclass(frozen=True)
class Golden:
    """Rows of shape (n_golden, n_columns) and the predictions of shape (n_golden,) that they must give."""

    matrix: Floats
    predictions: Floats


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

    def __init__(
        self,
        graph: bytes,
        document: Document,
        *,
        digest: str,
        threads: int = 1,
        at_once: int | None = 1,
        same_bits: bool = False,
        folder: Path | None = None,
    ) -> None:
        widest = check_graph(graph, columns=len(document.schema.columns))
        self.schema: Schema = document.schema
        self.document = document
        self.digest = digest
        self.golden = Golden(
            document.golden_matrix(), np.array(document.golden_predictions, dtype=np.float64)
        )
        self._session = (
            _same_bits_session(graph, threads, widest)
            if same_bits
            else Session(graph, threads=threads, at_once=at_once, widest=widest)
        )
        self._folder, self._explainer_lock = folder, threading.Lock()
        self._explainer: Explainer | None = None

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        threads: int = 1,
        at_once: int | None = 1,
        digest: str | None = None,
        same_bits: bool = False,
    ) -> Scorer:
        """Read and check the files of a `scorer/` folder; nothing in them is executed before that.

        `threads` and `at_once` are those of a `Session`. With `same_bits` a row has the same prediction to the last bit
        in any batch: see `SameBitsSession`.

        Raises
        ------
        ModelError
            A file is absent, hostile or broken, or the digest is not the one given.
        """
        graph, content = scorer_files.read(Path(folder))
        document, canonical_content = read_document(content)
        actual = scorer_files.digest_of(graph, canonical_content)
        if digest is not None and digest != actual:
            raise WrongDigest(expected=digest, found=actual)
        scorer_files.explain_in(Path(folder), document)
        how: dict[str, Any] = {"threads": threads, "at_once": at_once, "same_bits": same_bits}
        return cls(graph, document, digest=actual, folder=Path(folder), **how)

    def predict(self, matrix: Floats) -> Floats:
        """Return predictions of shape (n_rows,) for a packed float64 matrix of shape (n_rows, n_columns)."""
        return self._session.predict(matrix)

    def replay_golden(self) -> None:
        """Score the golden rows together, reversed and singly; raises GoldenMismatch unless each gives its prediction.

        A row's answer must not depend on its neighbours, which may be another client's. Equal means within
        `TOLERANCE`: another kind of CPU, or another number of rows, may add in another order. Raises FailingGraph
        where the graph gives no answer.
        """
        expected = self.golden.predictions
        scale = np.maximum(np.abs(expected), self.document.parity.target_sd)
        for predictions in self._replayed(self.predict):
            _compare(predictions, expected, scale)
        if self.document.golden_scales:
            expected = np.array(self.document.golden_scales)
            for predictions in self._replayed(lambda rows: self.predict_with_scale(rows)[:, 1]):
                _compare(predictions, expected, expected)

    def _replayed(self, predict: Predict) -> Iterator[Floats]:
        rows = self.golden.matrix
        with failing_graph():
            yield predict(rows)
            yield predict(np.ascontiguousarray(rows[::-1]))[::-1]
            yield np.concatenate([predict(rows[index : index + 1]) for index in range(len(rows))])

    def predict_with_scale(self, matrix: Floats) -> Floats:
        """Return predictions and scales, shape (n_rows, 2)."""
        return self._session.predict_with_scale(matrix)

    def scales(self, matrix: Floats) -> Floats:
        """Return the scales alone, shape (n_rows,)."""
        return self._session.scales(matrix)

    def predict_interval(self, matrix: Floats, coverage: float) -> Bounds:
        """Return predictions with intervals that hold the given share of targets; raises CoverageRefused."""
        scaled = self.predict_with_scale(matrix)
        return self.bounds(scaled, coverage)

    def bounds(self, scaled: Floats, coverage: float) -> Bounds:
        """Return intervals from predictions and scales of shape (n_rows, 2); raises CoverageRefused."""
        predictions, scale = np.ascontiguousarray(scaled.T)
        return self.intervals.around(predictions, scale, coverage)

    def explainer(self) -> Explainer:
        """Return what explains predictions, read at its first use.

        Raises
        ------
        NotExplained
            The version has nothing that does.
        ModelError
            What it has was changed since it was loaded, or is not what its name says.
        """
        with self._explainer_lock:
            if self._explainer is None:
                self._explainer = self._read_explainer()
            return self._explainer

    def _read_explainer(self) -> Explainer:
        from serving.scorer.reasons import About, explainer_of  # noqa: PLC0415 - for who asks

        content = scorer_files.explain_in(self._folder, self.document) if self._folder else None
        if content is None:
            raise NotExplained(reason="it was registered without; train it again, without explain=false")
        schema = self.schema
        about = About(
            tuple(schema.names), schema.target, schema.target_unit or "", self.document.parity.target_sd
        )
        return explainer_of(content, about, self)

    def features(self, graph: bytes, width: int) -> Predict:
        """Return what a graph beside the model's own computes of packed rows; raises RefusedGraph."""
        widest = check_graph(graph, columns=len(self.schema.columns), width=width)
        return Session(graph, widest=widest).predict

    def rows_within(self, seconds: float) -> int:
        """Return how many rows this model scores in so long, measured; raises FailingGraph."""
        matrix = np.resize(self.golden.matrix, (200, self.golden.matrix.shape[1]))
        with failing_graph():
            self.predict(matrix)
            began = time.perf_counter()
            self.predict(matrix)
        return int(len(matrix) * seconds / (time.perf_counter() - began))

    @property
    def intervals(self) -> Intervals:
        """The table; raises CoverageRefused where the version has none."""
        if self.document.intervals is None:
            raise CoverageRefused("this version was registered without intervals")
        return self.document.intervals


@contextmanager
def failing_graph() -> Iterator[None]:
    """Make onnxruntime's errors, one class for each of its status codes, FailingGraph."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise FailingGraph(reason=first_line(error)) from error


def _compare(predictions: Floats, expected: Floats, scale: Floats) -> None:
    wrong = ~(np.abs(predictions - expected) <= Parity.TOLERANCE * scale)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise GoldenMismatch(row=row, expected=float(expected[row]), found=float(predictions[row]))


def _same_bits_session(graph: bytes, threads: int, widest: int) -> Session:
    from serving.scorer.same_bits import SameBitsSession  # noqa: PLC0415 - a server has no need of it

    return SameBitsSession(graph, threads=threads, widest=widest)
