"""The workers of one server: started, replaced when they die, told to stop.

A worker is a process with the listening socket and one line to its parent, which is its stdin.
It gets the settings on that line, and no word of the parent's environment that it does not
need: the registry's credentials stay with the parent. A worker that dies soon after its start
is replaced ever more slowly; one that refuses its model before any worker served it is not
replaced at all. On the line go new versions (prepare, then swap) and the status, one JSON object
a line; each order is answered.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from serving.access import read_hashes
from serving.errors import NotReady, SettingsError
from serving.settings import Model, Settings

MODEL_BROKEN = 3
"""A worker's exit code where starting another would not help."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker is replaced; doubled for one that lived no longer than the longest pause."""

PREPARE_SECONDS = 60.0
"""How long all workers together may take to load a version."""

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
    serves: bool = False
    retired: bool = False
    answers: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    def listen(self) -> None:
        """Collect what the worker says until its line ends; the first line says that it serves."""
        with suppress(OSError), self.line.makefile("rb") as lines:  # a killed worker's line is reset
            for line in lines:
                self.serves = True
                self.answers.put(json.loads(line))
        self.answers.put({"gone": True})

    def tell(self, order: dict[str, Any]) -> None:
        """Send one order; a worker that does not read its line is ended, and so replaced."""
        try:
            self.line.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            self.process.kill()

    def answer(self, number: int, until: float) -> str | None:
        """Return why the order was refused, if it was; raises NotReady."""
        while True:
            try:
                said = self.answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise NotReady(pid=self.process.pid, what="was too slow") from None
            if "gone" in said:
                raise NotReady(pid=self.process.pid, what="ended")
            if said.get("order") == number:
                reason: str | None = said["refused"]
                return reason

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
        self._counters = Path(counters)
        self._lock = threading.Lock()
        self._orders = itertools.count()
        self._status: dict[str, Any] = {}
        self._served = False
        self._to_roll: list[Worker] = []

    def run(self) -> int:
        """Keep the workers running until a signal; return the exit code."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, self._roll)
        while self._workers or (self._due and not self._stopping):
            self._start_due()
            time.sleep(0.05)
            self._bury_dead()
            self._roll_next()
        return 0 if self._stopping else MODEL_BROKEN

    def prepare(self, model: Model) -> str | None:
        """Load a version in all workers; return why one of them refuses it. Raises NotReady."""
        with self._lock:
            asked = [(worker, self._order(worker, "prepare", model)) for worker in self._workers]
        until = time.monotonic() + PREPARE_SECONDS
        reasons = [worker.answer(number, until) for worker, number in asked if not worker.retired]
        return next(filter(None, reasons), None)

    def swap(self, model: Model) -> None:
        """Serve a version, in the workers that are there and in those that come."""
        with self._lock:
            models = tuple(model if model.key == old.key else old for old in self._settings.models)
            self._settings = replace(self._settings, models=models)
            for worker in self._workers:
                self._order(worker, "swap", model)

    def tell_status(self, status: dict[str, Any]) -> None:
        """Pass on what /status shows."""
        with self._lock:
            self._status = status
            for worker in self._workers:
                worker.tell({"status": status})

    def _order(self, worker: Worker, verb: str, model: Model) -> int:
        number = next(self._orders)
        worker.tell({"order": number, verb: asdict(model)})
        return number

    def _roll(self, number: int, _frame: Any) -> None:
        """Have the keys read at once, and each worker replaced by a new one, one after the other."""
        self._tell(number, serves=True)  # before it serves, a worker has no ear for it and would die
        try:
            if self._settings.key_file:
                read_hashes(Path(self._settings.key_file))
        except SettingsError as error:
            logger.error("%s; the workers stay", error)  # noqa: TRY400 - the text says it all
            return
        self._to_roll = list(self._workers)

    def _roll_next(self) -> None:
        """Retire the next old worker once as many serve as should."""
        self._served = self._served or any(worker.serves for worker in self._workers)
        self._to_roll = [worker for worker in self._to_roll if worker in self._workers and not worker.retired]
        if not self._to_roll or self._stopping:
            return
        staying = [worker for worker in self._workers if not worker.retired]
        if len([worker for worker in staying if worker.serves]) > self._settings.workers:
            self._to_roll[0].retired = True
            self._to_roll[0].process.send_signal(signal.SIGTERM)
        elif len(staying) + len(self._due) <= self._settings.workers:
            self._due.append((0.0, FIRST_PAUSE))

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [place for place in self._due if place[0] <= now]
        self._due = [place for place in self._due if place[0] > now]
        for _, pause in due:
            if not self._stopping:
                with self._lock:
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
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
        worker = Worker(process, ours, time.monotonic(), pause)
        ours.sendall(self._settings.as_json().encode() + b"\n")
        worker.tell({"status": self._status})
        threading.Thread(target=worker.listen, daemon=True).start()
        return worker

    def _bury_dead(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            with self._lock:
                self._workers.remove(worker)
            worker.line.close()
            for file in self._counters.glob(f"gauge_live*_{worker.process.pid}.db"):
                file.unlink()
            if not self._stopping and not worker.retired and (self._served or code != MODEL_BROKEN):
                pause = worker.next_pause
                logger.warning(
                    "worker %d ended with %d; another starts in %.1f s", worker.process.pid, code, pause
                )
                self._due.append((time.monotonic() + pause, pause))

    def _stop(self, _number: int, _frame: Any) -> None:
        """End all workers. SIGINT says that no other takes the connections; it has no ear for it before it serves."""
        if self._stopping:
            self._tell(signal.SIGKILL)
        self._stopping = True
        self._tell(signal.SIGINT, serves=True)
        self._tell(signal.SIGTERM, serves=False)

    def _tell(self, number: int, *, serves: bool | None = None) -> None:
        for worker in self._workers:
            if worker.process.returncode is None and serves in (None, worker.serves):
                worker.process.send_signal(number)
