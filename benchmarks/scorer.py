"""The scorer beside scikit-learn, on all 336,776 flights: `python -m benchmarks.scorer`.

Each number is the best of a few runs in this process, in one thread unless `--threads` says
otherwise: the whole pipeline on a frame, its estimator alone on a ready matrix, and the compiled
graph on packed rows. The ratio is pipeline time over scorer time. Numbers of another machine, or
of a busy one, differ; the ratios less so.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.sizes import sized

SIZES = sized((1, 1_000, 20_000, 336_776), tiny=(1, 100))
FIT_ROWS, TURN = sized((30_000, 0.5), tiny=(300, 0.0))
"""How many rows are fitted, and the seconds of calls of which the best counts."""


def main() -> None:
    """Fit each family once, then time it at each size."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--threads", type=int, default=1, help="threads for both sides")
    threads = parser.parse_args().threads
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # read when scikit-learn is first imported, below
    frame, target, schema = _flights()
    print(f"{threads} thread(s); microseconds a row at 1, milliseconds a call above\n")
    titles = ("pipeline", "estimator", "scorer")
    print(
        f"{'model':<12}{'rows':>9}{''.join(f'{title:>13}' for title in titles)}{'ratio':>9}{'max |diff|':>13}"
    )
    for name, pipeline in _families(schema).items():
        pipeline.fit(frame.iloc[:FIT_ROWS], target[:FIT_ROWS])
        for row in _measured(name, pipeline, frame, schema, threads):
            print(row, flush=True)


def _flights() -> tuple[pd.DataFrame, np.ndarray, Any]:
    from data.samples import flights
    from data.schema import Column, Schema

    table = flights(everything=sized(True, tiny=False)).sample(frac=1.0, random_state=0)
    numbers, texts = ["month", "weekday", "hour", "dep_delay", "distance"], ["carrier", "origin", "dest"]
    frame = table[numbers].astype(float).join(table[texts].astype(object)).reset_index(drop=True)
    target = table["arr_delay"].astype(float).fillna(0.0).to_numpy()
    columns = [Column(name, "number", missing=True) for name in numbers]
    columns += [Column(name, "category", categories=tuple(sorted(frame[name].unique()))) for name in texts]
    return frame, target, Schema(tuple(columns), target="arr_delay", target_unit="min")


def _families(schema: Any) -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor, VotingRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline

    from training.models import families

    def linear(model: Any) -> Any:
        return make_pipeline(families._encoded_linear(schema), model)

    def forest(kind: Any) -> Any:
        return make_pipeline(
            families._encoded_trees(schema), kind(100, min_samples_leaf=20, n_jobs=1, random_state=0)
        )

    perceptron = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=8, early_stopping=True, random_state=0)
    boosting = families.boosting(schema, 0, {}).set_params(model__early_stopping=False)  # all its 200 trees
    members = [
        ("ridge", families.ridge(schema, 0, {})),
        ("boosting", boosting),
        ("mlp", linear(perceptron)),
    ]
    return {
        "ridge": families.ridge(schema, 0, {}),
        "boosting": boosting,
        "forest": forest(RandomForestRegressor),
        "extra trees": forest(ExtraTreesRegressor),
        "mlp": linear(perceptron),
        "average of 3": VotingRegressor(members),
    }


def _measured(name: str, pipeline: Any, frame: pd.DataFrame, schema: Any, threads: int) -> Any:
    from serving.scorer.scoring import Session
    from training.compiling import compile_pipeline, pack_frame

    session = Session(compile_pipeline(pipeline, schema), threads=threads)
    packed = pack_frame(frame, schema)
    for size in SIZES:
        rows, matrix = frame.iloc[:size], packed[:size]
        whole = _seconds(lambda rows=rows: pipeline.predict(rows), size)
        alone = float("nan")
        if hasattr(pipeline, "steps"):
            ready = pipeline[:-1].transform(rows)
            alone = _seconds(lambda ready=ready: pipeline[-1].predict(ready), size)
        scored = _seconds(lambda matrix=matrix: session.predict(matrix), size)
        apart = np.abs(pipeline.predict(rows) - session.predict(matrix)).max()
        unit = 1e6 if size == 1 else 1e3
        yield (
            f"{name:<12}{size:>9,}{whole * unit:>13,.1f}{alone * unit:>13,.1f}{scored * unit:>13,.1f}"
            f"{whole / scored:>9.1f}{apart:>13.1e}"
        )


def _seconds(call: Callable[[], Any], size: int) -> float:
    """Return the best time of a call, over enough calls to be seen."""
    call()
    best, stop = np.inf, time.perf_counter() + (TURN if size < 100_000 else 0.0)
    while True:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > stop:
            return float(best)


if __name__ == "__main__":
    main()
