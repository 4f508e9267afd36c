"""A real `mlflow server` that can be stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from serving.running import await_port, free_port


@dataclass
class TrackingServer:
    """The server of a folder's store, on one port for its whole life."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again, and return once it answers."""
        words = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        words += ["--artifacts-destination", str(self.folder / "artifacts"), "--workers", "1"]
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), *words]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        await_port(self.port, 200)
        requests.get(f"{self.uri}/health", timeout=100).raise_for_status()  # it listens before it answers

    def stop(self) -> None:
        """Let it not answer any more, though its port is open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again, and return once it does."""
        self._signal(signal.SIGCONT)
        requests.get(f"{self.uri}/health", timeout=100).raise_for_status()

    def kill(self) -> None:
        """Kill it and all its workers."""
        self._signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(20)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """Run the server over a folder that has a store."""
    server = TrackingServer(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()
