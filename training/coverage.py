"""Which share of held-out targets the intervals hold, and how wide they are.

Rows are taken as independent: the binomial interval is too narrow where they err together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from serving.intervals import Intervals
from serving.scorer import Scorer

SHOWN = (0.5, 0.8, 0.9, 0.95)
DECILES = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reached:
    """One coverage on the holdout.

    Attributes
    ----------
    nominal, share : float
        What was promised, and the share of targets inside.
    low, high : float
        Where the share of so many rows lies 99 times in 100 if the promise holds.
    mean_width, median_width : float
        Of the intervals, in the target's unit.
    """

    nominal: float
    share: float
    low: float
    high: float
    mean_width: float
    median_width: float


def reached(scorer: Scorer, matrix: Floats, actual: Floats) -> list[Reached]:
    """Return each shown coverage that the table can promise, on rows of shape (n_rows, n_columns)."""
    found = scorer.predict_with_scale(matrix)
    results = []
    for nominal in SHOWN:
        if nominal > scorer.intervals.coverage[-1]:
            continue
        bounds = scorer.bounds(found, nominal)
        inside = (bounds.lower <= actual) & (actual <= bounds.upper)
        width = bounds.upper - bounds.lower
        low, high = binom.ppf([0.005, 0.995], len(actual), nominal) / len(actual)
        results.append(
            Reached(
                nominal,
                float(inside.mean()),
                float(low),
                float(high),
                float(width.mean()),
                float(np.median(width)),
            )
        )
    return results


def as_metrics(found: list[Reached]) -> dict[str, float]:
    """Return the figures under their MLflow names, such as `interval_coverage_90`."""
    metrics = {}
    for each in found:
        name = f"{100 * each.nominal:.0f}"
        metrics[f"interval_coverage_{name}"] = each.share
        metrics[f"interval_width_{name}"] = each.mean_width
    for each in found:
        if each.nominal == 0.9:
            metrics |= {"interval_width_90_median": each.median_width}
            metrics |= {"interval_coverage_90_low": each.low, "interval_coverage_90_high": each.high}
    return metrics


def table(scorer: Scorer, matrix: Floats, actual: Floats, *, nominal: float = 0.9) -> pd.DataFrame:
    """Return rows, coverage and mean width by tenth of the prediction; of the highest coverage if 0.9 is beyond."""
    nominal = min(nominal, scorer.intervals.coverage[-1])
    bounds = scorer.predict_interval(matrix, nominal)
    edges = np.quantile(bounds.predictions, np.linspace(0.0, 1.0, DECILES + 1)[1:-1])
    tenth = np.searchsorted(edges, bounds.predictions)
    frame = pd.DataFrame(
        {
            "tenth": tenth + 1,
            "predicted": bounds.predictions,
            "inside": (bounds.lower <= actual) & (actual <= bounds.upper),
            "width": bounds.upper - bounds.lower,
        }
    )
    grouped = frame.groupby("tenth")
    return pd.DataFrame(
        {
            "tenth": list(grouped.groups),
            "rows": grouped.size().to_numpy(),
            "predicted_from": grouped["predicted"].min().to_numpy(),
            "predicted_to": grouped["predicted"].max().to_numpy(),
            "nominal": nominal,
            "coverage": grouped["inside"].mean().to_numpy(),
            "mean_width": grouped["width"].mean().to_numpy(),
        }
    )


def in_words(found: list[Reached], intervals: Intervals, unit: str | None) -> str:
    """Say in one line what was promised and reached."""
    shown = next((each for each in found if each.nominal == 0.9), found[-1])
    width = "widths follow the row" if intervals.adaptive else "one width for all rows"
    return (
        f"{shown.share:.1%} of the holdout inside at {shown.nominal:.0%} ({shown.low:.1%} to {shown.high:.1%} is "
        f"chance), {shown.mean_width:.4g}{f' {unit}' if unit else ''} wide on average; "
        f"{width}, from {intervals.rows:,} {intervals.method} rows"
    )
