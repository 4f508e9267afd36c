"""The thread that writes labels: nobody is told that they are kept before the disk has them.

Requests that come while it waits for the disk share the next wait. A record is written whole or not at all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from data.captures import Places
from data.own_files import CLOSE_SECONDS, LOOK_SECONDS, OwnFile
from serving.settings import CaptureRules

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WaitingRecord:
    """A record that is to be written, and who waits for that."""

    record: bytes
    written: Future[None] = field(default_factory=Future)


class LabelWriter:
    """One worker's."""

    def __init__(self, rules: CaptureRules) -> None:
        self._folder, self._rotate_seconds = Places(Path(rules.folder)).labels, rules.rotate
        self._queue: SimpleQueue[WaitingRecord | None] = SimpleQueue()
        self._file: OwnFile | None = None
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)
        self._thread.start()

    def write(self, record: bytes) -> Future[None]:
        """Write a record, soon; the future ends when it is on the disk, or with an OSError and nothing of it kept."""
        waiting = WaitingRecord(record)
        self._queue.put(waiting)
        return waiting.written

    def close(self) -> None:
        """Write what was handed over, and close the file; gives up on a disk that does not answer."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        is_open = True
        while is_open:
            waiting = self._wait()
            is_open = None not in waiting
            self._write([each for each in waiting if each and each.written.set_running_or_notify_cancel()])
            self._rotate_if_due()
        self._rotate()

    def _wait(self) -> list[WaitingRecord | None]:
        """Return all that is there by now."""
        waiting: list[WaitingRecord | None] = []
        try:
            waiting.append(self._queue.get(timeout=LOOK_SECONDS))
            while waiting[-1] is not None:
                waiting.append(self._queue.get_nowait())
        except Empty:
            pass
        return waiting

    def _write(self, waiting: list[WaitingRecord]) -> None:
        """Write records with one wait for the disk; where all together do not fit, each for itself."""
        if waiting and (error := self._failure([each.record for each in waiting])):
            if len(waiting) == 1:
                waiting[0].written.set_exception(error)
                return
            for each in waiting:
                self._write([each])
            return
        for each in waiting:
            each.written.set_result(None)

    def _failure(self, records: Sequence[bytes]) -> Exception | None:
        """Keep records, and return why they are not."""
        try:
            self._keep(b"".join(records))
        except Exception as error:
            return error
        return None

    def _keep(self, records: bytes) -> None:
        """Have records on the disk; raises OSError and leaves nothing of them."""
        file = self._current()
        size = file.size
        file.append(records)
        try:
            file.sync()
        except OSError:
            file.cut(size)
            raise

    def _current(self) -> OwnFile:
        """Return the file that is written; another one where it is over."""
        if self._file is None or self._file.is_over:
            self._rotate()
            self._file = OwnFile(self._folder, self._rotate_seconds, Places.LABELS)
        return self._file

    def _rotate_if_due(self) -> None:
        if self._file and self._file.is_due:
            self._rotate()

    def _rotate(self) -> None:
        """Close the file; where that fails, whoever finds it later does so."""
        file, self._file = self._file, None
        try:
            if file:
                file.finish()
        except OSError as error:
            logger.error("labels: %s: %s", file and file.path, error.strerror)  # noqa: TRY400 - the text says it all
