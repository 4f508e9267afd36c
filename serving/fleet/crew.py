"""The workers of one server: started, replaced when they die, told to stop.

A worker that dies soon after its start is replaced ever more slowly; one that gives no sign of life is killed. At the
start one worker loads the model before the others do, and where it dies of it, the server ends. A new version is loaded
by one worker after the other (prepare), and then served by all (swap).
"""

from __future__ import annotations

import itertools
import logging
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from data.captures import Places
from serving.access import Access, tls
from serving.errors import NotReady, SettingsError
from serving.fleet import canary
from serving.fleet.member import FIRST_PAUSE, Worker, environment_of_workers
from serving.settings import Model, Settings

MODEL_BROKEN = 3
"""A worker's exit code where starting another would not help."""

ASLEEP_SECONDS = 1.0
"""A turn of the parent that lasts longer: it did not listen, so nobody was silent."""

PYFUNC_SECONDS = 300.0
"""How long MLflow may take to load a version in one process; TensorFlow alone takes ten seconds."""

MOST_DEATHS = 2
"""So many workers may die while they load a version before it is refused."""

DRAIN, DRAIN_ALL = signal.SIGUSR1, signal.SIGUSR2
"""What a worker that serves is told at its end: others take its connections, or nobody does."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

logger = logging.getLogger(__name__)


class Crew:
    """All workers of a server."""

    def __init__(self, settings: Settings, listener: socket.socket, counters: Path | None) -> None:
        self._settings = settings
        self._listener = listener
        self._environment = environment_of_workers()
        self._workers: list[Worker] = []
        self._due: list[tuple[float, float]] = [(0.0, FIRST_PAUSE)]
        self._waiting = settings.workers - 1
        self._stopping = False
        self._leaves_at: float | None = None
        self._leaving = False
        self._counters = counters
        self._lock = threading.Lock()
        self._orders = itertools.count()
        self._status: dict[str, Any] = {}
        self._served = False
        self._turned = time.monotonic()
        self._canary = canary.Canary(self._environment)
        self._proven: set[Model] = set()
        self._deaths: Counter[Model] = Counter()

    def run(self) -> int:
        """Keep the workers running until a signal; return the exit code."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, self._roll)
        while self._workers or (self._due and not self._stopping):
            self._start_due()
            time.sleep(0.05)
            self._bury_dead()
            self._end_hung()
            self._let_others_start()
            self._roll_next()
            self._leave()
        return 0 if self._stopping else MODEL_BROKEN

    def prepare(self, model: Model) -> str | None:
        """Load a version in all workers, one after the other; return why it is refused. Raises NotReady."""
        reason = self._tried(model)
        with self._lock:
            asked = [worker for worker in self._workers if worker.serves and not worker.retired]
        for worker in asked:
            if not reason and not worker.is_silent(self._settings.hung_seconds / 2):
                reason = self._prepare_in(worker, model)
        if reason:
            self._proven.discard(model)
        return reason

    def _tried(self, model: Model) -> str | None:
        """Load a version where nobody is served, unless that was done; return why it is refused."""
        if model in self._proven or model.runtime != "scorer":
            return None
        reason = self._canary.refusal(model, self._settings)
        if not reason:
            self._proven.add(model)
        return reason

    def _prepare_in(self, worker: Worker, model: Model) -> str | None:
        with self._lock:
            number = self._order(worker, "prepare", model)
        try:
            return worker.answer(
                number, seconds=self._patience(model), silence=self._settings.hung_seconds / 2
            )
        except TimeoutError:
            worker.worn = True  # it is still loading, and what it is told next would wait for that
            return f"it was too slow: a worker has not loaded it after {self._patience(model):g} s"
        except NotReady:
            self._deaths[model] += 1
            if self._deaths[model] < MOST_DEATHS:
                raise
            del self._deaths[model]
            return f"{MOST_DEATHS} workers ended while they loaded it"

    def _patience(self, model: Model) -> float:
        """Return for how long a worker may load a version."""
        if model.runtime == "pyfunc":
            return PYFUNC_SECONDS * (1 + self._settings.processes)
        return canary.clock_seconds(self._settings)

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
            Access(self._settings)
            tls.certificates_of(self._settings)
        except SettingsError as error:
            logger.error("SIGHUP: %s; the workers stay", error)  # noqa: TRY400 - the text says it all
            return
        for worker in self._workers:
            worker.worn = True
        logger.info("SIGHUP: keys and certificate read, %d workers to be replaced", len(self._workers))

    def _roll_next(self) -> None:
        """Retire the next worn worker once as many serve as should."""
        staying = [worker for worker in self._workers if not worker.retired]
        worn = [worker for worker in staying if worker.worn]
        if not worn or self._stopping:
            return
        if len([worker for worker in staying if worker.serves]) > self._settings.workers:
            worn[0].retired = True
            worn[0].process.send_signal(DRAIN)
        elif len(staying) + len(self._due) <= self._settings.workers:
            self._due.append((0.0, FIRST_PAUSE))

    def _let_others_start(self) -> None:
        """Start the other workers once the first has loaded the model, which might have killed it."""
        loaded = any(worker.loaded for worker in self._workers)
        self._served = self._served or any(worker.serves for worker in self._workers)
        if loaded and not self._proven:
            self._proven = set(self._settings.models)
            self._due += [(0.0, FIRST_PAUSE)] * self._waiting
            self._waiting = 0
        if self._served and any(
            model.version and model.runtime == "scorer" for model in self._settings.models
        ):
            self._canary.hatch()

    def _end_hung(self) -> None:
        """Kill who gave no sign of life for too long; not where this process itself did not listen."""
        now = time.monotonic()
        asleep, self._turned = now - self._turned, now
        for worker in self._workers:
            if asleep > ASLEEP_SECONDS:
                worker.heard += asleep
            patience = self._settings.hung_seconds
            if not worker.loaded:
                patience += sum(self._patience(model) for model in self._settings.models)
            if worker.process.returncode is None and worker.is_silent(patience):
                logger.error(
                    "worker %d gave no sign of life for %.0f s and is killed", worker.process.pid, patience
                )
                worker.heard = now
                worker.process.kill()

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [start for start in self._due if start[0] <= now]
        self._due = [start for start in self._due if start[0] > now]
        for _, pause in due:
            if not self._stopping:
                with self._lock:
                    self._workers.append(self._start(pause))
            if self._stopping:  # the signal came while the worker was being made
                self._tell(signal.SIGTERM)

    def _start(self, pause: float) -> Worker:
        counters = {METRICS_FOLDER: str(self._counters)} if self._counters else {}
        worker = Worker.start(self._settings, self._listener, self._environment | counters, pause=pause)
        worker.tell({"status": self._status})
        if self._leaving:
            worker.tell({"leave": True})
        return worker

    def _bury_dead(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            with self._lock:
                self._workers.remove(worker)
            worker.line.close()
            if worker.ear:
                worker.ear.join(1)  # its last words may not have been heard
            if self._counters:
                for file in self._counters.glob(f"gauge_live*_{worker.process.pid}.db"):
                    file.unlink()
            if self._settings.capture.folder:
                self._close_captures()
            if not self._stopping and not worker.retired:
                self._replace(worker, code)

    def _close_captures(self) -> None:
        """Close what a worker that was killed left open; in a thread, for it may be 64 MiB."""
        places = Places(Path(self._settings.capture.folder))
        threading.Thread(target=places.close_dead, daemon=False).start()

    def _replace(self, worker: Worker, code: int) -> None:
        """Have another worker start, unless the model broke the first one."""
        if self._served or (worker.loaded and code != MODEL_BROKEN):
            pause = worker.next_pause
            logger.warning(
                "worker %d ended with %d; another starts in %.1f s", worker.process.pid, code, pause
            )
            self._due.append((time.monotonic() + pause, pause))
        elif code != MODEL_BROKEN:  # else it said itself what is wrong
            logger.error("the model cannot be served: %s", canary.why_ended(code, self._settings))

    def _stop(self, _number: int, _frame: Any) -> None:
        """Begin to leave where that takes a while; end all workers at the next signal, and kill them at one more."""
        if self._stopping:
            self._tell(signal.SIGKILL)
        answers = any(worker.loaded for worker in self._workers)  # or is about to
        if answers and self._settings.drain_delay and self._leaves_at is None:
            self._leaves_at = time.monotonic() + self._settings.drain_delay
        else:
            self._end()

    def _leave(self) -> None:
        """Have the workers say that they are not ready, and end them when balancers have had the time to hear it."""
        if self._leaves_at is None or self._stopping:
            return
        if time.monotonic() >= self._leaves_at:
            self._end()
        elif not self._leaving:
            seconds = self._settings.drain_delay
            logger.info("told to stop: /readyz says 503, requests are taken for %g s more", seconds)
            with self._lock:
                self._leaving = True
                for worker in self._workers:
                    worker.tell({"leave": True})

    def _end(self) -> None:
        """End all workers: no other takes their connections. One that does not serve yet knows but the plain signal."""
        self._stopping = True
        self._tell(DRAIN_ALL, serves=True)
        self._tell(signal.SIGTERM, serves=False)

    def _tell(self, number: int, *, serves: bool | None = None) -> None:
        for worker in self._workers:
            if worker.process.returncode is None and serves in (None, worker.serves):
                worker.process.send_signal(number)
