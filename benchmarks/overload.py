"""Twice the load that it can carry: `python -m benchmarks.overload`.

Requests of 1,000 rows for 200 boosted trees, first by as many clients as keep the worker busy (its peak), then at
twice that rate whether it answers or not (open loop), each request on its own connection from a pool. Goodput is
what was answered with 200; /livez is asked 20 times a second from another process the whole time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from benchmarks.server import commands, prepare, running
from benchmarks.sizes import sized
from serving.running import free_port

CONNECTIONS = 1500


class Load:
    """One client process: connections that are used again, and what came back."""

    def __init__(self, port: int, body: bytes) -> None:
        self._port = port
        head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answers: list[tuple[int, float]] = []
        self.unsent = 0

    async def ask(self) -> None:
        """Send one request and note its status and seconds."""
        began = time.perf_counter()
        try:
            reader, writer = self._idle.pop() if self._idle else await self._connect()
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields[b"content-length"]))
        except (OSError, EOFError):
            self.answers.append((0, time.perf_counter() - began))
            return
        self._idle.append((reader, writer))
        self.answers.append((int(head.split(b" ", 2)[1]), time.perf_counter() - began))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)

    async def closed(self, clients: int, seconds: float) -> float:
        """Keep that many requests under way; return answers a second."""
        stop = time.perf_counter() + seconds

        async def client() -> None:
            while time.perf_counter() < stop:
                await self.ask()

        await asyncio.gather(*[client() for _ in range(clients)])
        return sum(status == 200 for status, _ in self.answers) / seconds

    async def open(self, rate: float, seconds: float) -> float:
        """Send at a fixed rate; return the rate of good answers."""
        under_way: set[asyncio.Task[None]] = set()
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            if len(under_way) >= CONNECTIONS:
                self.unsent += 1
                continue
            task = asyncio.create_task(self.ask())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        good = sum(status == 200 for status, _ in self.answers) / (time.perf_counter() - began)
        await asyncio.gather(*under_way)
        return good


def probe(port: int, waits: multiprocessing.Queue[list[float]], seconds: float) -> None:
    """Ask /livez 20 times a second."""
    result, stop = [], time.perf_counter() + seconds
    while time.perf_counter() < stop:
        began = time.perf_counter()
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=10),
        ):
            result.append(time.perf_counter() - began)
        time.sleep(0.05)
    waits.put(result)


def main() -> None:
    """Print the peak, the goodput at twice the peak, and the waits."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=sized(6.0, tiny=1.0))
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as scratch:
        folder, port = Path(scratch, "boosting"), free_port()
        prepare(folder, "flights", "arr_delay", "boosting")
        body = (folder / "thousand.json").read_bytes()
        with running(commands(folder, port)["ours"], port, folder):
            peak = asyncio.run(Load(port, body).closed(4, seconds))
            waits: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
            prober = multiprocessing.Process(target=probe, args=(port, waits, seconds))
            prober.start()
            load = Load(port, body)
            good = asyncio.run(load.open(2 * peak, seconds))
            livez = waits.get()
            prober.join()
    accepted = [wait for status, wait in load.answers if status == 200]
    counts = {
        status: sum(s == status for s, _ in load.answers) for status in sorted({s for s, _ in load.answers})
    }
    print(
        f"  {os.cpu_count()} cores; peak {peak:.0f} bodies/s of 1,000 rows; "
        f"sent {2 * peak:.0f}/s: {counts}, {load.unsent} unsent"
    )
    print(f"  goodput {good:.0f}/s, {good / peak:.2f} of the peak (target 0.9)")
    print(
        f"  accepted: median {np.median(accepted) * 1e3:.0f} ms, p99 {np.quantile(accepted, 0.99) * 1e3:.0f} ms"
    )
    print(f"  /livez: median {np.median(livez) * 1e3:.1f} ms, worst {max(livez) * 1e3:.0f} ms (target 50)")


if __name__ == "__main__":
    main()
