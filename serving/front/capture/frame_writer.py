"""The threads that write frames: one makes their bytes and appends them, one waits for the disk.

Where the disk is nearly full, or a write fails, nothing more is taken; each second it is looked at again. What was
taken before is written if it fits. An id that was given for a row that is then lost stays in the counters alone.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from data.captures import Places, record
from data.own_files import CLOSE_SECONDS, LOOK_SECONDS, NO_ROOM, OwnFile, is_nearly_full
from serving.front.capture.capture_figures import CaptureFigures
from serving.front.capture.pending import Pending
from serving.settings import CaptureRules

SWEEP_SECONDS = 600.0
"""Between two looks for files that are too old."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClosedFiles:
    """Of frames and of labels, which go after some seconds; 0 keeps them all."""

    places: Places
    seconds: float

    def forget(self) -> None:
        """Delete what is too old; whoever makes Parquet of them, or another worker, may be faster."""
        if not self.seconds:
            return
        before, places = time.time() - self.seconds, self.places
        closed = (
            *places.frames.glob(f"*{places.FRAMES}"),
            *places.labels.glob(f"*{places.LABELS}"),
        )
        for path in closed:
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()


@dataclass
class FileOfFrames:
    """A file, and what stands in it.

    Attributes
    ----------
    layouts : set
        Which versions' frames can be read.
    rows : int
        That were appended.
    safe : int
        Of these, those that are on the disk, or were given up.
    """

    own: OwnFile
    layouts: set[tuple[str, str, str]] = field(default_factory=set)
    rows: int = 0
    safe: int = 0


class Writer:
    """One worker's."""

    def __init__(self, rules: CaptureRules, figures: CaptureFigures) -> None:
        self._folder, self._figures = Places(Path(rules.folder)).frames, figures
        self._queue: SimpleQueue[Pending | None] = SimpleQueue()
        self._file: FileOfFrames | None = None
        self._rotate_seconds, self._disk = rules.rotate, Disk(rules.sync, self._give_up)
        self._closed, self._swept = ClosedFiles(Places(Path(rules.folder)), rules.keep), -math.inf
        self.stopped, self.released, self._looked = "", 0, 0.0
        self._look()
        figures.show(on=not self.stopped)
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def put(self, pending: Pending) -> None:
        """Write a frame, soon."""
        self._queue.put(pending)

    def close(self) -> None:
        """Write what was handed over, and close the file; gives up on a disk that does not answer."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)
        self._disk.close()

    def _run(self) -> None:
        while True:
            try:
                pending = self._queue.get(timeout=LOOK_SECONDS)
            except Empty:
                self._tend()
                continue
            if pending is None:
                return self._rotate()
            self._write(pending)

    def _write(self, pending: Pending) -> None:
        """Write one frame, or count its rows as dropped."""
        try:
            self._tend()
            written = self._append(pending)
            lag = time.perf_counter() - pending.begin.now
            self._figures.written(pending.rows, written, lag)
        except OSError as error:
            self._give_up(pending.rows, error)
        except Exception:
            logger.exception("a frame of %d rows could not be made, and is dropped", pending.rows)
            self._figures.dropped("error", pending.rows)
        finally:
            self.released += pending.size

    def _append(self, pending: Pending) -> int:
        """Append a frame, and its layout where the file has none; return the bytes."""
        records, layout = pending.record(), pending.columns.layout
        file = self._current()
        if layout.key not in file.layouts:
            records = record(layout.head()) + records
        file.own.append(records)
        file.layouts.add(layout.key)
        file.rows += pending.rows
        return len(records)

    def _current(self) -> FileOfFrames:
        """Return the file that is written; another one where it is over."""
        if self._file is None or self._file.own.is_over:
            self._rotate()
            own = OwnFile(self._folder, self._rotate_seconds, Places.FRAMES)
            self._file = self._disk.file = FileOfFrames(own)
        return self._file

    def _tend(self) -> None:
        """Look at the disk, if nobody did for a second, and close a file that is large or old."""
        if time.monotonic() >= self._looked + LOOK_SECONDS:
            self._look()
        if self._file and self._file.own.is_due:
            self._rotate()

    def _rotate(self) -> None:
        if self._file:
            self._disk.finish(self._file)
        self._file = None

    def _look(self) -> None:
        """Stop where the disk is nearly full, and go on where it has room again."""
        self._looked = time.monotonic()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have deleted it
            if self._looked >= self._swept + SWEEP_SECONDS:
                self._swept = self._looked
                self._closed.forget()
            if is_nearly_full(self._folder):
                return self._stop("disk", "less than 10 % of the disk is free, and less than 4 GiB")
            if self.stopped:
                self._current().own.probe()
                self._go_on()
        except OSError as error:
            self._give_up(0, error)

    def _give_up(self, rows: int, error: OSError) -> None:
        """Count rows that are lost, or may be, and stop."""
        reason = "disk" if error.errno in NO_ROOM else "error"
        if rows:
            self._figures.dropped(reason, rows)
        self._stop(reason, error.strerror or str(error))

    def _stop(self, reason: str, words: str) -> None:
        if not self.stopped:
            logger.error("predictions are not kept: %s: %s; serving goes on", self._folder, words)
            self._figures.show(on=False)
        self.stopped = reason

    def _go_on(self) -> None:
        logger.warning("predictions are kept again in %s", self._folder)
        self.stopped = ""
        self._figures.show(on=True)


class Disk:
    """Waits for the disk in a thread of its own, so that nobody else does; says how many rows it may have lost."""

    def __init__(self, seconds: float, give_up: Callable[[int, OSError], None]) -> None:
        self.file: FileOfFrames | None = None
        self._seconds, self._give_up = seconds or math.inf, give_up
        self._ended: SimpleQueue[FileOfFrames | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="capture-sync", daemon=True)
        self._thread.start()

    def finish(self, file: FileOfFrames) -> None:
        """Close a file, soon."""
        self.file = None
        self._ended.put(file)

    def close(self) -> None:
        """Wait until all files are closed."""
        self._ended.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        due = time.monotonic() + self._seconds
        while True:
            left = max(due - time.monotonic(), 0.0)
            try:
                ended = self._ended.get(timeout=None if left == math.inf else left)
                if ended is None:
                    return
                self._do(ended, OwnFile.finish)
            except Empty:
                pass
            if time.monotonic() >= due:  # files that end in between do not put it off
                self._do(self.file, OwnFile.sync)
                due = time.monotonic() + self._seconds

    def _do(self, file: FileOfFrames | None, work: Callable[[OwnFile], None]) -> None:
        if file is None:
            return
        rows = file.rows
        try:
            work(file.own)
        except OSError as error:
            logger.error("captures: %s: %s", file.own.path, error.strerror)  # noqa: TRY400 - the text says it all
            rows = file.rows
            self._give_up(rows - file.safe, error)
        file.safe = rows
