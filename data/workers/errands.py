"""The process beside a worker that does one task, and ends with it.

    stdin    the fields of an `Errand`, pickled
    stdout   what became of it, pickled: a result, or an error

It has our code alone, whatever the worker has imported. A task that says nothing for too long is ended by the kernel
(SIGALRM), even where Python does not run; one whose worker is gone ends by itself.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from data.workers.errors import OtherVersions

_seconds = 0


@dataclass(frozen=True)
class Errand:
    """A task, as its process gets it.

    Attributes
    ----------
    versions : mapping
        Of the packages that have a say in the bits, here.
    folder : str
        From which paths are read.
    seconds : int
        Without a sign, after which the task is ended.
    job, items : bytes
        A function of a module of ours and what it takes first, pickled; and what it takes then.
    """

    versions: Mapping[str, str]
    folder: str
    seconds: int
    job: bytes
    items: bytes


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return which versions of some packages are installed; "none" for one that is not."""
    result = {}
    for name in packages:
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            result[name] = "none"
    return result


def at_work() -> None:
    """Say that a task goes on; to be called more often than it is given seconds for."""
    if _seconds:
        signal.alarm(_seconds)


def begin() -> None:
    """Do what stdin asks for."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not break the answer
    os.environ["OMP_NUM_THREADS"] = "1"  # one task for each thread of a worker; before numpy is imported
    threading.Thread(target=_end_with_worker, args=(os.getppid(),), daemon=True).start()
    answer: Any
    try:
        answer = True, _done(Errand(**pickle.load(sys.stdin.buffer)))  # noqa: S301 - of the client, through its scheduler
    except Exception as error:
        answer = False, error, _is_absent(error)
    with answers, suppress(BrokenPipeError):
        answers.write(_pickled(answer))


def _done(errand: Errand) -> Any:
    global _seconds  # noqa: PLW0603 - a process does one task
    _seconds = errand.seconds
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    at_work()
    found = versions_of(errand.versions)
    for name, expected in errand.versions.items():
        if found[name] != expected:
            raise OtherVersions(where="a worker", package=name, found=found[name], expected=expected)
    with suppress(OSError):  # a path may be absolute
        os.chdir(errand.folder)
    function, shared = pickle.loads(errand.job)  # noqa: S301 - as above
    return function(shared, pickle.loads(errand.items))  # noqa: S301


def _pickled(answer: Any) -> bytes:
    try:
        return pickle.dumps(answer)
    except Exception:  # an error that cannot be pickled is said in words
        return pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}"), False))


def _is_absent(error: BaseException | None) -> bool:
    """Return whether an error came of a file that is not there."""
    return error is not None and (
        isinstance(error, FileNotFoundError) or _is_absent(error.__cause__ or error.__context__)
    )


def _end_with_worker(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(0.5)
    os._exit(1)
