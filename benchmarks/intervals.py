"""What an interval costs: requests a second with a coverage beside those without, in turns.

One model has one width for all rows, the other a scale for each, the graph's second output.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from benchmarks.accuracy import heteroscedastic
from benchmarks.server import ROOT, commands, running, wrk
from benchmarks.sizes import sized
from serving.running import free_port

ROUNDS, SECONDS, ROWS = sized((3, 3, 4_000), tiny=(1, 1, 400))
TARGET = 0.7


def main() -> None:
    """Print the ratios for one row and for a thousand."""
    random = np.random.default_rng(0)
    even = pd.DataFrame(random.normal(size=(ROWS, 4)), columns=["x0", "x1", "x2", "x3"])
    even["y"] = even["x0"] + even["x1"] * even["x2"] + random.normal(size=ROWS)
    tables = {"one width": even, "a scale for each row": heteroscedastic(ROWS)[0]}
    for title, table in list(tables.items())[: sized(None, tiny=1)]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = version(table, Path(scratch))
            kind = json.loads((folder / "version" / "scorer" / "scorer.json").read_text())["intervals"]
            for rows, connections in ((1, 32), (min(1_000, ROWS), 2)):
                ratio, rate = measured(folder, table.drop(columns="y"), rows, connections)
                print(
                    f"{title} (adaptive: {kind['adaptive']}), {rows} rows, {connections} connections: {rate:,.0f} "
                    f"requests/s without, {ratio:.2f} of that with; target {TARGET}: "
                    f"{'met' if ratio >= TARGET else 'missed'}",
                    flush=True,
                )


def version(table: pd.DataFrame, folder: Path) -> Path:
    """Train on a table; return a folder with the version in it."""
    table.to_csv(folder / "table.csv", index=False)
    uri = f"sqlite:///{folder}/mlflow.db"
    words = ["--data", "table.csv", "--target", "y", "--name", "cost", "--trials", "2", "--promote", "never"]
    subprocess.run(
        [sys.executable, "-m", "training", "train", *words],
        cwd=folder,
        env=os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mlflow.set_tracking_uri(uri)
    mlflow.artifacts.download_artifacts("models:/cost/1", dst_path=str(folder / "version"))
    return folder


def measured(folder: Path, rows: pd.DataFrame, count: int, connections: int) -> tuple[float, float]:
    """Return the rate with intervals as a share of that without, and the latter: medians of turns."""
    split = {"dataframe_split": rows.head(count).to_dict(orient="split", index=False)}
    (folder / "one.json").write_text(json.dumps(split))
    (folder / "bounds.json").write_text(json.dumps(split | {"params": {"coverage": 0.9}}))
    port = free_port()
    rates: dict[str, list[float]] = {"one.json": [], "bounds.json": []}
    with running(commands(folder, port)["ours"], port, folder):
        for _ in range(ROUNDS):
            for body, result in rates.items():
                result.append(wrk(port, folder, body, connections=connections, seconds=SECONDS)[0])
    plain, bounds = (statistics.median(result) for result in rates.values())
    return bounds / plain, plain


if __name__ == "__main__":
    main()
