"""A new version is loaded and replayed here first: in a process that may die of it.

`Canary` is the parent's side: it starts `python -m serving.fleet.canary`, without the registry's
credentials, and says why a version cannot be served, if so. One process waits with everything
imported, so that a moved alias is followed without that delay; each tries one version. `within_limits`
is the other side: the kernel ends or refuses what takes more processor time or memory than loading a
version may. What a version does with a client's rows, nobody can try here.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from serving.errors import ModelError
from serving.runtimes.forbidden import forbid_imports
from serving.settings import Model, Settings

FILE_TIMES = 60
"""How many times its file's size a version may take: while onnxruntime reads 5,000 trees of 20 MiB it takes 38."""

NICENESS = 5
"""Of the process: whoever is being served goes first."""

THREAD_BYTES = 160 * 2**20
"""Of address space for each thread: its stack, and what the allocator keeps in reserve for it."""


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
                [sys.executable, "-m", "serving.fleet.canary"],
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


@contextmanager
def within_limits(model: Model, settings: Settings) -> Iterator[None]:
    """Bound the processor time and memory of what is loaded inside; raises ModelError for whatever fails there.

    MLflow's own processes are not bounded: nobody knows what a library that they load needs.
    """
    if model.runtime != "scorer":
        yield
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = [
        _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + settings.load_seconds)),
        _lower(resource.RLIMIT_AS, _address_space(model, settings)),
    ]
    try:
        yield
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        if _is_about_memory(error):
            raise _too_large(settings) from error
        if isinstance(error, ModelError):
            raise
        raise _unloadable(error) from error
    finally:
        for kind, limits in before:
            resource.setrlimit(kind, limits)


def _lower(kind: int, soft: int) -> tuple[int, tuple[int, int]]:
    """Set a limit that this process can lift again; return what it was."""
    old = resource.getrlimit(kind)
    bound = [limit for limit in (soft, *old) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):  # macOS has no limit on address space
        resource.setrlimit(kind, (min(bound), old[1]))
    return kind, old


def _address_space(model: Model, settings: Settings) -> int:
    files = sum(path.stat().st_size for path in Path(model.folder).glob("*"))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # no Linux
        return sys.maxsize
    here = pages * resource.getpagesize()
    return here + settings.load_bytes + FILE_TIMES * files + settings.threads * THREAD_BYTES


def _is_about_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("bad_alloc", "allocate memory")
    )


def _too_large(settings: Settings) -> ModelError:
    return ModelError(
        f"it was too large: it needs more than {settings.load_bytes:,} bytes and {FILE_TIMES} times its file "
        "(--load-bytes)"
    )


def _unloadable(error: Exception) -> ModelError:
    line = (str(error).splitlines() or [""])[0][:200]
    return ModelError(f"it cannot be loaded: {type(error).__name__}: {line}")


def _end_with_parent(line: socket.socket) -> None:
    line.recv(1)
    os._exit(0)


def main() -> None:
    """Read the version from the line, load it, and say why it is refused, if so."""
    forbid_imports()
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    from serving.runtimes.compiled import Local  # noqa: PLC0415 - onnxruntime, which the parent does without

    with socket.socket(fileno=os.dup(0)) as line:
        with line.makefile("rb") as lines:
            written = lines.readline()
        if not written:  # the parent ended first
            return
        order = json.loads(written)
        model, settings = Model(**order["model"]), Settings.from_dict(order["settings"])
        threading.Thread(target=_end_with_parent, args=[line], daemon=True).start()
        reason = None
        try:
            with within_limits(model, settings):
                Local.load(model, threads=settings.threads)
        except ModelError as error:
            reason = str(error)
        line.sendall(json.dumps({"refused": reason}).encode() + b"\n")
        os._exit(0)  # the verdict is out: what the version left behind need not be tidied


if __name__ == "__main__":
    main()
