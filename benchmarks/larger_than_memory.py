"""A training on a table larger than its memory: seconds on the wall, and the most memory that its processes had.

    python -m benchmarks.larger_than_memory [--rows 10] [--memory 1GB] [--seconds 60] [--folder /somewhere]

The table (20 columns, so many million rows of Parquet) is made in the folder and removed at the end. Memory is what the
training and the processes that it starts have beyond files (`RssAnon` and `RssShmem`), looked at five times a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.sizes import sized

ROOT = Path(__file__).parent.parent
AT_ONCE = 500_000


def rows(first: int, count: int) -> pa.Table:
    """16 numbers, one of them whole and one with gaps, a switch, two texts, a date; five of them matter."""
    random = np.random.default_rng(first)
    columns = {f"x{index}": random.normal(size=count) for index in range(14)}
    shop, kind = random.integers(0, 40, count), random.integers(0, 9, count)
    columns["visits"] = random.integers(0, 50, count)
    columns["late"] = np.where(random.random(count) < 0.1, np.nan, random.random(count))
    columns["open"] = random.random(count) < 0.3
    names = np.array([f"shop {number}" for number in range(40)], dtype=object)
    kinds = np.array(list("abcdefghi"), dtype=object)
    days = np.datetime64("2024-01-01") + random.integers(0, 500, count)
    y = (
        3.0 * columns["x0"]
        + np.sin(2.0 * columns["x1"])
        + 0.1 * shop
        + 0.05 * columns["visits"]
        + columns["open"]
    )
    columns |= {"shop": names[shop], "kind": kinds[kind], "day": days, "y": y + random.normal(size=count)}
    return pa.table(columns)


def write(path: Path, count: int) -> None:
    """Write a table of so many rows."""
    with pq.ParquetWriter(path, rows(0, 1).schema, compression="zstd") as writer:
        for first in range(0, count, AT_ONCE):
            writer.write_table(rows(first, min(AT_ONCE, count - first)))


def main() -> None:
    """Make the table, train on it, and print what that took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.larger_than_memory", allow_abbrev=False)
    parser.add_argument("--rows", type=float, default=sized(10.0, tiny=0.002), help="in millions")
    parser.add_argument("--memory", default=sized("1GB", tiny="1MB"))
    parser.add_argument("--seconds", type=float, default=sized(60.0, tiny=2.0))
    parser.add_argument("--folder", default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        table = Path(scratch) / "table.parquet"
        write(table, int(asked.rows * 1e6))
        print(f"{asked.rows:g} million rows, {table.stat().st_size / 1e6:,.0f} MB of Parquet", flush=True)
        environment = os.environ | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db",
            "TMPDIR": scratch,
        }
        words = ["--data", str(table), "--target", "y", "--name", "large", "--memory", asked.memory]
        words += ["--time_budget", f"{asked.seconds:g}", "--promote", "never"]
        command = [sys.executable, "-m", "training", "train", *words]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=scratch, env={**environment, "PYTHONPATH": str(ROOT)})
        most = 0.0
        while process.poll() is None:
            most = max(most, sum(map(anonymous, family(process.pid))))
            time.sleep(0.2)
        took = time.perf_counter() - began
    print(f"{took:,.0f} s, {most / 1e9:.2f} GB beyond files at most, with memory={asked.memory}", flush=True)
    sys.exit(process.returncode)


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    result = [pid]
    for parent in result:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            result += map(int, read(task).split())
    return result


def anonymous(pid: int) -> float:
    """Return the bytes of a process that are not pages of files."""
    lines = dict(line.split(":", 1) for line in read(Path(f"/proc/{pid}/status")).splitlines())
    return sum(float(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem") if name in lines)


def read(path: Path) -> str:
    """Return a file of /proc, nothing of a process that has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
