"""The audit: one line of JSON for each request that was refused, and on demand for each that was answered.

A line says who asked, what, and how it ended; never a body, a query, a key or a token. Requests put lines into a queue
that is bounded, and a thread writes them: a slow disk costs lines, never an answer, and the next line says how many.
The file may be moved away or deleted: it is made again. Where it cannot be written the server goes on, and says so.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from select import PIPE_BUF
from typing import Any

from serving.access import identities
from serving.settings import STDOUT, Settings

MOST_WAITING = 10_000
"""Lines that wait for the disk, a kilobyte each at most."""
MOST_REFUSALS_A_SECOND = 1_000
"""Of one worker: who sends nothing but what is refused fills no disk with it."""
MOST_AT_ONCE = 2**20
"""Bytes of one write; of a pipe, whose other end has the lines of all workers, as many as are not torn: PIPE_BUF."""
MOST_PATH = 200
PAUSE = 0.1
"""Seconds for which lines are gathered."""
COMPLAINS_EVERY = 60.0
CLOSES_WITHIN = 2.0
"""For the last lines: a disk that hangs does not keep the worker."""

logger = logging.getLogger(__name__)


class Audit:
    """One worker's."""

    def __init__(self, path: str, *, accepted: bool) -> None:
        self.takes_accepted = accepted
        self._path = path
        self._lines: deque[dict[str, Any]] = deque()
        self._lost = self._unwritten = self._told = 0
        self._cut = False
        self._second, self._refused = 0, 0
        self._complained = float("-inf")
        self._ends = threading.Event()
        self._file = -1
        self._writer = threading.Thread(target=self._write, name="audit", daemon=True)
        self._writer.start()

    def refused(self, who: identities.Identity, what: Mapping[str, Any], *, reason: str) -> None:
        """Note a request that was not answered."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refused = second, 0
        self._refused += 1
        if self._refused > MOST_REFUSALS_A_SECOND:
            self._lost += 1
        else:
            self._put({"outcome": "refused", "reason": reason, **who.shown(), **what})

    def accepted(self, who: identities.Identity, what: Mapping[str, Any]) -> None:
        """Note a request that was answered, where these are asked for."""
        if self.takes_accepted:
            self._put({"outcome": "accepted", **who.shown(), **what})

    def close(self) -> None:
        """Write what waits, for a moment."""
        self._ends.set()
        self._writer.join(CLOSES_WITHIN)

    def _put(self, line: dict[str, Any]) -> None:
        if len(self._lines) >= MOST_WAITING:
            self._lost += 1
            return
        self._lines.append({"time": round(time.time(), 3), **line})

    def _write(self) -> None:
        while not self._ends.wait(PAUSE):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        lost = self._lost + self._unwritten
        if lost > self._told:
            lines[0]["lost_before"] = lost - self._told
        written = [json.dumps(line).encode() + b"\n" for line in lines]
        try:
            for text in _together(written, PIPE_BUF if self._path == STDOUT else MOST_AT_ONCE):
                self._write_all(text)
        except OSError as error:
            self._unwritten += len(lines)
            self._complain(error)
        else:
            self._told = lost

    def _write_all(self, text: bytes) -> None:
        """Write all of it; after a line that was cut short the next begins on a line of its own."""
        descriptor = self._descriptor()
        rest = memoryview(b"\n" + text if self._cut else text)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
            self._cut = bool(rest)

    def _descriptor(self) -> int:
        """Return the file, opened anew where it is no longer the one of that name."""
        if self._path == STDOUT:
            return 1
        if self._file >= 0 and not _is_at(self._file, self._path):
            os.close(self._file)
            self._file = -1
        if self._file < 0:
            self._file = opened(self._path)
        return self._file

    def _complain(self, error: OSError) -> None:
        if time.monotonic() - self._complained > COMPLAINS_EVERY:
            self._complained = time.monotonic()
            logger.error("the audit cannot be written (%s): requests go on without", error.strerror or error)


def _together(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Give whole lines in pieces of so many bytes at most."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > most:
            yield piece
            piece = b""
        piece += line
    yield piece


def opened(path: str) -> int:
    """Open a file of an audit for this user alone; raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def audit_of(settings: Settings) -> Audit | None:
    """Return what a worker notes, if it is to."""
    return Audit(settings.audit_log, accepted=settings.audit_accepted) if settings.audit_log else None


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - beside fstat
    except OSError:
        return False
