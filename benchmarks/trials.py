"""What a hundred trials cost beside their fits: proposing them, moving them between processes, recording them.

The time of the whole search, its nested runs in SQLite included, beside the time that the trials' own fits
took, shared by the cores. Patience is switched off, so that it is a hundred.
"""

from __future__ import annotations

import os
import tempfile
import time

import mlflow
from sklearn.datasets import make_friedman1

from benchmarks.accuracy import friedman
from benchmarks.sizes import sized
from data.splits import SplitRule, split_table
from data.tables import Table, describe
from training.records import tracking
from training.search import Candidate, choosing, race
from training.search.cross_validation import TrainingRows
from training.time_budget import Budget

TRIALS, ROWS = sized((100, 1_000), tiny=(3, 200))
CORES = len(os.sched_getaffinity(0))
TARGET = 1.10


def main() -> None:
    """Print both times and their ratio."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    race.PATIENCE = 10**6
    frame, _ = friedman(make_friedman1, 0.2, ROWS)
    names = tuple(frame.columns[:-1])
    table = Table("friedman1", frame, dict.fromkeys(frame.columns, "number"))
    folds = split_table(table, SplitRule("hash", names, holdout=0.01, calibration=0.01)).folds(5)
    schema = describe(table, names, target="y")
    with tempfile.TemporaryDirectory() as scratch:
        mlflow.set_tracking_uri(f"sqlite:///{scratch}/mlflow.db")
        with tracking.open_run(
            "trials", "benchmark"
        ) as run:  # creates the database, which is no part of a trial
            recording: list[float] = []

            def record(candidate: Candidate) -> None:
                began = time.perf_counter()
                run.log_nested(
                    candidate.family, metrics=candidate.as_metrics(), params={"spec": str(candidate.spec)}
                )
                recording.append(time.perf_counter() - began)

            choice = choosing.choose(
                TrainingRows(frame[list(names)], frame["y"].to_numpy(), folds, schema, 0),
                budget=Budget(3600.0, TRIALS),
                callbacks=choosing.Callbacks(candidate=record),
            )
    tried = choice.trials
    fits = float(tried["seconds"].sum()) / CORES
    print(f"{len(tried)} trials on {ROWS:,} rows: search {choice.seconds:.1f} s on {CORES} cores")
    print(f"  {len(recording)} nested runs: {sum(recording):.2f} s, {sum(recording) / choice.seconds:.1%}")
    print(f"  the trials' own time over the cores: {fits:.1f} s")
    ratio = choice.seconds / fits
    print(f"  search over its trials: {ratio:.2f}, target {TARGET}: {'met' if ratio <= TARGET else 'missed'}")


if __name__ == "__main__":
    main()
