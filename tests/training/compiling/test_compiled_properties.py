"""Random schemas, pipelines and rows: the graph gives the pipeline's numbers, always the same bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from data.schema import Column, Schema
from serving.scorer.scoring import Session
from training.compiling import compile_pipeline, pack_frame
from training.compiling.parity import hard_rows, thresholds
from training.transformers import CalendarFeatures, CategoryText

MODELS = {
    "ridge": Ridge,
    "extra": lambda: ExtraTreesRegressor(4, max_depth=6, random_state=0),
    "hist": lambda: HistGradientBoostingRegressor(max_iter=6, min_samples_leaf=2, random_state=0),
}
ENCODERS = {
    "one_hot": lambda: OneHotEncoder(handle_unknown="ignore", min_frequency=2, sparse_output=False),
    "ordinal": lambda: OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    ),
    "target": lambda: TargetEncoder(target_type="continuous", cv=KFold(2)),
}


@st.composite
def problems(draw: st.DrawFn) -> tuple[Pipeline, pd.DataFrame, np.ndarray, Schema]:
    """Draw a schema of one to five columns of any kind, rows with gaps, and a pipeline for them."""
    kinds = draw(
        st.lists(st.sampled_from(["number", "boolean", "category", "datetime"]), min_size=1, max_size=5)
    )
    rows, seed = draw(st.integers(12, 60)), draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    frame, columns = {}, []
    for place, kind in enumerate(kinds):
        values, column = _column(f"c{place}", kind, rows, random, draw(st.sampled_from([0.0, 0.2])))
        frame[column.name] = values
        columns.append(column)
    pipeline = _pipeline(
        columns, MODELS[draw(st.sampled_from(sorted(MODELS)))](), draw(st.sampled_from(sorted(ENCODERS)))
    )
    target = random.normal(size=rows) * 10.0 ** draw(st.integers(-3, 6))
    return pipeline, pd.DataFrame(frame), target, Schema(tuple(columns), target="y")


def _column(
    name: str, kind: str, rows: int, random: np.random.Generator, gaps: float
) -> tuple[pd.Series, Column]:
    missing = random.random(rows) < gaps
    missing[0] = False
    if kind == "category":
        texts = [f"k{n} é" for n in range(random.integers(1, 20))]
        values = pd.Series(np.where(missing, None, random.choice(texts, rows)), dtype=object)
        return values, Column(name, "category", categories=tuple(sorted(values.dropna().unique())))
    if kind == "datetime":
        days = pd.to_datetime(random.integers(-(10**9), 2 * 10**9, rows), unit="s").strftime(
            "%Y-%m-%dT%H:%M:%S"
        )
        return pd.Series(np.where(missing, None, days.to_numpy(dtype=object)), dtype=object), Column(
            name, "datetime"
        )
    numbers = (
        random.integers(0, 2, rows)
        if kind == "boolean"
        else random.normal(size=rows) * 10.0 ** random.integers(-5, 9)
    )
    values = pd.Series(np.where(missing, np.nan, numbers.astype(float)))
    span = {"minimum": float(values.min()), "maximum": float(values.max())} if kind == "number" else {}
    return values, Column(name, kind, **span)  # type: ignore[arg-type]


def _pipeline(columns: list[Column], model: object, encoder: str) -> Pipeline:
    filled = lambda *steps: make_pipeline(*steps, SimpleImputer(add_indicator=True), StandardScaler())  # noqa: E731
    parts = {
        "number": filled(), "boolean": filled(), "datetime": filled(CalendarFeatures()),
        "category": make_pipeline(CategoryText(), ENCODERS[encoder]()),
    }  # fmt: skip
    chosen = {kind: [c.name for c in columns if c.kind == kind] for kind in parts}
    return make_pipeline(
        ColumnTransformer([(kind, parts[kind], names) for kind, names in chosen.items() if names]), model
    )


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(problems())
def test_any_pipeline_gives_the_same_numbers_compiled(problem: tuple) -> None:
    """|compiled - pipeline| <= 1e-9 max(|pipeline|, sd of the target), on real and on hard rows."""
    import warnings

    pipeline, frame, target, schema = problem
    pipeline.fit(frame, target)
    graph = compile_pipeline(pipeline, schema)
    session = Session(graph)
    for rows in [frame, *hard_rows(frame, schema, thresholds(graph, schema))]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                expected = pipeline.predict(rows)
            except ValueError:
                continue  # infinite after scaling; the pairs test such rows one by one
        got = session.predict(pack_frame(rows, schema))
        assert (np.abs(got - expected) <= 1e-9 * np.maximum(np.abs(expected), target.std())).all()
    assert compile_pipeline(pipeline, schema) == graph


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from pipelines import table, pair
from serving.scorer import Parity
from training.compiling import compile_pipeline, write_scorer
frame, target, schema = table()
digests = []
for step, model in (("one_hot", "forest"), ("target", "ridge"), ("ordinal", "hist")):
    graph = compile_pipeline(pair(step, model).fit(frame, target), schema)
    scorer = write_scorer(Path(sys.argv[1]) / model, graph=graph, schema=schema, frame=frame,
                          fingerprint="f", parity=Parity(1, 0.0, 0.0, 1.0))
    digests.append(scorer.digest)
print(digests)
"""


def test_two_processes_give_the_same_digest(tmp_path: Path) -> None:
    """Same data, seed, versions and parameters: nothing of hash seeds, times, paths or hosts gets in."""
    folder = str(Path(__file__).parent)
    found = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", SCRIPT.format(folder=folder), str(tmp_path / seed)]
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd()), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.append(done.stdout)
    assert found[0] == found[1]
    assert len(found[0]) > 3 * hashlib.sha256().digest_size * 2
