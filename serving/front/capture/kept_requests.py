"""What happens to a prediction that may be kept, on the event loop: drawn, counted against the room, and taken.

Nothing here waits, and nothing touches the disk: frames go to `Writer` when they are full, or after a moment.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from serving.front.capture.caller_words import Words, words_of
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
STEP_BYTES = 32 * 2**10
"""In which a frame takes room: a server of a hundred models has as many frames at once."""
REQUEST_BYTES, TEXT_BYTES = 400, 200
"""That Python's objects take, for a request that is more than one row and for an unseen category."""
MOST_TEXTS = ROOM_BYTES // TEXT_BYTES
WORDS = {
    "disk": "the disk has too little room left",
    "error": "the folder cannot be written",
}
"""For the reasons that stop it."""

logger = logging.getLogger(__name__)

Key = tuple[str, str, str]
Later = Callable[[float, Callable[[], None]], Any]


class TakesFrames(Protocol):
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
        writer: TakesFrames,
        counting: Counting,
        *,
        workers: int = 1,
        later: Later = _on_the_loop,
    ) -> None:
        self._rules, self._writer, self._counting, self._later = rules, writer, counting, later
        self._key = read_key(rules.key_file)
        self._draw = Draw(rules.share, rules.rows / workers)
        self._columns: dict[Key, KeptColumns] = {}
        self._pending: dict[int, Pending] = {}
        """By the `id` of a runtime."""
        self._dropped: Counter[str] = Counter()
        self._is_drawn, self._is_due = rules.share < 1.0 or rules.rows > 0, False
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

    def keep(
        self, runtime: Runtime, predicted: Predicted, headers: Mapping[bytes, bytes], now: float
    ) -> bytes:
        """Keep what was predicted at `now`; return the id of the first row, or nothing where it is not kept.

        It is answered already, so whatever goes wrong here is counted and logged, and costs the client nothing. Flat:
        each request comes here.
        """
        rows = len(predicted.matrix)
        try:
            pending = self._pending.get(id(runtime))
            if pending is None or self._is_drawn:
                if refused := self._refusal(rows, now):
                    self._dropped[refused] += rows
                    return b""
                pending = pending or self._begun(runtime, now)
            words = words_of(headers, predicted.request_id)
            size = pending.row_bytes if rows == 1 else REQUEST_BYTES + rows * pending.row_bytes
            if words or predicted.scale is not None or predicted.texts:
                size += _more_bytes(words, predicted)
            if size <= pending.left or (pending := self._with_room(pending, size, now)):
                return pending.add(predicted, words, now, size)
            self._dropped["full"] += rows
        except Exception:
            logger.exception("a prediction is not kept; it was answered")
            self._dropped["error"] += rows + self._lose(runtime)
        return b""

    def _refusal(self, rows: int, now: float) -> str:
        """Return why a request is not kept, nothing where it is; the first one of a moment begins it."""
        if not self._is_due:
            self._draw.begin(now)
            self._later(MOMENT, self.flush)
            self._is_due = True
        return (self._is_drawn and self._draw.refusal(rows)) or self._writer.stopped

    def _begun(self, runtime: Runtime, now: float) -> Pending:
        """Begin a frame, for which there is no room yet."""
        self.prepare(runtime)
        begin = Begin(time.time_ns() // 10**6, now, secrets.randbits(50), self._draw.share)
        pending = self._pending[id(runtime)] = Pending(runtime, self._columns[_key_of(runtime)], begin)
        return pending

    def _with_room(self, pending: Pending, size: int, now: float) -> Pending | None:
        """Return the frame that has room for so many bytes of the same version: this one, or the next; or none."""
        if pending.room >= FRAME_BYTES:
            self._close(pending)
            pending = self._begun(pending.runtime, now)
        more = max(size - pending.left, STEP_BYTES)
        if self._taken - self._writer.released + more > ROOM_BYTES:
            return None
        self._taken += more
        pending.room += more
        pending.left += more
        return pending

    def _lose(self, runtime: Runtime) -> int:
        """Throw away a frame that may hold half a request; return the rows that it had."""
        pending = self._pending.pop(id(runtime), None)
        if pending is None:
            return 0
        self._taken -= pending.room
        return pending.rows

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
        """Hand a frame over, and give back the room that it does not need."""
        del self._pending[id(pending.runtime)]
        self._taken -= pending.left
        if pending.rows:
            self._writer.put(pending)

    def close(self) -> None:
        """Write what is there, at the end."""
        self.flush()
        self._writer.close()


def _key_of(runtime: Runtime) -> Key:
    """Return what a version's layout has as its key: the same files may be served again under another number."""
    described = runtime.description
    return runtime.model.name or described.name, described.label, described.digest


def _more_bytes(words: Words | None, predicted: Predicted) -> int:
    """Return the bytes that a caller's words, scales and unseen categories take."""
    size = sum(TEXT_BYTES + 4 * len(each.text) for each in predicted.texts)
    if words:
        size += REQUEST_BYTES + sum(map(sys.getsizeof, words))
    return size if predicted.scale is None else size + REQUEST_BYTES
