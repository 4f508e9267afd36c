"""A new version is loaded and replayed first in a process that may die of it: the parent's side.

`Canary` starts `python -m serving.runtimes.rehearsal`, without the registry's credentials, and says why a
version cannot be served, if so. That process waits with everything imported, so that a moved alias is followed
without that delay, and has a fork try each version. What a version does with a client's rows, nobody can try here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from serving.settings import Model, Settings

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""A fork of a process with other threads may find a lock that one of them had taken."""


def clock_seconds(settings: Settings) -> float:
    """Return how long the limit on processor time may last by the clock, on a busy machine."""
    return 2 * settings.load_seconds + 5


class Canary:
    """The process whose forks try a version each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, **ONE_THREAD}
        self._process: _Process | None = None
        self._lock = threading.Lock()

    def hatch(self) -> None:
        """Start the process that will try the next version, unless it is there or at work."""
        if self._lock.acquire(blocking=False):
            try:
                self._hatch()
            finally:
                self._lock.release()

    def _hatch(self) -> _Process:
        if self._process is not None and self._process.is_dead:
            self._end(self._process)
        self._process = self._process or _Process(self._environment)
        return self._process

    def refusal(self, model: Model, settings: Settings) -> str | None:
        """Load a version in a process of its own; return why it cannot be served, if so."""
        order = {"model": asdict(model), "settings": asdict(settings)}
        with self._lock:
            try:
                said = self._answer(order, settings)
            except TimeoutError:
                return too_slow(settings)
            except (
                ConnectionError
            ):  # not the fork died, but who started it: somebody may have killed it long ago
                try:
                    said = self._answer(order, settings)
                except (ConnectionError, TimeoutError):
                    return "the process that tries versions dies, or does not answer"
        if "died" in said:
            return why_ended(said["died"], settings)
        reason: str | None = said["refused"]
        return reason

    def _answer(self, order: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Return what came of an order; the process ends where it gave no answer."""
        process = self._hatch()
        try:
            return process.answer(order, seconds=clock_seconds(settings))
        except (TimeoutError, ConnectionError):
            self._end(process)
            raise

    def _end(self, process: _Process) -> None:
        self._process = None
        process.end()


class _Process:
    """One process, and the line to it; it has a group of its own, with its forks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving.runtimes.rehearsal"],
                stdin=theirs.fileno(),
                stdout=2,
                env=environment,
                process_group=0,
            )

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def answer(self, order: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Return what came of an order; raises TimeoutError, or ConnectionError where the process is dead."""
        self._line.settimeout(seconds)
        self._line.sendall(json.dumps(order).encode() + b"\n")
        with self._line.makefile("rb") as lines:
            said = lines.readline()
        if not said:
            raise ConnectionError
        result: dict[str, Any] = json.loads(said)
        return result

    def end(self) -> None:
        """Kill it and its forks."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._line.close()
        self._process.wait()


def too_slow(settings: Settings) -> str:
    """Return the reason for a version that is not loaded in time."""
    return f"it was too slow: it is not loaded after {settings.load_seconds:g} s (--load-seconds)"


def why_ended(code: int, settings: Settings) -> str:
    """Return the reason for a version whose process died."""
    if code == -signal.SIGXCPU:
        return too_slow(settings)
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    why = ": perhaps the machine had no memory left" if code == -signal.SIGKILL else ""
    return f"the process that loads it dies ({how}{why})"
