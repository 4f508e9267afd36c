"""What happens to a prediction that may be kept, on the event loop: drawn, counted against the room, and taken.

Nothing here waits, and nothing touches the disk: frames go to `Writer` when they are full, or after a moment.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from data.captures import Frame
from serving.front.capture.caller_words import Caller
from serving.front.capture.drawing import NOT_DRAWN, Draw
from serving.front.capture.kept_columns import KeptColumns, read_key
from serving.front.capture.pending import Begin, Pending
from serving.rows import coercion
from serving.runtimes import Predicted, Runtime
from serving.settings import CaptureRules

MOMENT = 0.15
"""Seconds until a frame is closed: with the time that writing takes, no more than 0.2 s are lost with a worker."""
FRAME_BYTES = 256 * 2**10
ROOM_BYTES = 8 * 2**20
"""Of rows that are not written yet, in a worker. What comes when it is full is dropped."""
REQUEST_BYTES, TEXT_BYTES = 400, 200
"""That Python's objects take, for a request and for an unseen category."""
MOST_TEXTS = ROOM_BYTES // TEXT_BYTES
WORDS = {
    "disk": "the disk has too little room left",
    "error": "the folder cannot be written",
}
"""For the reasons that stop it."""

logger = logging.getLogger(__name__)

Key = tuple[str, str, str]
Later = Callable[[float, Callable[[], None]], Any]


class Writing(Protocol):
    """Who takes the frames.

    Attributes
    ----------
    stopped : str
        Why nothing can be written just now, as it is counted; nothing where it can.
    released : int
        Bytes of what was handed over and is written, or given up.
    """

    stopped: str
    released: int

    def put(self, pending: Pending) -> None:
        """Write a frame, soon."""

    def close(self) -> None:
        """Write what was handed over, and close the file."""


class Counting(Protocol):
    """Where it is counted what is dropped."""

    def dropped(self, reason: str, rows: int) -> None:
        """Count rows that are not kept."""


def _on_the_loop(seconds: float, work: Callable[[], None]) -> Any:
    return asyncio.get_running_loop().call_later(seconds, work)


class Capture:
    """One worker's."""

    def __init__(
        self,
        rules: CaptureRules,
        writer: Writing,
        counting: Counting,
        *,
        workers: int = 1,
        later: Later = _on_the_loop,
    ) -> None:
        self._rules, self._writer, self._counting, self._later = rules, writer, counting, later
        self._key = read_key(rules.key_file)
        self._draw = Draw(rules.share, rules.rows / workers)
        self._columns: dict[Key, KeptColumns] = {}
        self._pending: dict[Key, Pending] = {}
        self._dropped: Counter[str] = Counter()
        self._is_due = False
        self._taken = 0
        coercion.keep_texts(MOST_TEXTS)

    def status(self) -> dict[str, Any]:
        """Say whether predictions are kept, and why not."""
        stopped = self._writer.stopped
        return {"on": not stopped, "reason": WORDS.get(stopped, stopped)}

    def prepare(self, runtime: Runtime) -> None:
        """Make what is kept of a version before it serves: hashing many categories takes a tenth of a second."""
        key = _key_of(runtime)
        if key not in self._columns:
            self._columns[key] = KeptColumns.of(runtime, self._rules, self._key)

    def keep(self, runtime: Runtime, predicted: Predicted, caller: Caller, now: float) -> str:
        """Keep what was predicted at `now`; return the id of the first row, or nothing where it is not kept.

        It is answered already, so whatever goes wrong here is counted and logged, and costs the client nothing.
        """
        rows = len(predicted.matrix)
        try:
            if not self._is_due:
                self._begin(now)
            refused = self._draw.refusal(rows) or self._writer.stopped
            if not refused and (first := self._take(runtime, predicted, caller, now)):
                return first
            self._dropped[refused or "full"] += rows
        except Exception:
            logger.exception("a prediction is not kept; it was answered")
            self._dropped["error"] += rows + self._lose(_key_of(runtime))
        return ""

    def _take(self, runtime: Runtime, predicted: Predicted, caller: Caller, now: float) -> str:
        """Put a request into its frame; return the first id, or nothing where there is no room for it."""
        rows, size = len(predicted.matrix), _size(predicted)
        if self._taken - self._writer.released + size > ROOM_BYTES:
            return ""
        pending = self._of(runtime, rows, now)
        first = pending.add(predicted, caller, now)
        pending.bytes += size
        self._taken += size
        if pending.bytes >= FRAME_BYTES:
            self._close(pending)
        return first

    def _lose(self, key: Key) -> int:
        """Throw away a frame that may hold half a request; return the rows that it had."""
        pending = self._pending.pop(key, None)
        if pending is None:
            return 0
        self._taken -= pending.bytes
        return pending.rows

    def _of(self, runtime: Runtime, rows: int, now: float) -> Pending:
        """Return the frame that takes so many rows of a version."""
        key = _key_of(runtime)
        pending = self._pending.get(key)
        if pending and pending.rows + rows > Frame.MOST_ROWS:
            self._close(pending)
            pending = None
        if pending is None:
            self.prepare(runtime)
            begin = Begin(time.time_ns() // 10**6, now, secrets.randbits(50), self._draw.share)
            pending = self._pending[key] = Pending(self._columns[key], begin)
        return pending

    def _begin(self, now: float) -> None:
        """Begin a moment."""
        self._draw.begin(now)
        self._later(MOMENT, self.flush)
        self._is_due = True

    def flush(self) -> None:
        """End a moment: hand over what is pending, and count what was dropped."""
        self._is_due = False
        for pending in list(self._pending.values()):
            self._close(pending)
        dropped, self._dropped = self._dropped, Counter()
        for reason, rows in dropped.items():
            if reason != NOT_DRAWN:
                self._counting.dropped(reason, rows)

    def _close(self, pending: Pending) -> None:
        del self._pending[pending.columns.layout.key]
        self._writer.put(pending)

    def close(self) -> None:
        """Write what is there, at the end."""
        self.flush()
        self._writer.close()


def _key_of(runtime: Runtime) -> Key:
    """Return what a version's layout has as its key: the same files may be served again under another number."""
    described = runtime.description
    return runtime.model.name or described.name, described.label, described.digest


def _size(predicted: Predicted) -> int:
    """Return the bytes that a request takes until it is written."""
    matrix, predictions, _, texts, _ = predicted
    size = REQUEST_BYTES + matrix.nbytes + 2 * predictions.nbytes
    if texts:
        size += sum(TEXT_BYTES + 4 * len(each.text) for each in texts)
    return size
