"""One worker, as its parent sees it: started, told, heard, and silent.

A worker is a process with the listening socket and one line to its parent, which is its stdin. It gets the settings on
that line, and no word of the parent's environment that it does not need: the registry's credentials stay with the
parent. Then orders and the status go to it, one JSON object a line; each order is answered.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from serving.errors import NotReady
from serving.settings import Settings

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
    "ORT_DISABLE_TELEMETRY",
)
"""How the names of variables begin that a worker gets."""


def environment_of_workers() -> dict[str, str]:
    """Return what a worker gets of this process's environment."""
    return {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}


@dataclass
class Worker:
    """One place in the crew; `heard` is when it last gave a sign of life, `worn` that it is to be replaced."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    started: float
    pause: float
    heard: float
    ear: threading.Thread | None = None
    loaded: bool = False
    serves: bool = False
    worn: bool = False
    retired: bool = False
    answers: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    @classmethod
    def start(
        cls, settings: Settings, listener: socket.socket, environment: Mapping[str, str], *, pause: float
    ) -> Worker:
        """Start a process that answers at a listening socket, and listen to what it says."""
        ours, theirs = socket.socketpair()
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.worker", str(descriptor)],
            stdin=theirs.fileno(),
            pass_fds=[descriptor],
            env=environment,
        )
        theirs.close()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 5, 0))
        now = time.monotonic()
        worker = cls(process, ours, now, pause, heard=now)
        ours.sendall(settings.as_json().encode() + b"\n")
        worker.ear = threading.Thread(target=worker.listen, daemon=True)
        worker.ear.start()
        return worker

    def listen(self) -> None:
        """Collect what the worker says until its line ends."""
        with suppress(OSError), self.line.makefile("rb") as lines:  # a killed worker's line is reset
            for line in lines:
                self.heard = time.monotonic()
                said = json.loads(line)
                self.loaded = self.loaded or "loaded" in said
                self.serves = self.serves or "serves" in said
                if "order" in said:
                    self.answers.put(said)
        self.answers.put({"gone": True})

    def tell(self, order: dict[str, Any]) -> None:
        """Send one order; a worker that does not read its line is ended, and so replaced."""
        try:
            self.line.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            self.process.kill()

    def answer(self, number: int, *, seconds: float, silence: float) -> str | None:
        """Return why the order was refused, if it was; raises NotReady, or TimeoutError after so many seconds.

        Nobody waits for a worker that is silent: it does what it is told when it wakes, or is replaced.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                said = self.answers.get(timeout=min(seconds, 0.5))
            except queue.Empty:
                if self.is_silent(silence):
                    return None
                continue
            if "gone" in said:
                raise NotReady(pid=self.process.pid, what="ended")
            if said["order"] == number:
                reason: str | None = said["refused"]
                return reason
        raise TimeoutError

    def is_silent(self, seconds: float) -> bool:
        """Return whether it gave no sign of life for so long."""
        return time.monotonic() - self.heard > seconds

    @property
    def next_pause(self) -> float:
        """How long to wait before its place is filled again."""
        short_lived = time.monotonic() - self.started < LONGEST_PAUSE
        return min(self.pause * 2, LONGEST_PAUSE) if short_lived else FIRST_PAUSE
