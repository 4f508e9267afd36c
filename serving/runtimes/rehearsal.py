"""A version is loaded and replayed here before any worker has it: in a process that may die of it.

Started as `python -m serving.runtimes.rehearsal` by `serving.fleet`. It imports everything, waits for the order on
its stdin, answers with the reason why the version cannot be served, if so, and ends.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading

from serving.errors import ModelError
from serving.runtimes.bounded import within_limits
from serving.runtimes.forbidden import forbid_imports
from serving.settings import Model, Settings

NICENESS = 5
"""Of the process: whoever is being served goes first."""


def _end_with_parent(line: socket.socket) -> None:
    line.recv(1)
    os._exit(0)


def main() -> None:
    """Read the version from the line, load it, and say why it is refused, if so."""
    forbid_imports()
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    from serving.runtimes.compiled import Local  # noqa: PLC0415 - onnxruntime, once this process is nice

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
