"""Rows of one version that wait to be written: taken as they are, and made a frame by the thread that writes.

Small requests are copied at once: their arrays are hot then, while a thousand of them would be cold memory later. All
that can wait is left to the thread: what their callers said, and how they were hashed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.captures import Frame, frame_id, record
from serving.front.capture.caller_words import Words, caller_of
from serving.front.capture.kept_columns import KeptColumns
from serving.rows.cells import Texts
from serving.runtimes import Predicted, Runtime
from serving.scorer import Floats

SMALL_ROWS = 32
"""Of a request that is copied; one of more is kept by reference."""


class Begin(NamedTuple):
    """Of a frame: milliseconds since 1970, seconds by `time.perf_counter`, 50 bits, and the share that is kept."""

    milliseconds: int
    now: float
    random: int
    share: float


class Pending:
    """A frame that is not closed yet; it has slots, since each request looks for most of them.

    Attributes
    ----------
    runtime : Runtime
        Whose rows these are: as long as they are here no other one has its `id`.
    row_bytes : int
        That a row takes, with its prediction, its scale and its time.
    room, left : int
        Bytes of memory that it may take, and of these those that it has not taken.
    rows : int
        That were taken.
    """

    __slots__ = (
        "_cells",
        "_first",
        "_matrices",
        "_moments",
        "_predictions",
        "_scales",
        "_several",
        "_texts",
        "_values",
        "_words",
        "begin",
        "columns",
        "id",
        "left",
        "room",
        "row_bytes",
        "rows",
        "runtime",
    )

    def __init__(self, runtime: Runtime, columns: KeptColumns, begin: Begin) -> None:
        self.runtime, self.columns, self.begin = runtime, columns, begin
        self.id = frame_id(begin.milliseconds, begin.random)
        self._first = self.id.encode()
        self.row_bytes = 8 * (len(runtime.description.columns) + 3)
        self.room = self.left = self.rows = 0
        self._moments, self._cells, self._values = array("d"), array("d"), array("d")
        self._matrices: list[array[float] | Floats] = [self._cells]
        self._predictions: list[array[float] | Floats] = [self._values]
        self._several: list[tuple[int, int]] = []
        self._words: list[tuple[int, Words]] = []
        self._scales: list[tuple[int, bytes]] = []
        self._texts: list[tuple[int, Texts]] = []

    @property
    def size(self) -> int:
        """Bytes of memory that were taken."""
        return self.room - self.left

    def add(self, predicted: Predicted, words: Words | None, now: float, size: int) -> bytes:
        """Take a request's rows, of so many bytes; return the id of the first. Flat, as most are one row."""
        start, (matrix, predictions, scale, texts, _) = self.rows, predicted
        rows = len(matrix)
        if rows == 1:
            self._cells.frombytes(matrix.tobytes())
            self._values.append(predictions.item())
        else:
            self._add_several(matrix, predictions)
        if words:
            self._words.append((len(self._moments), words))
        if scale is not None:
            self._scales.append((start, scale.tobytes()))
        if texts:
            self._texts.append((start, texts))
        self._moments.append(now)
        self.rows = start + rows
        self.left -= size
        return b"%b%06x" % (self._first, start)

    def _add_several(self, matrix: Floats, predictions: Floats) -> None:
        rows = len(matrix)
        self._several.append((len(self._moments), rows))
        if rows <= SMALL_ROWS:
            self._cells.frombytes(matrix.tobytes())
            self._values.frombytes(predictions.tobytes())
        else:
            self._cells, self._values = array("d"), array("d")
            self._matrices += [matrix, self._cells]
            self._predictions += [predictions, self._values]

    def record(self) -> bytes:
        """Return it as it is written; an object for each request would take five times as long."""
        layout = self.columns.layout
        frame = Frame(
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
        return record({**frame.head(), "requests": list(self._requests())}, frame.parts())

    def _requests(self) -> Iterable[tuple[int, float, str]]:
        """Return what `Request` holds of each: an event has the time that it names, to the tenth of a millisecond."""
        offsets, names = np.frombuffer(self._moments) - self.begin.now, [""] * len(self._moments)
        for index, said in self._words:
            names[index], at = caller_of(said)
            if at is not None:
                offsets[index] = at - self.begin.milliseconds / 1000
        return zip(self._starts().tolist(), np.round(offsets, 4).tolist(), names, strict=True)

    def _starts(self) -> NDArray[np.int64]:
        rows = np.ones(len(self._moments), dtype=np.int64)
        for index, count in self._several:
            rows[index] = count
        return np.cumsum(rows) - rows

    def _scale(self) -> Floats:
        scale = np.full(self.rows, np.nan)
        for start, content in self._scales:
            given = np.frombuffer(content)
            scale[start : start + len(given)] = given
        return scale


def _joined(parts: Sequence[array[float] | Floats]) -> Floats:
    whole = [np.ascontiguousarray(part).data for part in parts]
    return np.frombuffer(b"".join(whole))
