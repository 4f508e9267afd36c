"""Requests that a restart costs behind a balancer that learns late: with `--drain-delay`, and without.

Two servers stand behind nginx, which asks each request once and tries no other server. A server is told to stop; only
`late` seconds afterwards nginx stops sending to it, as kube-proxy and most balancers do. Then it is started again, and
the other one has its turn. Clients open a connection for each request. Lost is what was not answered with 200.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.models import build
from benchmarks.sizes import sized
from serving.running import await_answer, await_port, free_port, started

ROUNDS = sized(100, tiny=1)
LATE, DELAY = sized((3.0, 5.0), tiny=(0.5, 1.0))
QUICK_LATE, QUICK_DELAY = 0.3, 1.0
CLIENTS = 2
PAUSE = 0.002
ROOT = Path(__file__).parent.parent

REQUEST = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Content-Length: 7\r\n\r\n{"x":3}'
)
CONFIGURATION = """
{user} daemon off; pid {folder}/pid; error_log /dev/null; worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream servers {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://servers; proxy_http_version 1.1;
            proxy_set_header Host localhost; proxy_set_header Connection "";
            proxy_next_upstream off;
        }}
    }}
}}
"""


@dataclass
class Balancer:
    """An nginx of our own."""

    folder: Path
    port: int = field(default_factory=free_port)

    def write(self, ports: list[int]) -> None:
        """Write whom it sends requests to."""
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(folder=self.folder, port=self.port, servers=servers, user=user)
        (self.folder / "nginx.conf").write_text(text)

    @contextmanager
    def running(self, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
        """Run it."""
        self.write(ports)
        command = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "/dev/null"]
        with started(command) as process:
            await_port(self.port)
            yield process


class Load:
    """Clients that ask without a pause, a connection for each request."""

    def __init__(self, port: int) -> None:
        self._port, self._done = port, threading.Event()
        self.answers: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for client in self._clients:
            client.join()

    @property
    def lost(self) -> int:
        """How many requests were not answered."""
        return self.answers.total() - self.answers["200"]

    def _ask(self) -> None:
        while not self._done.is_set():
            what = self._answer()
            with self._lock:
                self.answers[what] += 1
            time.sleep(PAUSE)

    def _answer(self) -> str:
        result = b""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=20) as connection:
                connection.sendall(REQUEST)
                while part := connection.recv(65536):
                    result += part
        except OSError as error:
            return type(error).__name__
        return result[9:12].decode() if b"\r\n\r\n" in result else "cut short"


@dataclass
class Fleet:
    """Two servers behind a balancer."""

    version: Path
    options: list[str]
    late: float
    stack: ExitStack
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start a server and wait until it is ready."""
        words = ["--model", str(self.version), "--port", str(port), *self.options]
        command = [sys.executable, "-m", "serving", *words]
        process = self.stack.enter_context(
            started(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        await_answer(f"http://127.0.0.1:{port}/readyz", process)
        return process

    def roll(self, rounds: int) -> Load:
        """Restart each server so many times, one after the other, under load; return what the load met."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            balancer = Balancer(Path(folder))
            servers = [self.start(port) for port in self.ports]
            with balancer.running(self.ports) as nginx, Load(balancer.port) as load:
                time.sleep(0.3)
                for turn in range(2 * rounds):
                    index = turn % 2
                    servers[index] = self._restart(index, servers[index], balancer, nginx)
                time.sleep(0.3)
        return load

    def _restart(
        self,
        place: int,
        server: subprocess.Popen[bytes],
        balancer: Balancer,
        nginx: subprocess.Popen[bytes],
    ) -> subprocess.Popen[bytes]:
        server.send_signal(signal.SIGTERM)
        time.sleep(self.late)
        balancer.write([self.ports[1 - place]])
        nginx.send_signal(signal.SIGHUP)
        server.wait(60)
        new = self.start(self.ports[place])
        balancer.write(self.ports)
        nginx.send_signal(signal.SIGHUP)
        time.sleep(0.2)  # in which nginx reads that
        return new


def rolled(version: Path, *, rounds: int, late: float, delay: float) -> Load:
    """Return what a load met while two servers were restarted so many times each."""
    with ExitStack() as stack:
        return Fleet(version, ["--drain-delay", str(delay)], late, stack).roll(rounds)


def main() -> None:
    """Print what is lost with and without the delay, and over many restarts."""
    if not shutil.which("nginx"):
        raise SystemExit("this needs nginx: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as folder:
        version = build(Path(folder), sample="line", target="y", family="ridge")
        for delay in (0.0, DELAY):
            load = rolled(version, rounds=1, late=LATE, delay=delay)
            print(
                f"nginx learns {LATE:g} s late, --drain-delay {delay:g}: {load.lost:,} of {load.answers.total():,} "
                f"requests lost ({said(load)})",
                flush=True,
            )
        load = rolled(version, rounds=ROUNDS, late=QUICK_LATE, delay=QUICK_DELAY)
        print(
            f"{ROUNDS} rolling restarts of two servers, --drain-delay {QUICK_DELAY:g}, nginx {QUICK_LATE:g} s late: "
            f"{load.lost:,} of {load.answers.total():,} requests lost; target 0: {'missed' if load.lost else 'met'}"
        )


def said(load: Load) -> str:
    """Return how often each answer came."""
    return ", ".join(f"{what}: {count:,}" for what, count in sorted(load.answers.items()))


if __name__ == "__main__":
    main()
