"""A real `mlflow server` that can be stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import requests

from serving.running import await_port, free_port


@dataclass
class TrackingServer:
    """The server of a folder's store, on one port for its whole life.

    Attributes
    ----------
    store : list of str
        Where runs and artifacts are; without it, in the folder.
    settings : dict
        Environment of the server's own, such as the key of a bucket that no client has.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    store: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again, and return once it answers."""
        words = self.store or [
            *("--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--port",
            str(self.port),
            "--workers",
            "1",
            *words,
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | self.settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
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


Server = TypeVar("Server", bound=TrackingServer)


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """Run the server over a folder that has a store."""
    with running(TrackingServer(folder, free_port())) as server:
        yield server


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server until the block ends."""
    server.start()
    try:
        yield server
    finally:
        server.kill()
