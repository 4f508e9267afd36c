"""Where a training's seconds go on tables that stretch it: many columns, many categories, many rows, and few of all.

    python -m benchmarks.steps [--only wide tiny shops long] [--seconds 5] [--promote auto]

Each table is made here and trained in a process of its own by the same `train` as any; the functions that stand
for a step are timed from outside, in seconds on the wall and on the processor (of the main process alone, so that
of `Race.run` it says nothing). `search` is all settings, the last fit and the comparison with the graph.
The first line says whether the time was kept. Two tables are for that alone: `--only broad huge --seconds 20`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.main_job import figures, kept_in_words
from benchmarks.sizes import sized

ROOT = Path(__file__).parent.parent

STEPS = {
    "training.jobs.train": (
        "searching.search searching.fit_best evaluate assess record log_model registering.register decide card.card"
    ),
    "training.rows.known.kept_split": "load_split",
    "training.rows.prepared": "split_table describe suspicions fingerprint",
    "training.challenger.recording": "report.figures",
    "training.challenger.columns": "_importance",
    "training.challenger.making": "write_version promise flavor.log_version",
    "training.search.choosing": "Race.run",
    "training.search.winner": "_fitted compile_verified",
    "training.measuring.assessment": "_curve",
    "training.measuring.intervals.conformal": "residuals_of calibrate",
    "training.gate.trial": "Trial.decision Trial.proofs",
}
"""The functions that are timed, by module; those of a module within others are parts of theirs."""


def wide() -> pd.DataFrame:
    """500 rows of 2,000 numbers, ten of which matter."""
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 2_000))
    y = x[:, :10] @ np.arange(1.0, 11.0) + random.normal(size=500)
    return pd.DataFrame(x, columns=[f"x{index}" for index in range(2_000)]).assign(y=y)


def tiny() -> pd.DataFrame:
    """200 rows of five numbers."""
    random = np.random.default_rng(0)
    x = random.uniform(size=(200, 5))
    y = 10.0 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 5.0 * x[:, 2] + random.normal(size=200)
    return pd.DataFrame(x, columns=list("abcde")).assign(y=y)


def shops() -> pd.DataFrame:
    """60,000 rows of 9,000 shops, each with a level of its own."""
    random = np.random.default_rng(0)
    shop = random.integers(9_000, size=60_000)
    x = random.normal(size=(60_000, 3))
    y = random.normal(size=9_000)[shop] + x @ [1.0, 0.5, 0.2] + random.normal(size=60_000)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    return frame.assign(shop=[f"shop {number}" for number in shop], y=y)


def long(count: int = 100_000) -> pd.DataFrame:
    """100,000 rows of twenty columns, four of them categories."""
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 16))
    codes = random.integers(0, 12, size=(count, 4))
    y = (
        x[:, 0] * x[:, 1]
        + np.sin(2 * x[:, 2])
        + 0.3 * codes[:, 0]
        + (codes[:, 1] == 3)
        + random.normal(size=count)
    )
    frame = pd.DataFrame(x, columns=[f"x{index}" for index in range(16)])
    names = np.array([f"v{code}" for code in range(12)], dtype=object)
    return frame.assign(**{f"c{index}": names[codes[:, index]] for index in range(4)}, y=y)


def broad() -> pd.DataFrame:
    """20,000 rows of 500 numbers, five of which matter."""
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 500))
    y = x[:, :5] @ np.arange(1.0, 6.0) + np.sin(3.0 * x[:, 5]) + random.normal(size=20_000)
    return pd.DataFrame(x, columns=[f"x{index}" for index in range(500)]).assign(y=y)


def huge() -> pd.DataFrame:
    """5,000,000 rows of twenty columns, four of them categories."""
    return long(5_000_000)


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "wide": wide,
    "tiny": tiny,
    "shops": shops,
    "long": long,
    "broad": broad,
    "huge": huge,
}
USUAL = ["wide", "tiny", "shops", "long"]


def main() -> None:
    """Train on each table in a process of its own, which prints its seconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", allow_abbrev=False)
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=sized(USUAL, tiny=["tiny"]))
    parser.add_argument("--seconds", type=float, default=sized(5.0, tiny=1.0))
    parser.add_argument("--promote", default="auto")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        timed(asked.only[0], asked.seconds, asked.promote)
        return
    for name in asked.only:
        print(f"{name}: {TABLES[name].__doc__}", flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            words = ["--here", "--only", name, "--seconds", f"{asked.seconds:g}", "--promote", asked.promote]
            uri = f"sqlite:///{scratch}/mlflow.db"
            environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)}
            environment["OMP_NUM_THREADS"] = "1"  # as the command sets it, before anything is imported
            subprocess.run([sys.executable, __file__, *words], cwd=scratch, env=environment, check=True)


def timed(name: str, seconds: float, promote: str) -> None:
    """Train on one table here, with a clock around each step."""
    from training import __main__ as command

    path = f"table.{'csv' if name in USUAL else 'parquet'}"  # millions of rows of text take minutes to write
    write = pd.DataFrame.to_csv if name in USUAL else pd.DataFrame.to_parquet
    write(TABLES[name](), path, index=False)
    result: dict[str, tuple[float, float]] = {}
    for module, names in STEPS.items():
        for step in names.split():
            _clock(module, step, result)
    began, used = time.perf_counter(), time.process_time()
    words = ["train", "--data", path, "--target", "y", "--name", name, "--promote", promote]
    if code := command.main([*words, "--time_budget", f"{seconds:g}"]):
        raise SystemExit(code)
    whole, processor = time.perf_counter() - began, time.process_time() - used
    searched = [result["searching.search"], result["searching.fit_best"]]
    result["beside the search"] = (
        whole - sum(took for took, _ in searched),
        processor - sum(spent for _, spent in searched),
    )
    result["in all"] = (whole, processor)
    print(f"    {kept_in_words(figures(os.environ['MLFLOW_TRACKING_URI']))}")
    print(f"    {'wall s':>7}{'cpu s':>7}")
    for step, (took, spent) in result.items():
        print(f"    {took:7.1f}{spent:7.1f} {step}", flush=True)


def _clock(module: str, step: str, found: dict[str, tuple[float, float]]) -> None:
    """Put a clock around a function of a module, or of something in it."""
    import importlib

    place: Any = importlib.import_module(module)
    *path, name = step.split(".")
    for part in path:
        place = getattr(place, part)
    if not (function := getattr(place, name, None)):
        raise SystemExit(f"{module} has no {step}: correct STEPS in benchmarks/steps.py")

    @wraps(function)
    def clocked(*words: Any, **named: Any) -> Any:
        began, used = time.perf_counter(), time.process_time()
        try:
            return function(*words, **named)
        finally:
            before = found.get(step, (0.0, 0.0))
            found[step] = (before[0] + time.perf_counter() - began, before[1] + time.process_time() - used)

    setattr(place, name, clocked)


if __name__ == "__main__":
    main()
