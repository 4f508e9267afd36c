"""What it costs to know who asks: a server that takes tokens, and one that asks for certificates, beside a plain one.

All three serve the same model at the same time, and are loaded in turns, one row at 16 connections that stay open. The
token's pair is loaded by wrk. That shows no certificates, so the certificate's pair is loaded by a client in Python,
which is slower than the server: there the processor time of a request says how many a core could answer.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
import trustme
import uvloop
from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks.server import prepare, worker_memory, wrk
from benchmarks.sizes import sized
from serving.running import await_port, free_port, started

ROUNDS, SECONDS = sized((9, 3), tiny=(1, 1))
CONNECTIONS = 16
TARGETS = {"token": 0.9, "certificate": 0.85}
ROOT = Path(__file__).parent.parent


Load = Callable[["Side", Path], tuple[float, float]]


class Side(NamedTuple):
    """One of the servers."""

    port: int
    process: subprocess.Popen[bytes]
    token: str = ""
    tls: tuple[str, str, str] | None = None

    def seconds(self) -> float:
        """Return the processor time that it took so far, all its processes."""
        parent = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        return sum(each.user + each.system for each in times)


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, request: bytes, counts: list[int]) -> None:
        self._request, self._counts, self._seen = request, counts, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Count an answer and ask again; answers are short, and end with a brace."""
        self._seen += data
        if self._seen.endswith(b"}"):
            assert self._seen.startswith(b"HTTP/1.1 200"), self._seen
            self._seen = b""
            self._counts[0] += 1
            self._transport.write(self._request)  # type: ignore[attr-defined]


def _load(port: int, tls: tuple[str, str, str] | None, body: bytes, seconds: float, answers: object) -> None:
    """Load a server from this process; put None when all are connected, and requests a second."""
    request = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    context = None
    if tls:
        context = ssl.create_default_context(cafile=tls[0])
        context.load_cert_chain(*tls[1:])
    counts = [0]

    async def run() -> float:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(
                lambda: _Client(request, counts),
                "127.0.0.1",
                port,
                ssl=context,
                server_hostname="localhost" if context else None,
            )
        answers.put(None)  # type: ignore[attr-defined]
        before, began = counts[0], time.perf_counter()
        await asyncio.sleep(seconds)
        return (counts[0] - before) / (time.perf_counter() - began)

    answers.put(uvloop.run(run()))  # type: ignore[attr-defined]


def by_wrk(side: Side, folder: Path) -> tuple[float, float]:
    """Return requests a second that wrk gets answered, and the processor time that all of them took."""
    before = side.seconds()
    rate = wrk(side.port, folder, "one.json", connections=CONNECTIONS, seconds=SECONDS, token=side.token)[0]
    return rate, side.seconds() - before


def by_python(side: Side, folder: Path) -> tuple[float, float]:
    """Return the same of a client in Python, in a process of its own; handshakes are not counted."""
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    body = (folder / "one.json").read_bytes()
    client = spawn.Process(target=_load, args=(side.port, side.tls, body, SECONDS, answers))
    client.start()
    answers.get(timeout=60)
    before = side.seconds()
    rate: float = answers.get(timeout=60)
    seconds = side.seconds() - before
    client.join()
    return rate, seconds


def main() -> None:
    """Print both ratios and the memory."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch, "flights")
        prepare(folder, "flights", "arr_delay", "ridge")
        sides = {
            "plain": _start(stack, folder, []),
            "token": _start(stack, folder, _tokens(folder), token=_token(folder)),
            "certificate": _start(stack, folder, _certificates(folder), tls=_client(folder)),
        }
        for name, load in (("token", by_wrk), ("certificate", by_python)):
            _compare(name, sides["plain"], sides[name], load, folder)
        memory = {name: worker_memory(side.process) for name, side in sides.items()}
        print("memory of a worker: " + ", ".join(f"{name} {used:.1f} MB" for name, used in memory.items()))


def _start(stack: ExitStack, folder: Path, options: list[str], **of_side: object) -> Side:
    port = free_port()
    words = ["--model", str(folder / "version"), "--port", str(port), *options]
    process = stack.enter_context(
        started(
            [sys.executable, "-m", "serving", *words],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    await_port(port)
    time.sleep(3)  # it listens before its worker does
    return Side(port, process, **of_side)


def _tokens(folder: Path) -> list[str]:
    key = RSAKey.generate_key(2048, {"kid": "one"})
    (folder / "key.json").write_text(json.dumps(key.as_dict(private=True)))
    (folder / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return [
        "--jwks",
        str(folder / "jwks.json"),
        "--issuer",
        "me",
        "--audience",
        "slipway",
        "--scope",
        "predict",
    ]


def _token(folder: Path) -> str:
    key = RSAKey.import_key(json.loads((folder / "key.json").read_text()))
    claims = {"iss": "me", "aud": "slipway", "sub": "web", "scope": "predict", "exp": int(time.time()) + 3600}
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)


def _certificates(folder: Path) -> list[str]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, host in (("server", "localhost"), ("client", "web.example.com")):
        leaf = ca.issue_cert(host)
        leaf.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        leaf.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    words = ["--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server.key")]
    return [*words, "--tls-client-ca", str(folder / "ca.pem"), "--tls-client-san", "web.example.com"]


def _client(folder: Path) -> tuple[str, str, str]:
    return str(folder / "ca.pem"), str(folder / "client.pem"), str(folder / "client.key")


def _compare(name: str, plain: Side, other: Side, load: Load, folder: Path) -> None:
    """Load both in turns, each first in every other one; print the medians of the ratios."""
    load(plain, folder), load(other, folder)
    turns = []
    for turn in range(ROUNDS):
        pair = (plain, other) if turn % 2 else (other, plain)
        measured = {side: _measured(side, load, folder) for side in pair}
        turns.append((measured[plain], measured[other]))
    rates = sorted(other[0] / plain[0] for plain, other in turns)
    costs = statistics.median(plain[1] / other[1] for plain, other in turns)
    rate, spent = (statistics.median(plain[index] for plain, _ in turns) for index in (0, 1))
    target, ratio = TARGETS[name], statistics.median(rates)
    result = ratio if name == "token" else costs
    verdict = "met" if result >= target else "missed"
    print(
        f"{name}, {CONNECTIONS} connections: {rate:,.0f} requests/s without, {ratio:.3f} of that with "
        f"({rates[0]:.2f} to {rates[-1]:.2f}); a request takes {spent * 1e6:,.0f} us of processor time without, so "
        f"that a core answers {costs:.3f} of that with; target {target}: {verdict}",
        flush=True,
    )


def _measured(side: Side, load: Load, folder: Path) -> tuple[float, float]:
    """Return requests a second, and seconds of processor time for each."""
    rate, seconds = load(side, folder)
    return rate, seconds / (rate * SECONDS)


if __name__ == "__main__":
    main()
