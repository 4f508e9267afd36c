"""What a compiled model's errors on all held-out rows come to, a block of rows at a time.

The rows' own sums are exact, and a version answers a row with the same bits in any block, so that the figures follow
from the rows alone: not from their order, their files, or the memory. The interval of the RMSE is a Poisson
bootstrap's (Hanley & MacGibbon 2006, Computer Methods and Programs in Biomedicine 83(1)): in each redraw a row counts
as often as a Poisson variable of mean 1 says, which follows from a hash of the row's content. There are 4,096 hashes,
so that the sums of the rows of each are all that is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.schema import UNSEEN, Schema
from serving.scorer import Scorer
from training.compiling import pack_frame
from training.measuring import comparison, coverage
from training.measuring.scores import Scores
from training.measuring.whole_holdout.exact_sums import ExactSums, unit_near
from training.rows import PreparedTable
from training.rows.again import DRAWS, HeldOutRows
from training.weights import effective

Floats = NDArray[np.float64]

AT_ONCE = 100
"""Redraws."""

WHOLE = "all_holdout"
"""What stands before the metrics' names."""


@dataclass(frozen=True)
class WholeHoldout:
    """The figures over all held-out rows.

    Attributes
    ----------
    rmse : Interval
        At 95 %.
    baseline_rmse : float
        Of the training mean on the same rows.
    coverage : dict of float to float
        The share of targets inside the intervals, by what was promised.
    slices : DataFrame
        Name, rows and RMSE, the largest first.
    """

    scores: Scores
    rmse: comparison.Interval
    baseline_rmse: float
    coverage: dict[float, float]
    slices: pd.DataFrame

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        inside = {
            f"{WHOLE}_interval_coverage_{100 * level:.0f}": share for level, share in self.coverage.items()
        }
        ends = {"se": self.rmse.standard_error, "low": self.rmse.low, "high": self.rmse.high}
        sure = {f"{WHOLE}_rmse_{end}": value for end, value in ends.items() if np.isfinite(value)}
        counts = {f"rows_{WHOLE}": float(self.scores.rows), f"dummy_{WHOLE}_rmse": self.baseline_rmse}
        return self.scores.as_metrics(WHOLE) | sure | inside | counts


class Tally:
    """The sums of what is known of each row.

    Parameters
    ----------
    scorer : Scorer
        One that gives a row the same bits in any batch.
    rows : PreparedTable
        With the sample of the held-out rows, by which slices are told and units chosen.
    rmse, mean : float
        That of the sample; the training mean.
    """

    def __init__(self, scorer: Scorer, rows: PreparedTable, *, rmse: float, mean: float) -> None:
        self._scorer, self._mean = scorer, mean
        table = scorer.document.intervals
        self._levels = [level for level in coverage.SHOWN if table and level <= table.coverage[-1]]
        apart = unit_near(float(rows.target("holdout").std()))
        off = unit_near(rmse) if rmse > 0.0 else apart
        column = rows.checked.weight
        self._heavy = unit_near(float(rows.checked.table.numbers(column).mean())) if column else 1.0
        self._slices = list(_slices_of(rows.frame("holdout"), rows.schema))
        self._drawn = _Errors(DRAWS, off)
        self._by_slice = [_Errors(len(each.names), off) for each in self._slices]
        units = {"absolute": off, "signed": off, "apart": apart, "around": apart**2}
        self._sums = {name: ExactSums(1, unit) for name, unit in units.items()}
        self._inside = {level: ExactSums(1, 1.0) for level in self._levels}

    def add(self, rows: HeldOutRows) -> None:
        """Add at most 65,536 rows; raises ArithmeticError where one has no finite prediction."""
        answers = self._scorer.predict_with_scale(rows.matrix)
        error, apart = answers[:, 0] - rows.target, rows.target - self._mean
        weight = np.ones(len(error)) if rows.weight is None else rows.weight / self._heavy
        limbs = self._drawn.limbs(weight, error)
        self._drawn.add(rows.drawn, limbs)
        for slices, errors in zip(self._slices, self._by_slice, strict=True):
            errors.add(slices.groups(rows.matrix), limbs)
        columns = {"absolute": np.abs(error), "signed": error, "apart": apart, "around": apart**2}
        for name, values in columns.items():
            self._sums[name].add_all(weight * values)
        for level, inside in self._inside.items():
            bounds = self._scorer.bounds(answers, level)
            inside.add_all(weight * ((bounds.lower <= rows.target) & (rows.target <= bounds.upper)))

    @property
    def rows(self) -> int:
        """How many there are so far."""
        return int(self._drawn.rows.sum())

    def figures(self) -> WholeHoldout:
        """Return what the rows so far come to."""
        weight, squared = self._drawn.weights.total(), self._drawn.squared.total()
        mean = {name: sums.total() / weight for name, sums in self._sums.items()}
        variance = mean["around"] - mean["apart"] ** 2
        explained = 1.0 - squared / weight / variance if variance else float("nan")
        rmse = float(np.sqrt(squared / weight))
        by_slice = pd.concat(
            [errors.table(each.names) for each, errors in zip(self._slices, self._by_slice, strict=True)]
            or [pd.DataFrame()]
        )
        return WholeHoldout(
            Scores(rmse, mean["absolute"], explained, mean["signed"], self.rows),
            self._drawn.interval(rmse),
            float(np.sqrt(mean["around"])),
            {level: inside.total() / weight for level, inside in self._inside.items()},
            by_slice.sort_values("rmse", ascending=False, kind="stable") if len(by_slice) else by_slice,
        )


Limbs = tuple[list[Floats], list[Floats]]


class _Errors:
    """Rows, their weights and their squared errors, by group."""

    def __init__(self, groups: int, unit: float) -> None:
        self.rows = np.zeros(groups, dtype=np.int64)
        self.weights, self.squared = ExactSums(groups, 1.0), ExactSums(groups, unit**2)

    def limbs(self, weight: Floats, error: Floats) -> Limbs:
        """Return rows as all groupings take them."""
        return self.weights.limbs(weight), self.squared.limbs(weight * error**2)

    def add(self, groups: NDArray[np.integer], limbs: Limbs) -> None:
        """Add rows to their groups."""
        self.rows += np.bincount(groups, minlength=len(self.rows))
        self.weights.add(limbs[0], groups)
        self.squared.add(limbs[1], groups)

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the groups that have a name, and rows."""
        with np.errstate(invalid="ignore"):
            rmse = np.sqrt(self.squared.by_group() / self.weights.by_group())
        table = pd.DataFrame({"slice": names, "rows": self.rows, "rmse": rmse})
        return table[(table["slice"] != "") & (table["rows"] > 0)]

    def interval(self, rmse: float) -> comparison.Interval:
        """Return the interval over redraws of the groups."""
        sums = np.column_stack([self.weights.by_group(), self.squared.by_group()])
        count = int(effective(sums[:, 0]))
        if count < comparison.FEWEST_CLUSTERS:
            return comparison.Interval(rmse, -np.inf, np.inf)
        random, redraws = np.random.default_rng(0), range(0, comparison.RESAMPLES, AT_ONCE)
        totals = np.concatenate([random.poisson(1.0, (AT_ONCE, len(sums))) @ sums for _ in redraws])
        with np.errstate(invalid="ignore"):  # of few groups a redraw may have none
            redrawn = np.sqrt(totals[:, 1] / totals[:, 0])
        return comparison.interval("rmse", rmse, count, float(np.nanstd(redrawn, ddof=1)))


@dataclass(frozen=True)
class _Slices:
    """How packed values of a column are told apart: by keys, each a slice; the last name is that of no slice."""

    place: int
    edges: Floats | None
    keys: Floats
    names: tuple[str, ...]

    def groups(self, matrix: Floats) -> NDArray[np.intp]:
        """Return which of the names each packed row has."""
        keys = _keys(matrix[:, self.place], self.edges)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, len(self.keys))


def _keys(values: Floats, edges: Floats | None) -> Floats:
    """Return what a column's slices are told by: the quarter of its range, or the value itself; NaN where missing."""
    if edges is None:
        return values
    return np.where(np.isnan(values), np.nan, np.searchsorted(edges, values))


def _slices_of(sample: pd.DataFrame, schema: Schema) -> Iterator[_Slices]:
    """Yield the slices of the columns that have some; of categories those that training saw, which have a code."""
    matrix = pack_frame(sample, schema)
    for place, found in enumerate(comparison.sliced_columns(sample)):
        keys = _keys(matrix[:, place], found.edges)
        is_named = np.isin(found.codes, list(found.names))
        if schema.columns[place].kind == "category":
            is_named &= keys != UNSEEN
        known, first = np.unique(keys[is_named], return_index=True)
        if len(known):
            names = [found.names[code] for code in found.codes[is_named][first]]
            yield _Slices(place, found.edges, known, (*names, ""))
