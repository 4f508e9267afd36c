"""A new version is loaded and replayed first in a process that may die of it: the parent's side.

`Canary` starts `python -m serving.runtimes.rehearsal`, without the registry's credentials, and says why a
version cannot be served, if so. One process waits with everything imported, so that a moved alias is followed
without that delay; each tries one version. What a version does with a client's rows, nobody can try here.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

from serving.settings import Model, Settings


def clock_seconds(settings: Settings) -> float:
    """Return how long the limit on processor time may last by the clock, on a busy machine."""
    return 2 * settings.load_seconds + 5


class Canary:
    """Processes that try a version each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._spare: _Process | None = None
        self._lock = threading.Lock()

    def hatch(self) -> None:
        """Start the process that will try the next version, unless it is there or one is at work."""
        if self._lock.acquire(blocking=False):
            try:
                self._hatch()
            finally:
                self._lock.release()

    def _hatch(self) -> _Process:
        if self._spare is None or self._spare.is_dead:
            self._spare = _Process(self._environment)
        return self._spare

    def refusal(self, model: Model, settings: Settings) -> str | None:
        """Load a version in a process of its own; return why it cannot be served, if so."""
        with self._lock:
            process, self._spare = self._hatch(), None
            try:
                return process.refusal(model, settings)
            finally:
                process.end()


class _Process:
    """One process, and the line to it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving.runtimes.rehearsal"],
                stdin=theirs.fileno(),
                stdout=2,
                env=environment,
            )

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def refusal(self, model: Model, settings: Settings) -> str | None:
        order = {"model": asdict(model), "settings": asdict(settings)}
        self._line.settimeout(clock_seconds(settings))
        said = b""
        with suppress(ConnectionError):  # it is dead: how it ended says why
            try:
                self._line.sendall(json.dumps(order).encode() + b"\n")
                with self._line.makefile("rb") as lines:
                    said = lines.readline()
            except TimeoutError:
                return too_slow(settings)
        if said:
            reason: str | None = json.loads(said)["refused"]
            return reason
        return why_ended(self._process.wait(), settings)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._line.close()


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
