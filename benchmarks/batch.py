"""Scoring a file beside stock MLflow: all 336,776 flights, ridge and 200-tree boosting.

Both sides are timed from opening the input to closing the output, in this process and with the
model loaded; stock does what `mlflow models predict` does: read the CSV, `pyfunc.predict`, write the
predictions as CSV. The whole commands are timed as well. The two sides' numbers are compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from benchmarks.models import build
from benchmarks.sizes import sized
from data.samples import write
from data.sources import open_source
from serving.batch import score_file
from serving.scorer.scoring import Scorer

FEATURES = ["month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest", "distance"]


def main() -> None:
    """Print rows per second for each side, and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, rows = folder / "flights.csv", write_flights(folder)
        print(f"{rows:,} flights as CSV; seconds from opening the input to closing the output")
        for family in sized(("ridge", "boosting"), tiny=("ridge",)):
            version = build(
                folder / family, sample="flights", target="arr_delay", family=family, features=FEATURES
            )
            stock = timed_stock(version, table, folder / "stock.csv")
            ours = timed_ours(version, table, folder / "ours.csv")
            furthest = compare(folder)
            print(
                f"  {family:<9} stock {stock:6.2f} s {rows / stock:10,.0f} rows/s   "
                f"ours {ours:6.2f} s {rows / ours:10,.0f} rows/s   ratio {stock / ours:5.1f}   "
                f"max |difference| {furthest:.1e}"
            )
            print(f"  {family:<9} mlflow models predict, whole command {whole_command(version, table):.1f} s")


def write_flights(folder: Path) -> int:
    """Write all flights as a CSV file; return how many."""
    write("flights", everything=sized(True, tiny=False), output=folder / "flights.parquet")
    numbers = [name for name in FEATURES if name not in ("carrier", "origin", "dest")]
    # Stock refuses whole numbers where it expects doubles: each number gets its decimal point.
    frame = pd.read_parquet(folder / "flights.parquet")[FEATURES].astype(dict.fromkeys(numbers, float))
    frame.to_csv(folder / "flights.csv", index=False)
    return len(frame)


def timed_stock(version: Path, table: Path, output: Path) -> float:
    """Do what `mlflow models predict -t csv` does, with the model loaded before."""
    model = mlflow.pyfunc.load_model(str(version))
    started = time.perf_counter()
    pd.DataFrame({"predictions": model.predict(pd.read_csv(table))}).to_csv(output, index=False)
    return time.perf_counter() - started


def timed_ours(version: Path, table: Path, output: Path) -> float:
    """Do what `mlflow run -e score` does, with the scorer loaded before."""
    scorer = Scorer.load(version / "scorer", threads=os.cpu_count() or 1, same_bits=True)
    return score_file(scorer, open_source(str(table)), output).seconds


def compare(folder: Path) -> float:
    """Return the largest difference between the two outputs."""
    ours = pd.read_csv(folder / "ours.csv")["prediction"].to_numpy()
    stock = pd.read_csv(folder / "stock.csv")["predictions"].to_numpy()
    return float(np.abs(ours - stock).max())


def whole_command(version: Path, table: Path) -> float:
    """Return the seconds of stock's command, start-up included."""
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", str(version), "-i", str(table)]
    started = time.perf_counter()
    words = [*command, "-t", "csv", "-o", str(table.with_name("whole.csv")), "--env-manager", "local"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-500:])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
