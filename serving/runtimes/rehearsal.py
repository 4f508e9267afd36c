"""A version is loaded and replayed here before any worker has it: in a process that may die of it.

Started as `python -m serving.runtimes.rehearsal` by `serving.fleet`. It imports everything once, and has a fork of
itself load each version that an order on its stdin names: a process that imports for itself takes a quarter of a
second of the processor, which those who are being served would lack. It answers with the reason why the version
cannot be served, if so, or with how the fork died. It has one thread: a fork must not find a lock taken.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
from typing import Any, NoReturn

from serving.errors import ModelError
from serving.runtimes.bounded import within_limits
from serving.runtimes.forbidden import forbid_imports
from serving.settings import Model, Settings

NICENESS = 5
"""Of the process: whoever is being served goes first."""


def _refusal(order: dict[str, Any]) -> str | None:
    """Load a version; return why it cannot be served, if so."""
    from serving.runtimes.compiled import CompiledRuntime  # noqa: PLC0415 - see main

    model, settings = Model(**order["model"]), Settings.from_dict(order["settings"])
    try:
        with within_limits(model, settings):
            CompiledRuntime.load(model, threads=settings.threads)
    except ModelError as error:
        return str(error)
    return None


def _try(written: bytes, verdict: int) -> NoReturn:
    """Write what came of loading a version, and end: what it left behind need not be tidied."""
    try:
        os.write(verdict, json.dumps({"refused": _refusal(json.loads(written))}).encode())
    except BaseException:
        logging.getLogger(__name__).exception("a version cannot be tried")
        os._exit(1)
    os._exit(0)


def _tried(written: bytes, line: socket.socket) -> dict[str, Any]:
    """Have a fork load a version; return its verdict, or how it died."""
    ours, theirs = os.pipe()
    fork = os.fork()
    if not fork:
        _try(written, theirs)
    os.close(theirs)
    ready, _, _ = select.select([ours, line.fileno()], [], [])
    if ours not in ready:  # the parent ended: it says nothing before it has its answer
        os.kill(fork, signal.SIGKILL)
    with os.fdopen(ours, "rb") as verdict:
        said = verdict.read()
    _, status = os.waitpid(fork, 0)
    result: dict[str, Any] = json.loads(said) if said else {"died": os.waitstatus_to_exitcode(status)}
    return result


def main() -> None:
    """Answer the orders on the line until it ends."""
    forbid_imports()
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    import serving.runtimes.compiled  # noqa: F401, PLC0415 - onnxruntime, once this process is nice

    gc.freeze()  # the collector would write to each object, and a fork copy all of them
    with socket.socket(fileno=os.dup(0)) as line, line.makefile("rb") as orders:
        while written := orders.readline():
            line.sendall(json.dumps(_tried(written, line)).encode() + b"\n")


if __name__ == "__main__":
    main()
