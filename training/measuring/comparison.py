"""How sure is it that one model errs less than another on the same rows: an interval for the change.

Both models are asked about the same held-out rows, so what counts is the difference row by row. Rows that err
together are drawn together: groups whole, and a time split in stretches of time; otherwise each row is a cluster of its
own, whatever it weighs. It sees errors only, no models.

The interval is a bootstrap's: its standard error is that of the change over many redraws, its width Student's with one
degree of freedom less than there are clusters, so that few groups make it wide. The promise is for one comparison: a
holdout that has judged ten retrains has had ten chances to be wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from data.splits import Split
from data.tables import Table, row_digests
from training.weights import Weight, effective, of

CONFIDENCE = 0.95
"""Two-sided: a model that is no better is found better in 2.5 % of comparisons."""

POWER = 0.8
RESAMPLES, SLICE_RESAMPLES = 2_000, 400
MOST_CLUSTERS, MOST_OF_SLICE = 5_000, 1_000
"""More clusters are first put together at random, of all rows and of a slice, of which there may be hundreds: the
standard error is the same, and it takes no longer."""

STRETCHES = 40
"""Of time, each with as many rows; errors that last longer than one make the interval too narrow."""

LITTLE = 0.01
"""A change of the RMSE that no user would notice."""

FEWEST_CLUSTERS = 5
FEWEST_SLICE_ROWS = 50
BINS = 4
MOST_SLICED, MOST_SLICES = 100, 300
"""Columns and parts of the rows that are looked at: 2,000 columns took 9 s, three times in a training."""

POSITIVE = ("rmse", "mae")
"""Figures that cannot be negative."""

Clusters = NDArray[np.int64]


@dataclass(frozen=True)
class Change:
    """What the challenger's RMSE is to the champion's, as shares of the champion's.

    Attributes
    ----------
    challenger, champion : float
        RMSE in the target's unit.
    change : float
        ``challenger / champion - 1``; below zero the challenger is better.
    low, high : float
        Its interval at `CONFIDENCE`.
    detectable : float
        The change that would be found `POWER` of the time with these rows.
    rows, clusters : int
        Rows compared, and how many of them are independent of each other; of weighted clusters their effective number.
    """

    challenger: float
    champion: float
    change: float
    low: float
    high: float
    detectable: float
    rows: int
    clusters: int

    def rows_to_see(self, change: float) -> int:
        """Return how many rows of this kind would show a change `POWER` of the time."""
        return int(np.ceil(self.rows * (self.detectable / change) ** 2))


@dataclass(frozen=True)
class Interval:
    """A figure, its interval at `CONFIDENCE`, and its standard error; infinite ones where rows cannot tell."""

    value: float
    low: float
    high: float
    standard_error: float = np.inf

    @property
    def half(self) -> float:
        """How far it reaches to either side; infinite where rows cannot tell."""
        return self.high - self.value


Figures = Mapping[str, Interval]
"""rmse, mae, r2 and bias."""


@dataclass(frozen=True)
class Slice:
    """The change on some of the rows; `surely_worse` where even its bound for all slices is beyond the limit."""

    name: str
    change: Change
    lower_bound: float
    surely_worse: bool


def is_little(low: float, high: float) -> bool:
    """Return whether all of a change's interval is what nobody would notice."""
    return max(abs(low), abs(high)) < LITTLE


def lowers(low: float, high: float) -> bool:
    """Return whether a change's interval says that the error gets smaller by what somebody may notice."""
    return high < 0.0 and not is_little(low, high)


def compare(
    actual: NDArray[np.float64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    clusters: Clusters | None = None,
    weight: Weight = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    most_clusters: int = MOST_CLUSTERS,
) -> Change:
    """Return the change in RMSE with its interval.

    Parameters
    ----------
    actual, challenger, champion : float64 arrays of shape (n_rows,)
        The target and both predictions.
    clusters : int array of shape (n_rows,), optional
        Rows with the same number are drawn together.
    weight : float64 array of shape (n_rows,), optional
        How much each row's squared error counts; it is drawn with its row.

    Notes
    -----
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 12: the standard deviation of the
    statistic over redraws with replacement; whole clusters as in Cameron, Gelbach & Miller 2008 (Review of Economics
    and Statistics 90(3)). With whole-number weights it is that of the rows repeated so often, each row with its
    repeats one cluster. Where a few rows have most of the weight, the width is that of their effective number.
    """
    random = np.random.default_rng(seed)
    sums = _summed(
        clusters, most_clusters, random, weight, (challenger - actual) ** 2, (champion - actual) ** 2
    )
    count = _independent(sums, weight)
    totals = sums.sum(axis=0)
    ours, theirs = np.sqrt(totals[1] / totals[0]), np.sqrt(totals[2] / totals[0])
    error = _standard_error(sums, random, resamples) / theirs if theirs else np.inf
    change = ours / theirs - 1.0 if theirs else (np.inf if ours else 0.0)
    reach = float(stdtrit(max(count - 1, 1), (1.0 + CONFIDENCE) / 2.0))
    return Change(
        challenger=float(ours),
        champion=float(theirs),
        change=float(change),
        low=max(float(change - reach * error), -1.0),  # no RMSE is below zero
        high=float(change + reach * error),
        detectable=float((reach + NormalDist().inv_cdf(POWER)) * error),
        rows=len(actual),
        clusters=count,
    )


def estimate(
    actual: NDArray[np.float64],
    predicted: NDArray[np.float64],
    clusters: Clusters | None = None,
    weight: Weight = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    most_clusters: int = MOST_CLUSTERS,
) -> Figures:
    """Return rmse, mae, r2 and bias of one model, each with its interval, by the bootstrap of `compare`.

    Those of rmse and mae are made on the scale of their logarithm, with the standard error that the delta method
    gives there: they lie above zero, and with few rows or wild ones they hold the true figure more often than
    symmetric ones (20 normal errors: 93 % for 90 %; 8 lognormal ones: 70 % for 64 %, of which one in ten was
    negative).

    Parameters
    ----------
    actual, predicted : float64 arrays of shape (n_rows,)
        In the target's unit; fewer than `FEWEST_CLUSTERS` clusters give infinite intervals.
    clusters : int array of shape (n_rows,), optional
        Rows with the same number are drawn together.
    weight : float64 array of shape (n_rows,), optional
        How much each row counts.
    """
    random = np.random.default_rng(seed)
    error, target = predicted - actual, actual - actual.mean()
    columns = (error**2, np.abs(error), error, target, target**2)
    sums = _summed(clusters, most_clusters, random, weight, *columns)
    values = {name: float(value) for name, (value,) in _figures(sums.sum(axis=0)[None]).items()}
    count = _independent(sums, weight)
    if count < FEWEST_CLUSTERS:
        return {name: Interval(value, -np.inf, np.inf) for name, value in values.items()}
    redrawn = _figures(_redrawn(sums, random, resamples))
    return {
        name: interval(name, value, count, float(np.nanstd(redrawn[name], ddof=1)))
        for name, value in values.items()
    }


def standard_errors(side: str, figures: Figures) -> dict[str, float]:
    """Return the standard errors under their MLflow names, `<side>_<figure>_se`, where rows can tell them."""
    result = {f"{side}_{name}_se": figure.standard_error for name, figure in figures.items()}
    return {name: error for name, error in result.items() if np.isfinite(error)}


def interval(name: str, value: float, count: int, error: float) -> Interval:
    """Return the interval of a figure whose standard error comes from so many clusters."""
    half = float(stdtrit(count - 1, (1.0 + CONFIDENCE) / 2.0)) * error
    if name in POSITIVE and value > 0.0:
        factor = float(np.exp(half / value))
        return Interval(value, value / factor, value * factor, error)
    return Interval(value, value - half, value + half, error)


def _figures(totals: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each row of sums: weights, squared, absolute and signed errors, target, its square."""
    rows, squared, absolute, signed, target, target_squared = totals.T
    spread = target_squared - target**2 / rows
    explained = 1.0 - np.divide(squared, spread, out=np.full(len(rows), np.nan), where=spread > 0)
    return {
        "rmse": np.sqrt(squared / rows),
        "mae": absolute / rows,
        "r2": explained,
        "bias": signed / rows,
    }


def _independent(sums: NDArray[np.float64], weight: Weight) -> int:
    """Return how many clusters there are; of weighted ones, how many of equal weight would be worth as much."""
    return len(sums) if weight is None else max(int(effective(sums[:, 0])), 1)


def _summed(
    clusters: Clusters | None,
    most: int,
    random: np.random.Generator,
    weight: Weight,
    *columns: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the weights' and each weighted column's sum over each cluster, shape (n_clusters, 1 + n_columns)."""
    count = len(columns[0])
    weight = np.ones(count) if weight is None else weight
    labels = np.arange(count) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    if (drawn := int(labels.max(initial=0)) + 1) > most:
        labels = (random.permutation(drawn) % most)[labels]
    weighted = (weight, *(weight * column for column in columns))
    return np.column_stack([np.bincount(labels, column) for column in weighted]).astype(np.float64)


def _redrawn(sums: NDArray[np.float64], random: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    """Return the totals of redraws of the rows of `sums`, shape (resamples, n_columns)."""
    totals = np.empty((resamples, sums.shape[1]))
    step = max(1, 2_000_000 // len(sums))
    for start in range(0, resamples, step):
        chosen = random.integers(len(sums), size=(min(step, resamples - start), len(sums)), dtype=np.int32)
        for index in range(sums.shape[1]):
            totals[start : start + len(chosen), index] = sums[:, index][chosen].sum(axis=1)
    return totals


def _standard_error(sums: NDArray[np.float64], random: np.random.Generator, resamples: int) -> float:
    """Return the standard deviation of the difference of two RMSEs over redraws of the rows of `sums`."""
    rows, ours, theirs = _redrawn(sums, random, resamples).T
    return float((np.sqrt(ours / rows) - np.sqrt(theirs / rows)).std(ddof=1))


def clusters_of(split: Split, mask: NDArray[np.bool_]) -> Clusters:
    """Return which of these rows of a table err together: twins and groups, or a stretch of time."""
    if split.moments is not None and mask.any():
        return in_stretches(split.moments[mask])
    return np.unique(split.blocks[mask], return_inverse=True)[1].astype(np.int64)


def twins(
    table: Table,
    split: Split,
    features: Collection[str],
    held_out: NDArray[np.bool_],
    training: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return which of the held-out rows of a table have the features of a training row, shape (n_held_out,).

    Where features alone decide a row's side there are none: rows that are equal in them stand on one side.
    """
    if split.rule.method == "hash" and set(split.rule.columns) <= set(features):
        return np.zeros(int(held_out.sum()), dtype=np.bool_)
    digests = row_digests(table, list(features))
    return np.isin(digests[held_out], digests[training])


def in_stretches(moments: NDArray[np.float64]) -> Clusters:
    """Return which of `STRETCHES` stretches of time each row is in; equal moments share one."""
    edges = np.quantile(moments, np.linspace(0, 1, STRETCHES + 1)[1:-1])
    return np.searchsorted(edges, moments, side="left").astype(np.int64)


@dataclass(frozen=True)
class ColumnSlices:
    """The slices of one column.

    Attributes
    ----------
    codes : int array of shape (n_rows,)
        Equal for rows that are alike in the column; -1 where it is missing.
    names : mapping of int to str
        Of those codes that are slices: enough rows, and not all.
    edges : float64 array, or None
        Between the quarters of a number's range, each the largest of the one below; None where each value is a slice.
    """

    codes: NDArray[np.intp]
    names: Mapping[int, str]
    edges: NDArray[np.float64] | None


def slices(
    frame: pd.DataFrame, moments: NDArray[np.float64] | None
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield names and masks: each category and quarter of a number's range with enough rows, and the newest tenth.

    Of many columns and categories the first, as many as can be looked at: see `left_out_of_slices`.
    """
    for found in sliced_columns(frame):
        for code, name in found.names.items():
            yield name, found.codes == code
    if moments is not None and len(moments) >= 10 * FEWEST_SLICE_ROWS:
        yield "the newest tenth", moments >= np.quantile(moments, 0.9)


def left_out_of_slices(columns: int) -> str:
    """Say that some of so many columns are in no slice; nothing where all are looked at."""
    return f"slices are of the first {MOST_SLICED} of {columns:,} columns" if columns > MOST_SLICED else ""


def sliced_columns(frame: pd.DataFrame) -> Iterator[ColumnSlices]:
    """Yield the slices of each column that is looked at, in their order."""
    left = MOST_SLICES
    for name in frame.columns[:MOST_SLICED]:
        found = _sliced(frame[name])
        yield replace(found, names=dict(islice(found.names.items(), left)))
        left -= len(found.names)
        if left <= 0:
            return


def _sliced(column: pd.Series) -> ColumnSlices:
    parts, edges = column, None
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > BINS:
        parts, bins = pd.qcut(column, BINS, retbins=True, duplicates="drop")
        edges = np.asarray(bins[1:-1], dtype=np.float64)
    codes, values = pd.factorize(parts)  # comparing each cell with each value takes several times as long
    places = {value: code for code, value in enumerate(values)}
    word = "=" if edges is None else "in"
    names = {
        places[value]: f"{column.name} {word} {value}"
        for value, count in parts.value_counts().items()
        if FEWEST_SLICE_ROWS <= count < len(column)
    }
    return ColumnSlices(codes, names, edges)


def compare_slices(
    actual: NDArray[np.float64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    limit: float,
    clusters: Clusters | None = None,
    weight: Weight = None,
) -> list[Slice]:
    """Return each slice's change; with Bonferroni's correction, the chance that any is wrongly called worse is 5 %."""
    result = []
    for name, mask in masks.items():
        within = None if clusters is None else clusters[mask]
        change = compare(
            actual[mask],
            challenger[mask],
            champion[mask],
            within,
            of(weight, mask),
            resamples=SLICE_RESAMPLES,
            most_clusters=MOST_OF_SLICE,
        )
        if change.clusters < FEWEST_CLUSTERS:
            continue
        usual = stdtrit(change.clusters - 1, (1.0 + CONFIDENCE) / 2.0)
        strict = stdtrit(change.clusters - 1, 1.0 - 0.05 / len(masks))
        bound = change.change - (change.high - change.change) * float(strict / usual)
        result.append(Slice(name, change, bound, bound > limit))
    return result
