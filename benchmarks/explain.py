"""What reasons cost: one row of 200 trees over 8 columns and a thousand, beside shap, and who does not ask.

Processor time of this thread, for both on one thread. `shap` explains the same fitted trees, behind the same
preprocessing; where it is not installed (it needs numba) its figures are left out.
"""

from __future__ import annotations

import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from benchmarks.models import build
from benchmarks.sizes import sized
from serving.scorer import Scorer
from serving.scorer.reasons.leaf_paths import FIRST_ROWS
from training.compiling import pack_frame

COLUMNS = ["month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest", "distance"]
TREES, CALLS, MANY = sized((200, 300, 1_000), tiny=(5, 3, 20))
TARGET_MS, TARGET_TIMES = 1.0, 50.0


def main() -> None:
    """Print the times and whether they are within what was promised."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        version = build(
            place, sample="flights", target="arr_delay", family="boosting", features=COLUMNS, trees=TREES
        )
        load, size = _loaded(version / "scorer")
        print(
            f"who does not ask: loaded in {load:.1f} ms, the file of {size / 1000:.0f} kB is checked and let go"
        )
        scorer = Scorer.load(version / "scorer")
        tracemalloc.start()
        began = time.perf_counter()
        explainer = scorer.explainer()
        first = (time.perf_counter() - began) * 1000.0
        print(f"first question: {first:.1f} ms more, {tracemalloc.get_traced_memory()[0] / 1e6:.1f} MB")
        tracemalloc.stop()
        many = pack_frame(pd.read_parquet(place / "rows.parquet").head(MANY), scorer.schema)
        early = median_ms(lambda: explainer.explain(many[:1]), min(CALLS, FIRST_ROWS // 2))
        enough = np.resize(many, (FIRST_ROWS + 1, many.shape[1]))
        began = time.thread_time()
        explainer.explain(enough)
        tables = (time.thread_time() - began) * 1000.0
        print(f"one of the first {FIRST_ROWS} rows: {early:.2f} ms; then tables are made in {tables:.0f} ms")
        again = median_ms(lambda: explainer.explain(many[:1]), CALLS)
        each = cycle(np.split(many, len(many)))
        one = median_ms(lambda: explainer.explain(next(each)), CALLS)
        thousand = median_ms(lambda: explainer.explain(many), 3)
        met = "met" if one <= TARGET_MS else "missed"
        print(
            f"one row, another each time: {one:.2f} ms; target {TARGET_MS:g}: {met}; the same: {again:.2f} ms"
        )
        print(f"{MANY:,} rows: {thousand:.0f} ms")
        if find_spec("shap"):
            beside_shap(place, one, thousand)
        else:
            print("shap is not installed here: pip install shap")


def beside_shap(place: Path, one: float, thousand: float) -> None:
    """Print what `shap.TreeExplainer` takes for the same pipeline."""
    import shap

    pipeline = joblib.load(place / "model.joblib")
    frame = pd.read_parquet(place / "rows.parquet")
    explainer = shap.TreeExplainer(pipeline[-1], feature_perturbation="tree_path_dependent")
    each = cycle([frame.iloc[[place]] for place in range(min(len(frame), MANY))])
    theirs = median_ms(lambda: explainer.shap_values(pipeline[:-1].transform(next(each))), min(CALLS, 30))
    both = median_ms(lambda: explainer.shap_values(pipeline[:-1].transform(frame.head(MANY))), 3)
    met = "met" if theirs >= TARGET_TIMES * one else "missed"
    print(f"shap, one row: {theirs:.2f} ms, {theirs / one:.0f} times ours; target {TARGET_TIMES:g}: {met}")
    met = "met" if thousand <= both else "missed"
    print(f"shap, {MANY:,} rows: {both:.0f} ms, {both / thousand:.1f} times ours; target 1: {met}")


def median_ms(work: Callable[[], object], calls: int) -> float:
    """Return the median processor time of a call of this thread, in milliseconds."""
    work()
    times = []
    for _ in range(calls):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return float(np.median(times)) * 1000.0


def _loaded(folder: Path) -> tuple[float, int]:
    """Return how long a load takes, in milliseconds, and the size of the file that explains."""
    load = median_ms(lambda: Scorer.load(folder), 5)
    return load, (folder / "explain.safetensors").stat().st_size


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
