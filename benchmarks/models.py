"""The three models that are served in the measurements and in the server's tests."""

from __future__ import annotations

import json
import warnings
from importlib import resources
from pathlib import Path

import joblib
import pandas as pd

from benchmarks.sizes import sized
from data.schema import Schema
from data.sources import open_source
from data.tables import describe, load_table
from training.compiling import compile_verified, write_scorer
from training.models import build as build_pipeline
from training.versions import flavor

TREES = sized(200, tiny=10)


def build(
    folder: Path,
    *,
    sample: str,
    target: str,
    family: str,
    features: list[str] | None = None,
    trees: int = TREES,
) -> Path:
    """Fit one family on a sample, save it as a version and as a joblib file; return the version's folder."""
    path = Path(str(resources.files("data.samples") / f"{sample}.csv"))
    return build_table(folder, path=path, target=target, family=family, features=features, trees=trees)


def build_table(
    folder: Path,
    *,
    path: Path,
    target: str,
    family: str,
    features: list[str] | None = None,
    trees: int = TREES,
) -> Path:
    """Do the same with any table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the libraries are for training's own tests
        return _build(folder, path, target, features, family=family, trees=trees)


def _build(
    folder: Path, path: Path, target: str, features: list[str] | None, *, family: str, trees: int
) -> Path:
    table = load_table(open_source(str(path)))
    table = table.take(table.frame[target].notna().to_numpy())
    features = features or [name for name in table.names if name != target]
    schema: Schema = describe(table, features, target=target)
    frame, y = table.frame[features], table.numbers(target)
    params = {"max_iter": trees} if family == "boosting" else {}
    pipeline = build_pipeline({"family": family, "params": params}, schema, seed=0)
    pipeline.fit(frame, y)
    compiled = compile_verified(pipeline, schema=schema, frame=frame, target=y)
    write_scorer(
        folder / "scorer",
        graph=compiled.graph,
        schema=schema,
        frame=frame,
        fingerprint="sample",
        parity=compiled.parity,
        trees=compiled.trees,
    )
    flavor.save_model(pipeline, folder / "version", schema=schema, scorer_folder=folder / "scorer")
    joblib.dump(pipeline, folder / "model.joblib")
    rows = json.loads(frame.head(1000).to_json(orient="split", index=False))
    (folder / "rows.json").write_text(json.dumps({"dataframe_split": rows}))
    pd.DataFrame(frame).to_parquet(folder / "rows.parquet", index=False)
    return folder / "version"
