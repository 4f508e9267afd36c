"""What it costs to keep what was predicted: requests a second of a worker that does, beside one that does not.

Both serve the same model at the same time, and are loaded in turns: one row at 32 connections, then 1,000-row bodies.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.server import commands, prepare, running, worker_memory, wrk
from benchmarks.sizes import sized
from serving.running import free_port

ROUNDS, SECONDS = sized((7, 3), tiny=(1, 1))
SHARE_TARGET, MEMORY_TARGET = 0.95, 12.0
LOADS = {"one row, 32 connections": ("one.json", 32), "1,000 rows, 2 connections": ("thousand.json", 2)}


def main() -> None:
    """Print both ratios and the memory."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch, "flights")
        prepare(folder, "flights", "arr_delay", "ridge")
        ports = {"without": free_port(), "with": free_port()}
        options = {"without": [], "with": ["--capture", str(Path(scratch, "captures"))]}
        processes = {
            name: stack.enter_context(running(commands(folder, port)["ours"] + options[name], port, folder))[
                0
            ]
            for name, port in ports.items()
        }
        for title, (body, connections) in LOADS.items():
            _compare(title, folder, body, connections, ports)
        used = {name: worker_memory(process) for name, process in processes.items()}
        written = sum(path.stat().st_size for path in Path(scratch, "captures").rglob("*") if path.is_file())
        more = used["with"] - used["without"]
        print(
            f"memory: {used['without']:.1f} MB without, {more:+.1f} MB with; target {MEMORY_TARGET:+.0f} MB: "
            f"{'met' if more <= MEMORY_TARGET else 'missed'}; {written / 2**20:,.0f} MB written"
        )


def _compare(title: str, folder: Path, body: str, connections: int, ports: Mapping[str, int]) -> None:
    """Load both in turns, each first in every other one; print the median of the ratios."""
    for port in ports.values():
        wrk(port, folder, body, connections=connections, seconds=1)
    rates = []
    for turn in range(ROUNDS):
        names = list(ports) if turn % 2 else list(ports)[::-1]
        rates.append(
            {
                name: wrk(ports[name], folder, body, connections=connections, seconds=SECONDS)[0]
                for name in names
            }
        )
    ratio = statistics.median(rate["with"] / rate["without"] for rate in rates)
    plain = statistics.median(rate["without"] for rate in rates)
    low, high = (pick(rate["with"] / rate["without"] for rate in rates) for pick in (min, max))
    print(
        f"{title}: {plain:,.0f} requests/s without, {ratio:.3f} of that with ({low:.2f} to {high:.2f}); target "
        f"{SHARE_TARGET}: {'met' if ratio >= SHARE_TARGET else 'missed'}",
        flush=True,
    )


if __name__ == "__main__":
    main()
