"""Rows of one version that wait to be written: taken as they are, and made a frame by the thread that writes.

A request costs a microsecond here, whatever its rows: those of a large one are not copied before.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from data.captures import Frame, frame_id, record
from serving.front.capture.caller_words import Caller
from serving.front.capture.kept_columns import KeptColumns
from serving.rows import Texts
from serving.runtimes import Predicted
from serving.scorer import Floats

SMALL_ROWS = 32
"""A request of so many is copied at once: its arrays would be cold memory when they are joined."""


class Begin(NamedTuple):
    """Of a frame: milliseconds since 1970, seconds by `time.perf_counter`, 50 bits, and the share that is kept."""

    milliseconds: int
    now: float
    random: int
    share: float


class Pending:
    """A frame that is not closed yet."""

    def __init__(self, columns: KeptColumns, begin: Begin) -> None:
        self.columns, self.begin = columns, begin
        self.id = frame_id(begin.milliseconds, begin.random)
        self.rows = self.bytes = 0
        self._starts, self._seconds = array("q"), array("d")
        self._callers: list[str] = []
        self._matrices: list[bytearray | memoryview] = [bytearray()]
        self._predictions: list[bytearray | memoryview] = [bytearray()]
        self._scales: list[tuple[int, Floats]] = []
        self._texts: list[tuple[int, Texts]] = []

    def add(self, predicted: Predicted, caller: Caller, now: float) -> str:
        """Take a request's rows; return the id of the first."""
        start, (matrix, predictions, scale, texts, _), begin = self.rows, predicted, self.begin
        rows = len(matrix)
        self._starts.append(start)
        self._seconds.append(now - begin.now if caller.at is None else caller.at - begin.milliseconds / 1000)
        self._callers.append(caller.id)
        _take(self._matrices, matrix, rows)
        _take(self._predictions, predictions, rows)
        if scale is not None:
            self._scales.append((start, scale))
        if texts:
            self._texts.append((start, texts))
        self.rows = start + rows
        return f"{self.id}{start:06x}"

    def record(self) -> bytes:
        """Return it as it is written; an object for each request would take five times as long."""
        bare = self._bare()
        return record({**bare.head(), "requests": list(self._requests())}, bare.parts())

    def _requests(self) -> Iterable[tuple[int, float, str]]:
        return zip(self._starts, np.round(self._seconds, 4).tolist(), self._callers, strict=True)

    def _bare(self) -> Frame:
        layout = self.columns.layout
        return Frame(
            id=self.id,
            model=layout.model,
            version=layout.version,
            digest=layout.digest,
            milliseconds=self.begin.milliseconds,
            share=self.begin.share,
            matrix=self.columns.matrix(_joined(self._matrices).reshape(self.rows, -1)),
            predictions=_joined(self._predictions),
            scale=self._scale(),
            requests=(),
            unseen=self.columns.unseen(self._texts),
        )

    def _scale(self) -> Floats:
        scale = np.full(self.rows, np.nan)
        for start, given in self._scales:
            scale[start : start + len(given)] = given
        return scale


def _take(parts: list[bytearray | memoryview], values: Floats, rows: int) -> None:
    """Add to the parts, whose last one takes the bytes of small requests."""
    last = parts[-1]
    if rows <= SMALL_ROWS and isinstance(last, bytearray):
        last.extend(values.tobytes())
    else:
        parts += [np.ascontiguousarray(values).data, bytearray()]


def _joined(parts: Sequence[bytearray | memoryview]) -> Floats:
    return np.frombuffer(b"".join(parts), dtype=np.float64)
