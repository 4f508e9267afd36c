"""Rows of one version that wait to be written: taken as they are, and made a frame by the thread that writes.

A request costs a few microseconds here, whatever its rows: nothing is copied before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.captures import Frame, Request, frame_id
from serving.front.capture.caller_words import Caller
from serving.front.capture.kept_columns import KeptColumns
from serving.rows import Texts
from serving.runtimes import Predicted
from serving.scorer import Floats


class Begin(NamedTuple):
    """Of a frame: milliseconds since 1970, seconds by `time.perf_counter`, 50 bits, and the share that is kept."""

    milliseconds: int
    now: float
    random: int
    share: float


class Pending:
    """A frame that is not closed yet."""

    def __init__(self, key: tuple[str, str], columns: KeptColumns, begin: Begin) -> None:
        self.key, self.columns, self.begin = key, columns, begin
        self.id = frame_id(begin.milliseconds, begin.random)
        self.rows = self.bytes = 0
        self._starts: list[int] = []
        self._seconds: list[float] = []
        self._callers: list[str] = []
        self._matrices: list[Floats] = []
        self._predictions: list[Floats] = []
        self._scales: list[Floats | None] = []
        self._texts: list[tuple[int, Texts]] = []

    def add(self, predicted: Predicted, caller: Caller, now: float) -> str:
        """Take a request's rows; return the id of the first."""
        start = self.rows
        self._starts.append(start)
        self._seconds.append(
            now - self.begin.now if caller.at is None else caller.at - self.begin.milliseconds / 1000
        )
        self._callers.append(caller.id)
        self._matrices.append(predicted.matrix)
        self._predictions.append(predicted.predictions)
        self._scales.append(predicted.scale)
        if predicted.texts:
            self._texts.append((start, predicted.texts))
        self.rows = start + len(predicted.matrix)
        return f"{self.id}{start:06x}"

    def frame(self) -> Frame:
        """Return it as it is written."""
        layout, predictions = self.columns.layout, np.concatenate(self._predictions)
        offsets = np.round(self._seconds, 4).tolist()
        return Frame(
            id=self.id,
            model=layout.model,
            digest=layout.digest,
            milliseconds=self.begin.milliseconds,
            share=self.begin.share,
            matrix=self.columns.matrix(self._matrices),
            predictions=predictions,
            scale=self._scale(),
            requests=tuple(map(Request, self._starts, offsets, self._callers)),
            unseen=self.columns.unseen(self._texts),
        )

    def _scale(self) -> Floats:
        scale = np.full(self.rows, np.nan)
        for start, given in zip(self._starts, self._scales, strict=True):
            if given is not None:
                scale[start : start + len(given)] = given
        return scale
