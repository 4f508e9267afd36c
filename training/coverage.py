"""Which share of held-out targets the intervals hold, and how wide they are.

Rows are taken as independent: the binomial interval is too narrow where they err together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from data.figures import figure
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


def tables(
    scorer: Scorer,
    matrix: Floats,
    actual: Floats,
    slices: Iterable[tuple[str, NDArray[np.bool_]]],
    *,
    nominal: float = 0.9,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows, coverage and mean width by tenth of the prediction, and by slice, the least covered first.

    Parameters
    ----------
    slices : pairs of name and bool array of shape (n_rows,)
        As `training.comparison.slices` yields them.
    nominal : float
        The coverage; the highest there is, if that is lower.
    """
    nominal = min(nominal, scorer.intervals.coverage[-1])
    bounds = scorer.predict_interval(matrix, nominal)
    inside = (bounds.lower <= actual) & (actual <= bounds.upper)
    width = bounds.upper - bounds.lower

    def figures(mask: NDArray[np.bool_]) -> dict[str, float]:
        count = int(mask.sum())
        low, high = binom.ppf([0.005, 0.995], count, nominal) / count
        reached = {"coverage": float(inside[mask].mean()), "low": float(low), "high": float(high)}
        return {"rows": count, **reached, "mean_width": float(width[mask].mean()), "nominal": nominal}

    edges = np.quantile(bounds.predictions, np.linspace(0.0, 1.0, DECILES + 1)[1:-1])
    place = np.searchsorted(edges, bounds.predictions)
    tenths = []
    for tenth in np.unique(place):
        mask = place == tenth
        span = bounds.predictions[mask]
        ends = {"predicted_from": float(span.min()), "predicted_to": float(span.max())}
        tenths.append({"tenth": int(tenth) + 1, **figures(mask), **ends})
    by_slice = pd.DataFrame([{"slice": name, **figures(mask)} for name, mask in slices])
    return pd.DataFrame(tenths), by_slice.sort_values("coverage") if len(by_slice) else by_slice


def in_words(found: list[Reached], intervals: Intervals, unit: str | None) -> str:
    """Say in one line what was promised and reached."""
    shown = next((each for each in found if each.nominal == 0.9), found[-1])
    width = "widths follow the row" if intervals.adaptive else "one width for all rows"
    return (
        f"{shown.share:.1%} of the holdout inside at {shown.nominal:.0%} ({shown.low:.1%} to {shown.high:.1%} is "
        f"chance), {figure(shown.mean_width, unit)} wide on average; "
        f"{width}, from {intervals.rows:,} {intervals.method} rows"
    )
