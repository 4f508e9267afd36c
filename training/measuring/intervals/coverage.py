"""Which share of held-out targets the intervals hold, how wide they are, and which share is chance.

Two samples make that chance: the rows that the table was made from, and the rows at hand. With n of the one, the true
coverage is Beta(k, n + 1 - k) distributed, k the rank of the quantile (Vovk 2012, ACML, proposition 2b); with m of the
other, the number inside is beta-binomial. A scale model adds nothing that shows, for each of the n rows
is scaled by one that did not see it. Rows that err together count as fewer, and so do
weighted ones: as their effective number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import betabinom

from data.figures import figure
from data.splits import Split
from serving.scorer import Intervals, Scorer
from training.measuring.comparison import Clusters, clusters_of
from training.measuring.intervals.conformal import rank
from training.weights import Weight, effective, mean, median, of

SHOWN = (0.5, 0.8, 0.9, 0.95)
DECILES = 10

CHANCE = 0.99
"""Of the shares that chance alone makes, so many lie in the range that is given."""

LITTLE = 0.02
"""Beyond that range, a coverage that is off by less is a little off."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weighed:
    """Weights of the rows at hand, and of those that the table was made from; None where all count the same."""

    judged: Weight = None
    made_from: Weight = None


@dataclass(frozen=True)
class Reached:
    """One coverage on the holdout.

    Attributes
    ----------
    nominal, share : float
        What was promised, and the share of targets inside.
    low, high : float
        Where the share lies 99 times in 100 if the promise holds.
    mean_width, median_width : float
        Of the intervals, in the target's unit.
    """

    nominal: float
    share: float
    low: float
    high: float
    mean_width: float
    median_width: float

    @property
    def verdict(self) -> str:
        """What a share beyond chance says of the intervals; nothing within it."""
        if self.low <= self.share <= self.high:
            return ""
        beyond = max(self.low - self.share, self.share - self.high)
        return f"{'a little ' if beyond < LITTLE else ''}too {'narrow' if self.share < self.low else 'wide'}"


@dataclass(frozen=True)
class _Counts:
    """How many rows there are on both sides, and how much more than the nominal share the table aims at."""

    made_from: float
    newest: float
    aims_at: float
    judged: Weight

    def chance(self, nominal: float, rows: NDArray[np.bool_], crowded: float = 1.0) -> tuple[float, float]:
        """Return the range of chance on some of the rows."""
        judged_on = float(rows.sum()) if self.judged is None else effective(self.judged[rows])
        made_from, newest, judged_on = (
            max(1, round(count / crowded)) for count in (self.made_from, self.newest, judged_on)
        )
        words = {"made_from": made_from, "newest": newest, "judged_on": judged_on}
        return chance(nominal, **words, aims_at=self.aims_at * nominal)


def _counts(table: Intervals, split: Split, weighed: Weighed) -> _Counts:
    by = weighed.made_from
    rows = table.rows if by is None else effective(by)
    newest = rows if split.moments is None else rows // 2
    # A table of weighted rows leaves room for a future one as heavy as the heaviest, and most are lighter.
    aims_at = 1.0 if by is None else 1.0 + 1.0 / table.rows
    return _Counts(rows, newest, aims_at, weighed.judged)


def chance(
    nominal: float, *, made_from: int, newest: int, judged_on: int, aims_at: float | None = None
) -> tuple[float, float]:
    """Return between which shares of the rows at hand the share inside lies `CHANCE` of the time.

    Parameters
    ----------
    nominal : float
        A coverage that the table has.
    made_from, newest : int
        Rows that the table was made from, and the fewest that it took a quantile of: the newest half, by time. It
        keeps the wider of the two, so that the lower end is that of all of them, the upper end that of the newest.
    judged_on : int
        Rows at hand.
    aims_at : float, optional
        The share that the table was made for, where that is more than the nominal one: it sets the upper end.

    >>> chance(0.9, made_from=100, newest=100, judged_on=100)
    (0.77, 0.98)
    """
    low, _ = _ends(nominal, made_from, judged_on)
    _, high = _ends(aims_at or nominal, newest, judged_on)
    return low, high


def _ends(nominal: float, made_from: int, judged_on: int) -> tuple[float, float]:
    inside = min(rank(made_from, nominal), made_from)
    counted = betabinom(judged_on, inside, made_from + 1 - inside)
    middle, share = (
        judged_on * inside / (made_from + 1),
        inside / (made_from + 1),
    )  # scipy's take 1 ms a slice
    spread = math.sqrt(middle * (1.0 - share) * (made_from + 1 + judged_on) / (made_from + 2))
    reach = 10.0 * spread + 10.0
    counts = np.arange(max(0, int(middle - reach)), min(judged_on, math.ceil(middle + reach)) + 1)
    at = np.searchsorted(np.cumsum(counted.pmf(counts)), [(1.0 - CHANCE) / 2.0, (1.0 + CHANCE) / 2.0])
    low, high = counts[np.minimum(at, len(counts) - 1)] / judged_on
    return float(low), float(high)


def crowding(inside: NDArray[np.bool_], clusters: Clusters, weight: Weight = None) -> float:
    """Return how many times the variance of independent rows the share inside has; 1 where no two share a cluster.

    Of weighted rows: the variance that their effective number would have, were weights no matter to who is inside.

    Notes
    -----
    The design effect of a cluster sample (Kish 1965, Survey Sampling, section 5.4).
    """
    labels = np.unique(clusters, return_inverse=True)[1]
    count, share = int(labels.max()) + 1, mean(inside.astype(np.float64), weight)
    if (count == len(inside) and weight is None) or count < 2 or not 0.0 < share < 1.0:
        return 1.0
    by = np.ones(len(inside)) if weight is None else weight
    totals = np.bincount(labels, by * (inside - share))
    result = (totals**2).sum() / ((by**2).sum() * share * (1.0 - share)) * count / (count - 1)
    return max(1.0, float(result))


def reached(
    scorer: Scorer, answers: Floats, actual: Floats, split: Split, weighed: Weighed = Weighed()
) -> list[Reached]:
    """Return each shown coverage that the table can promise, on the holdout.

    Parameters
    ----------
    answers : float64 array of shape (n_rows, 2)
        Predictions and scales, as `Scorer.predict_with_scale` gives them.
    actual : float64 array of shape (n_rows,)
    """
    weight = weighed.judged
    clusters, counts = clusters_of(split, split.mask("holdout")), _counts(scorer.intervals, split, weighed)
    results = []
    for nominal in SHOWN:
        if nominal > scorer.intervals.coverage[-1]:
            continue
        bounds = scorer.bounds(answers, nominal)
        inside = (bounds.lower <= actual) & (actual <= bounds.upper)
        width = bounds.upper - bounds.lower
        everything = np.ones(len(actual), dtype=np.bool_)
        low, high = counts.chance(nominal, everything, crowding(inside, clusters, weight))
        share, middle = mean(inside.astype(np.float64), weight), median(width, weight)
        results.append(Reached(nominal, share, low, high, mean(width, weight), middle))
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
    answers: Floats,
    actual: Floats,
    slices: Iterable[tuple[str, NDArray[np.bool_]]],
    split: Split,
    *,
    weighed: Weighed = Weighed(),
    nominal: float = 0.9,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows, coverage and mean width by tenth of the prediction, and by slice, the least covered first.

    Parameters
    ----------
    answers, actual
        As for `reached`.
    slices : pairs of name and bool array of shape (n_rows,)
        As `training.measuring.comparison.slices` yields them.
    weighed : Weighed, optional
        The rows' weights.
    nominal : float
        The coverage; the highest there is, if that is lower.
    """
    nominal = min(nominal, scorer.intervals.coverage[-1])
    bounds = scorer.bounds(answers, nominal)
    inside = (bounds.lower <= actual) & (actual <= bounds.upper)
    width, weight = bounds.upper - bounds.lower, weighed.judged
    counts = _counts(scorer.intervals, split, weighed)

    def figures(mask: NDArray[np.bool_]) -> dict[str, float]:
        low, high = counts.chance(nominal, mask)
        reached = {
            "coverage": mean(inside[mask].astype(np.float64), of(weight, mask)),
            "low": low,
            "high": high,
        }
        width_here = mean(width[mask], of(weight, mask))
        return {"rows": int(mask.sum()), **reached, "mean_width": width_here, "nominal": nominal}

    edges = np.quantile(bounds.predictions, np.linspace(0.0, 1.0, DECILES + 1)[1:-1])
    index = np.searchsorted(edges, bounds.predictions)
    tenths = []
    for tenth in np.unique(index):
        mask = index == tenth
        span = bounds.predictions[mask]
        ends = {"predicted_from": float(span.min()), "predicted_to": float(span.max())}
        tenths.append({"tenth": int(tenth) + 1, **figures(mask), **ends})
    by_slice = pd.DataFrame([{"slice": name, **figures(mask)} for name, mask in slices])
    return pd.DataFrame(tenths), by_slice.sort_values("coverage") if len(by_slice) else by_slice


def in_words(found: list[Reached], intervals: Intervals, unit: str | None, weight: str = "") -> str:
    """Say in one line what was promised and reached."""
    rows = f"{intervals.rows:,} {intervals.method} rows"
    rows = f"{intervals.method} rows worth {intervals.rows:,} of equal {weight}" if weight else rows
    shown = next((each for each in found if each.nominal == 0.9), found[-1])
    width = "widths follow the row" if intervals.adaptive else "one width for all rows"
    return (
        f"{shown.share:.1%} of the holdout inside at {shown.nominal:.0%} ({shown.low:.1%} to {shown.high:.1%} is "
        f"chance{f': {shown.verdict}' if shown.verdict else ''}), {figure(shown.mean_width, unit)} wide on average; "
        f"{width}, from {rows}"
    )
