"""The workers of one server: started, replaced when they die, told to stop.

A worker is a process with the listening socket and one line to its parent, which is its stdin.
It gets the settings on that line, and no word of the parent's environment that it does not
need: the registry's credentials stay with the parent. A worker that dies soon after its start
is replaced ever more slowly; one that refuses its model is not replaced at all.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from serving.settings import Settings

MODEL_BROKEN = 3
"""A worker's exit code where starting another would not help."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker is replaced; doubled for one that lived no longer than the longest pause."""

ENVIRONMENT = (
    "PATH",
    "PYTHON",
    "VIRTUAL_ENV",
    "LD_",
    "LANG",
    "LC_",
    "TZ",
    "HOME",
    "TMPDIR",
    "OMP_",
    "MALLOC_",
)
"""How the names of variables begin that a worker gets."""

logger = logging.getLogger("serving")


@dataclass
class Worker:
    """One place in the crew."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    started: float
    pause: float

    @property
    def next_pause(self) -> float:
        """How long to wait before its place is filled again."""
        short_lived = time.monotonic() - self.started < LONGEST_PAUSE
        return min(self.pause * 2, LONGEST_PAUSE) if short_lived else FIRST_PAUSE


class Crew:
    """All workers of a server."""

    def __init__(self, settings: Settings, listener: socket.socket, counters: str) -> None:
        self._settings = settings
        self._listener = listener
        kept = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}
        self._environment = kept | {"PROMETHEUS_MULTIPROC_DIR": counters}
        self._workers: list[Worker] = []
        self._due: list[tuple[float, float]] = [(0.0, FIRST_PAUSE)] * settings.workers
        self._stopping = False

    def run(self) -> int:
        """Keep the workers running until a signal; return the exit code."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, lambda number, _: self._tell(number))
        while self._workers or (self._due and not self._stopping):
            self._start_due()
            time.sleep(0.05)
            self._bury_dead()
        return 0 if self._stopping else MODEL_BROKEN

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [place for place in self._due if place[0] <= now]
        self._due = [place for place in self._due if place[0] > now]
        for _, pause in due:
            if not self._stopping:
                self._workers.append(self._start(pause))
            if self._stopping:  # the signal came while the worker was being made
                self._tell(signal.SIGTERM)

    def _start(self, pause: float) -> Worker:
        ours, theirs = socket.socketpair()
        descriptor = self._listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.worker", str(descriptor)],
            stdin=theirs.fileno(),
            pass_fds=[descriptor],
            env=self._environment,
        )
        theirs.close()
        ours.sendall(self._settings.as_json().encode() + b"\n")
        return Worker(process, ours, time.monotonic(), pause)

    def _bury_dead(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            self._workers.remove(worker)
            worker.line.close()
            if not self._stopping and code != MODEL_BROKEN:
                pause = worker.next_pause
                logger.warning(
                    "worker %d ended with %d; another starts in %.1f s", worker.process.pid, code, pause
                )
                self._due.append((time.monotonic() + pause, pause))

    def _stop(self, _number: int, _frame: Any) -> None:
        self._tell(signal.SIGKILL if self._stopping else signal.SIGTERM)
        self._stopping = True

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.process.returncode is None:
                worker.process.send_signal(number)
