"""Real servers in processes of their own: started, awaited and stopped.

It knows commands, ports and addresses; nothing of models, or of what a server answers. The proof before a promotion,
the tryout, the benchmarks and the tests start their servers here. Both ends stand on loopback.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from os import killpg
from random import SystemRandom
from typing import Any
from urllib.error import HTTPError

from serving.errors import ServerFailed

PATIENCE = 60.0
"""Seconds that a server has to start; ours takes one on a quiet machine."""

STOPS_WITHIN = 20.0
PAUSE = 0.01

PORTS = range(20_000, 32_768)
"""Where a free port is sought: below those that Linux and macOS give to whoever asks for any, listening or calling."""
TRIES = 20

Question = str | urllib.request.Request
Process = subprocess.Popen[Any]


@dataclass(frozen=True)
class Running:
    """A server of ours: where it answers, and its parent process."""

    address: str
    process: Process


def free_port() -> int:
    """Return a loopback port that nobody listens on just now, and that nobody is given who asks for any."""
    for port in (*SystemRandom().sample(PORTS, TRIES), 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
            return int(probe.getsockname()[1])
    raise ServerFailed(what="the server", said="no port of 127.0.0.1 can be listened on")


@contextmanager
def served(*options: str, before: Sequence[str] = (), **opened: Any) -> Iterator[Running]:
    """Run `python -m serving` on a free port until the block ends; raises ServerFailed where it does not get ready.

    Parameters
    ----------
    *options : str
        Of the server.
    before : sequence of str
        Words that run the command, such as `unshare`.
    **opened : Any
        Of `subprocess.Popen`.
    """
    command = [*before, sys.executable, "-m", "serving", "--port", "0", *options]
    with started(command, stdout=subprocess.PIPE, text=True, **opened) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"https?://\S+", said)
        if not address:
            raise ServerFailed(what="the server", said=said.strip())
        if address[0].startswith("http:"):  # a certificate of one's own is no one's that we trust
            await_answer(f"{address[0]}/readyz", process)
        yield Running(address[0], process)


@contextmanager
def started(command: Sequence[str], **opened: Any) -> Iterator[Process]:
    """Run a command until the block ends, and its group with it where it leads one; `opened` is of `Popen`."""
    process = subprocess.Popen(command, **opened)
    try:
        yield process
    finally:
        _stop(
            process, partial(killpg, process.pid) if opened.get("start_new_session") else process.send_signal
        )
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            stream.close()


def await_answer(question: Question, process: Process, seconds: float = PATIENCE) -> None:
    """Return once a question is answered well; raises ServerFailed where the process ends or time runs out."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if _answers(question):
            return
        time.sleep(PAUSE)
    raise ServerFailed(what="the server", said="it did not get ready")


def await_port(port: int, seconds: float = PATIENCE) -> None:
    """Return once something listens on a loopback port; raises ServerFailed where time runs out."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            connected = probe.connect_ex(("127.0.0.1", port)) == 0
            if (
                connected and probe.getsockname() != probe.getpeername()
            ):  # it may be given this very port, and hear itself
                return
        time.sleep(PAUSE)
    raise ServerFailed(what="the server", said=f"nothing listens on port {port}")


def _stop(process: Process, send: Callable[[signal.Signals], None]) -> None:
    with suppress(ProcessLookupError):
        send(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            send(signal.SIGKILL)
        process.wait()


def _answers(question: Question) -> bool:
    try:
        urllib.request.urlopen(question, timeout=5).close()  # noqa: S310 - our own loopback address
    except HTTPError as error:
        error.close()
        return False
    except OSError:
        return False
    return True
