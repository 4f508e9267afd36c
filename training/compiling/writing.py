"""The scorer's folder: the graph, and the document that says what it takes and gives."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.schema import Column, Schema, Value
from serving.scorer import SLIPWAY, Document, Intervals, Parity, Scorer, Session, scorer_files
from training.compiling.packing import pack_frame
from training.compiling.reasons import Sum, explained, spread_places

GOLDEN_ROWS = 10
MOST_ROWS = 20_000
"""Training rows that golden rows and what explains predictions are taken from, spread evenly."""

PACKAGES = ("scikit-learn", "numpy", "onnx", "onnxruntime", "mlflow")


def write_scorer(
    folder: Path,
    *,
    graph: bytes,
    schema: Schema,
    frame: pd.DataFrame,
    fingerprint: str,
    parity: Parity,
    intervals: Intervals | None = None,
    packages: Sequence[str] = (),
    explain: bool = True,
    trees: Sum | None = None,
) -> Scorer:
    """Write `model.onnx` and `scorer.json`, and return the scorer as the server will load it.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    graph : bytes
        As `compile_pipeline` gave it.
    frame : pandas.DataFrame of shape (n_rows, n_columns)
        Training rows, from which the golden rows are taken.
    fingerprint : str
        Of the training data.
    parity : Parity
        As `measure_parity` gave it.
    intervals : Intervals
        The table; adaptive exactly where the graph has a scale.
    packages : sequence of str
        What the model needs beyond every version's packages, as `compile_verified` gave it.
    explain : bool
        Whether to write what explains predictions, which may hold training rows.
    trees : Sum
        As `compile_verified` gave it.
    """
    frame = frame.iloc[spread_places(len(frame), MOST_ROWS)]
    matrix = pack_frame(frame, schema)
    session = Session(graph, at_once=None)
    predictions = session.predict(matrix)
    chosen = _golden_places(predictions)
    document = Document(
        schema=schema,
        fingerprint=fingerprint,
        parity=parity,
        versions=versions(*packages),
        golden_rows=tuple(raw_row(frame.iloc[index], schema) for index in chosen),
        golden_predictions=tuple(session.predict(matrix[chosen]).tolist()),
        intervals=intervals,
        golden_scales=_scales(session, matrix[chosen]) if intervals and intervals.adaptive else (),
    )
    folder.mkdir(parents=True, exist_ok=True)
    finite = matrix[np.isfinite(predictions)]
    scorer_files.write(folder, graph, document, explained(graph, finite, schema, trees) if explain else None)
    scorer = Scorer.load(folder, at_once=None)
    scorer.replay_golden()
    return scorer


def _scales(session: Session, matrix: Any) -> tuple[float, ...]:
    return tuple(session.predict_with_scale(matrix)[:, 1].tolist())


def versions(*more: str) -> dict[str, str]:
    """Return what made the graph: Python's minor version and each package's."""
    python = ".".join(platform.python_version_tuple()[:2])
    result = {package: version(package) for package in (*PACKAGES, *more)}
    return {"python": python, "slipway": SLIPWAY} | result


def _golden_places(predictions: Any) -> list[int]:
    """Return rows spread evenly over those that have a finite prediction."""
    finite = np.flatnonzero(np.isfinite(predictions))
    spread = np.linspace(0, len(finite) - 1, min(GOLDEN_ROWS, len(finite))).round().astype(int)
    return finite[spread].tolist()  # type: ignore[no-any-return]


def raw_row(row: pd.Series, schema: Schema) -> dict[str, Value]:
    """Return a frame's row as a request holds it: None where missing."""
    return {column.name: _value(row[column.name], column) for column in schema.columns}


def _value(value: Any, column: Column) -> Value:
    if pd.isna(value):
        return None
    if column.kind in ("category", "datetime"):
        return str(value)
    return bool(value) if column.kind == "boolean" else float(value)
