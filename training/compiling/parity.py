"""Does the graph give the pipeline's numbers? Asked on real rows and on rows made to be hard.

The hard rows are where a translation goes wrong: missing values, categories that training did
not see, magnitudes near both ends of float64, and values at a tree's threshold and one unit in
the last place to either side, in float64 and in float32. One column of a row is changed at a
time, so that no two huge terms cancel. A row that the pipeline refuses must give no finite
number. It assumes that rows in serving are no harder than these.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import numpy_helper

from data.schema import Column, Schema
from serving.scorer import Parity
from training.compiling.errors import ParityFailed
from training.compiling.features import UNSEEN_TEXT
from training.compiling.packing import pack_frame

MOST_REAL_ROWS = 20_000
HARD_ROWS_EACH = 2_500
REFUSED_ROWS_TRIED = 64
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
MAGNITUDES = (0.0, -0.0, 5e-324, 1e-30, 1e9, 2.0**53, 1e15, LARGEST_FLOAT32, 1e30, -1e30)
BEYOND_FLOAT32 = (1e39, 1e300, -1e300)
"""Apart from the others, for scikit-learn's own trees refuse a whole frame for one of these."""

DATES = ("1700-03-01", "1900-02-28T23:59:59.999999", "1970-01-01", "1969-12-31T23:59:59.999999",
         "2000-02-29T12:30:00", "2023-12-31T23:59:59", "2024-12-31", "2200-01-01T00:00:00Z")  # fmt: skip


class Predicts(Protocol):
    """A scorer: packed rows in, predictions out."""

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions of shape (n_rows,)."""


@dataclass(frozen=True)
class _Compared:
    rows: int
    max_abs: float
    max_rel: float


def measure_parity(
    pipeline: Any,
    scorer: Predicts,
    schema: Schema,
    frame: pd.DataFrame,
    target_sd: float,
    *,
    graph: bytes = b"",
    tolerance: float = Parity.TOLERANCE,
) -> Parity:
    """Compare the scorer with the pipeline on training rows, and on hard ones unless the tolerance is wider.

    Parameters
    ----------
    pipeline : scikit-learn estimator
        Fitted on `frame`.
    scorer : object with ``predict``
        What the graph gives for packed rows.
    frame : pandas.DataFrame of shape (n_rows, n_columns)
        Training rows.
    target_sd : float
        Standard deviation of the training target.
    graph : bytes
        The compiled model, for its trees' thresholds.
    tolerance : float
        What `require` will allow. A wider one than `TOLERANCE` is for a pipeline that rounds by itself, and does so
        without bound on hard rows: those are compared with its twin that does not.
    """
    result = []
    groups = [_real_rows(frame)]
    if tolerance <= Parity.TOLERANCE:
        groups += hard_rows(frame, schema, thresholds(graph, schema) if graph else {})
    for rows in groups:
        for part, expected in _answered(pipeline, rows):
            got = scorer.predict(pack_frame(part, schema))
            result.append(_compare(got, expected, target_sd))
    return Parity(
        rows=sum(part.rows for part in result),
        max_abs=result[0].max_abs,
        max_rel=max(part.max_rel for part in result),
        target_sd=target_sd,
        tolerance=tolerance,
    )


def require(parity: Parity) -> None:
    """Return if the graph may stand for the pipeline; raises ParityFailed."""
    if not parity.holds:
        raise ParityFailed(max_rel=parity.max_rel, rows=parity.rows, tolerance=parity.tolerance)


def _compare(got: NDArray[np.float64], expected: NDArray[np.float64], target_sd: float) -> _Compared:
    finite = np.isfinite(expected)
    apart = np.abs(np.where(finite, got - np.where(finite, expected, 0.0), 0.0))
    apart = np.where(~finite & np.isfinite(got), np.inf, np.where(np.isnan(apart), np.inf, apart))
    scale = np.maximum(np.abs(np.where(finite, expected, 0.0)), target_sd)
    share = np.divide(apart, scale, out=np.where(apart > 0, np.inf, 0.0), where=scale > 0)
    return _Compared(len(got), float(apart.max(initial=0.0)), float(share.max(initial=0.0)))


def _answered(pipeline: Any, rows: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, NDArray[np.float64]]]:
    """Yield rows with what the pipeline gives for them; NaN for a row that it refuses."""
    try:
        yield rows, _predicted(pipeline, rows)
    except ValueError:
        for index in range(min(len(rows), REFUSED_ROWS_TRIED)):
            row = rows.iloc[[index]]
            try:
                yield row, _predicted(pipeline, row)
            except ValueError:
                yield row, np.full(1, np.nan)


def _predicted(pipeline: Any, rows: pd.DataFrame) -> NDArray[np.float64]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # unknown categories and overflows are what these rows are for
        return np.asarray(pipeline.predict(rows), dtype=np.float64).reshape(-1)


def _real_rows(frame: pd.DataFrame) -> pd.DataFrame:
    step = max(1, -(-len(frame) // MOST_REAL_ROWS))
    return frame.iloc[::step]


def hard_rows(
    frame: pd.DataFrame, schema: Schema, splits: dict[int, NDArray[np.float64]]
) -> Iterator[pd.DataFrame]:
    """Yield one frame for each kind of trouble, each row a training row with one column changed."""
    random = np.random.default_rng(0)
    kinds: list[dict[int, list[Any]]] = [
        {
            index: [np.nan if column.kind in ("number", "boolean") else None]
            for index, column in _places(schema)
        },
        {index: [UNSEEN_TEXT] for index, column in _places(schema, "category")},
        {index: list(DATES) for index, _ in _places(schema, "datetime")},
        {index: _extremes(column) for index, column in _places(schema, "number")},
        {index: list(BEYOND_FLOAT32) for index, _ in _places(schema, "number")},
        {index: splits[index].tolist() for index, _ in _places(schema, "number") if index in splits},
    ]
    for values in kinds:
        if values:
            yield _changed(frame, schema, values, random)


def _places(schema: Schema, kind: str = "") -> list[tuple[int, Column]]:
    return [(at, column) for at, column in enumerate(schema.columns) if not kind or column.kind == kind]


def _extremes(column: Column) -> list[float]:
    low, high = column.minimum or 0.0, column.maximum or 0.0
    return [*MAGNITUDES, low, high, low - (high - low) - 1.0, high + (high - low) + 1.0]


def _changed(
    frame: pd.DataFrame, schema: Schema, values: dict[int, list[Any]], random: np.random.Generator
) -> pd.DataFrame:
    count = min(HARD_ROWS_EACH, max(50, 2 * len(frame)))
    rows = frame.iloc[random.integers(len(frame), size=count)].reset_index(drop=True)
    chosen = random.choice(sorted(values), size=count)
    for position, options in values.items():
        name = schema.columns[position].name
        at = np.flatnonzero(chosen == position)
        column = rows[name].to_numpy(
            dtype=object if isinstance(options[0], str | None) else np.float64, copy=True
        )
        column[at] = [options[index] for index in random.integers(len(options), size=len(at))]
        rows[name] = pd.Series(column, dtype=column.dtype)
    return rows


def thresholds(graph: bytes, schema: Schema) -> dict[int, NDArray[np.float64]]:
    """Return, for each packed number column, its trees' thresholds and the values just beside them."""
    result: dict[int, list[float]] = {}
    for node in onnx.load_from_string(graph).graph.node:
        if node.op_type == "TreeEnsemble":
            attributes = {attribute.name: attribute for attribute in node.attribute}
            splits = numpy_helper.to_array(attributes["nodes_splits"].t)
            for index, split in zip(attributes["nodes_featureids"].ints, splits.tolist(), strict=True):
                result.setdefault(index, []).append(split)
    numbers = {index for index, _ in _places(schema, "number")}
    return {index: _beside(np.unique(splits)) for index, splits in result.items() if index in numbers}


def _beside(splits: NDArray[np.float64]) -> NDArray[np.float64]:
    splits = splits[np.abs(splits) <= LARGEST_FLOAT32]
    narrow = splits.astype(np.float32)
    above = np.nextafter(narrow, np.float32(np.inf)).astype(np.float64)
    middle = (narrow.astype(np.float64) + above) / 2
    around = [splits, narrow.astype(np.float64), above, middle]
    sides = [np.nextafter(values, side) for values in (splits, middle) for side in (-np.inf, np.inf)]
    return np.concatenate([*around, *sides]) if len(splits) else np.zeros(1)
