"""What it costs to keep what was predicted: requests a second of a worker that does, beside one that does not.

Both serve the same model at the same time, and are loaded in turns: one row at 32 connections, then 1,000-row bodies.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.server import commands, prepare, running, worker_memory, wrk
from benchmarks.sizes import sized
from serving.running import free_port

ROUNDS, SECONDS = sized((9, 3), tiny=(1, 1))
SHARE_TARGET, MEMORY_TARGET = 0.95, 12.0
LOADS = {"one row, 32 connections": ("one.json", 32), "1,000 rows, 2 connections": ("thousand.json", 2)}


class Side(NamedTuple):
    """One of the two servers."""

    port: int
    process: subprocess.Popen[bytes]

    def seconds(self) -> float:
        """Return the processor time that it took so far, all its processes."""
        parent = psutil.Process(self.process.pid)
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        return sum(each.user + each.system for each in times)


def main() -> None:
    """Print both ratios and the memory."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch, "flights")
        prepare(folder, "flights", "arr_delay", "ridge")
        options = {"without": [], "with": ["--capture", str(Path(scratch, "captures"))]}
        sides = {}
        for name, words in options.items():
            port = free_port()
            process, _ = stack.enter_context(running(commands(folder, port)["ours"] + words, port, folder))
            sides[name] = Side(port, process)
        for title, (body, connections) in LOADS.items():
            _compare(title, folder, body, connections, sides)
        used = {name: worker_memory(side.process) for name, side in sides.items()}
        written = sum(path.stat().st_size for path in Path(scratch, "captures").rglob("*") if path.is_file())
        more = used["with"] - used["without"]
        print(
            f"memory: {used['without']:.1f} MB without, {more:+.1f} MB with; target {MEMORY_TARGET:+.0f} MB: "
            f"{_verdict(met=more <= MEMORY_TARGET)}; {written / 2**20:,.0f} MB written"
        )


def _verdict(*, met: bool) -> str:
    return "met" if met else "missed"


def _compare(title: str, folder: Path, body: str, connections: int, sides: Mapping[str, Side]) -> None:
    """Load both in turns, each first in every other one; print the medians of the ratios."""
    for side in sides.values():
        wrk(side.port, folder, body, connections=connections, seconds=1)
    turns = []
    for turn in range(ROUNDS):
        names = list(sides) if turn % 2 else list(sides)[::-1]
        turns.append({name: _loaded(sides[name], folder, body, connections) for name in names})
    kept, cost = (sorted(turn["with"][index] / turn["without"][index] for turn in turns) for index in (0, 1))
    rate, spent = (statistics.median(turn["without"][index] for turn in turns) for index in (0, 1))
    ratio = statistics.median(kept)
    print(
        f"{title}: {rate:,.0f} requests/s without, {ratio:.3f} of that with ({kept[0]:.2f} to {kept[-1]:.2f}); target "
        f"{SHARE_TARGET}: {_verdict(met=ratio >= SHARE_TARGET)}; processor time of a request {spent * 1e6:,.0f} us, "
        f"{statistics.median(cost):.3f} of that with",
        flush=True,
    )


def _loaded(side: Side, folder: Path, body: str, connections: int) -> tuple[float, float]:
    """Return requests a second, and seconds of processor time for each."""
    before = side.seconds()
    rate = wrk(side.port, folder, body, connections=connections, seconds=SECONDS)[0]
    return rate, (side.seconds() - before) / (rate * SECONDS)


if __name__ == "__main__":
    main()
