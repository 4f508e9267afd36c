"""`python -m serving --model ...`: fetch a version, start workers, keep them running."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from serving.access import read_hashes
from serving.errors import ServingError, SettingsError
from serving.settings import LOOPBACK, Limits, Settings
from serving.store import locate

MODEL_BROKEN = 3
"""A worker's exit code where starting another would not help."""


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    line = argparse.ArgumentParser(
        prog="python -m serving", description="Serve a model over HTTP.", allow_abbrev=False
    )
    line.add_argument(
        "--model", required=True, help="models:/NAME@ALIAS, models:/NAME/3, runs:/..., or a folder"
    )
    line.add_argument("--host", default="127.0.0.1")
    line.add_argument("--port", type=_number(int, 0, 65535), default=5002, help="0 for any free port")
    line.add_argument("--workers", type=_number(int, 1, 256), default=1)
    line.add_argument("--threads", type=_number(int, 1, 256), default=1, help="of the scorer in each worker")
    line.add_argument("--api-key-file", help="SHA-256 hashes of the keys, one a line; read again on SIGHUP")
    line.add_argument("--no-auth", action="store_true", help="serve beyond this machine without keys")
    line.add_argument("--tls-cert")
    line.add_argument("--tls-key")
    line.add_argument("--access-log", type=_number(float, 0, 1), default=0.0, help="share of requests to log")
    line.add_argument("--drain-seconds", type=_number(float, 0, 3600), default=30.0)
    for limit in fields(Limits):
        kind = type(limit.default)
        low = 1 if kind is int else 0.001
        line.add_argument(
            f"--{limit.name.replace('_', '-')}", type=_number(kind, low, 2**40), default=limit.default
        )
    return line


def _number(kind: type, low: float, high: float) -> Any:
    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    read.__name__ = "whole number" if kind is int else "number"
    return read


def settings_of(given: argparse.Namespace, cache: Path) -> Settings:
    """Check what the options say together, and fetch the model; raises SettingsError."""
    if given.host not in LOOPBACK and not given.api_key_file and not given.no_auth:
        raise SettingsError(
            f"--host {given.host} is open to others: pass --api-key-file, or --no-auth to mean it"
        )
    if bool(given.tls_cert) != bool(given.tls_key):
        raise SettingsError("--tls-cert and --tls-key go together")
    for name in ("tls_cert", "tls_key"):
        if (path := getattr(given, name)) and not Path(path).is_file():
            raise SettingsError(f"--{name.replace('_', '-')} {path}: no such file")
    if given.api_key_file:
        read_hashes(Path(given.api_key_file))
    located = locate(given.model, cache)
    return Settings(
        folder=str(located.folder),
        name=located.name,
        version=located.version,
        host=given.host,
        workers=given.workers,
        threads=given.threads,
        key_file=given.api_key_file,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        access_log=given.access_log,
        drain_seconds=given.drain_seconds,
        limits=Limits(**{limit.name: getattr(given, limit.name) for limit in fields(Limits)}),
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that workers can inherit; raises SettingsError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    listener.set_inheritable(True)
    return listener


class Crew:
    """The workers: started, replaced when they die, stopped."""

    def __init__(self, settings: Settings, listener: socket.socket, counters: Path) -> None:
        self._settings = settings
        self._listener = listener
        self._environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(counters)}
        self._workers: list[subprocess.Popen[bytes]] = []
        self._stopping = False

    def run(self) -> int:
        """Keep the workers running until a signal; return the exit code."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, lambda number, _: self._tell(number))
        self._workers = [self._start() for _ in range(self._settings.workers)]
        while self._workers:
            time.sleep(0.1)
            self._workers = [
                worker for worker in self._workers if worker.poll() is None or self._replaceable(worker)
            ]
            self._workers = [worker if worker.poll() is None else self._start() for worker in self._workers]
        return 0 if self._stopping else MODEL_BROKEN

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "serving.worker", str(descriptor)]
        worker = subprocess.Popen(
            command, stdin=subprocess.PIPE, pass_fds=[descriptor], env=self._environment
        )
        if worker.stdin is not None:
            worker.stdin.write(self._settings.as_json().encode())
            worker.stdin.close()
        return worker

    def _replaceable(self, worker: subprocess.Popen[bytes]) -> bool:
        return not self._stopping and worker.returncode != MODEL_BROKEN

    def _stop(self, _number: int, _frame: Any) -> None:
        self._tell(signal.SIGKILL if self._stopping else signal.SIGTERM)
        self._stopping = True

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; 0 after a signal, 2 where the options don't hold, 3 where the model is refused."""
    given = parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        counters = Path(scratch, "metrics")
        counters.mkdir()
        try:
            settings = settings_of(given, Path(scratch, "model"))
            listener = listen(given.host, given.port)
        except ServingError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        scheme = "https" if settings.tls_cert else "http"
        print(f"serving {given.model} on {scheme}://{given.host}:{listener.getsockname()[1]}", flush=True)
        return Crew(settings, listener, counters).run()


if __name__ == "__main__":
    sys.exit(main())
