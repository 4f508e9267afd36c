"""What is going on while a step takes long: one changing line on a terminal, a plain line each ten seconds elsewhere.

A thread of its own writes, so that the seconds move while a model is fitted. Steps' own lines go through the same
`Console`, which takes the changing line away before them. It knows neither searches nor models.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

from training.console.interrupts import deferred

TERMINAL_SECONDS, LOG_SECONDS = 0.5, 10.0
"""Between two updates of the changing line, and between two plain lines."""

ERASE = "\r\x1b[K"

Say = Callable[[str, str], None]
"""Told of each step: its name, and what came of it."""

Describe = Callable[[float], str]
"""Given the seconds since the step began, says how far it is; nothing where there is nothing to say."""

Watch = Callable[[str, Describe], AbstractContextManager[None]]
"""Tells how far a step is, as long as the context lasts."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What would break a line, or command a terminal."""


def silent(_step: str, _describe: Describe) -> AbstractContextManager[None]:
    """Tell nobody."""
    return nullcontext()


class Console:
    """Writes steps' lines, and what is going on between them, to one stream; to what is standard output by then."""

    def __init__(self, stream: TextIO | None = None, *, log_seconds: float = LOG_SECONDS) -> None:
        self._given = stream
        self._log_seconds = log_seconds
        self._lock = threading.Lock()
        self._shown = ""

    @property
    def _stream(self) -> TextIO:
        return self._given or sys.stdout

    @property
    def _is_terminal(self) -> bool:
        return self._stream.isatty() and os.environ.get("TERM", "") != "dumb"

    def say(self, step: str, outcome: str) -> None:
        """Write one line."""
        with self._lock:
            self._erase()
            print(_line(step, outcome), file=self._stream, flush=True)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Write what the first three seconds are for, in which a command imports what it needs, and obey a signal then.

        What a handler raises within an import can be lost, or become a library's own error: pydantic makes a
        SchemaError of it.
        """
        self.say("start", "loading scikit-learn and MLflow")
        with deferred():
            yield

    @contextmanager
    def watch(self, step: str, describe: Describe) -> Iterator[None]:
        """Tell from time to time how far a step is, until the context ends."""
        over = threading.Event()
        teller = threading.Thread(target=self._tell, args=(step, describe, over), daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
            with self._lock:
                self._erase()

    def _tell(self, step: str, describe: Describe, over: threading.Event) -> None:
        began, terminal = time.perf_counter(), self._is_terminal
        write = self._show if terminal else self.say
        while not over.wait(TERMINAL_SECONDS if terminal else self._log_seconds):
            try:
                if told := describe(time.perf_counter() - began):
                    write(step, told)
            except (OSError, ValueError):
                return  # nobody listens any more; the next step's line will say so

    def _show(self, step: str, told: str) -> None:
        with self._lock:
            self._shown = _line(step, told)[
                : shutil.get_terminal_size().columns - 1
            ]  # a longer one would stay
            self._stream.write(f"{ERASE}{self._shown}")
            self._stream.flush()

    def _erase(self) -> None:
        if self._shown:
            self._stream.write(ERASE)
            self._stream.flush()
            self._shown = ""


def _line(step: str, outcome: str) -> str:
    """Return one line, whatever the names of columns hold: a line break is shown as what it is written as."""
    return f"  {step:<9} {CONTROL.sub(lambda found: repr(found[0])[1:-1], outcome)}"
