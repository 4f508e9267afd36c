"""What a version's rows looked like when it was made: what a monitor compares later rows with.

Columns are those of the training rows. Predictions, their scale and the number of gaps in a row are taken on rows that
the model was not fitted on, for on its own training rows it predicts otherwise. Scores, |residual| / scale, are the
ones that the intervals were made from. A season that these rows do not have looks like a drift: it is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.schema import UNSEEN, Column, Schema
from serving.scorer import Intervals
from training.monitoring.day_sizes import DaySizes
from training.monitoring.evidence import MISSING, Bins, GroupIds, Limit, bins_of, limit_of

Floats = NDArray[np.float64]

FORMAT = 1
FILE = "reference.json"
LARGEST_CATEGORIES = 9
LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The coverages that are watched, where the version's table has them."""

RISK = 0.01
"""The chance that a kind of alarm is ever raised although nothing changed."""

OF_TIES = 0x7135
"""A stream of its own: a table that was simulated from the same seed would break its own ties."""

OTHERS, GAP, NEVER_SEEN = 1e9, 2e9, 3e9
"""The places of the smaller categories, of a missing one, and of one that training never saw, behind the largest."""

WHOLE_ROW = ("prediction", "scale", "gaps")
"""What is watched of a row as a whole: the last is its number of missing and unseen values."""


@dataclass(frozen=True)
class Level:
    """A coverage of the version's table.

    Attributes
    ----------
    quantile : float
        Of the score: a larger one is a miss.
    above, rows : int
        How many of the known scores are larger, and how many there are.
    cut : float or None
        What a score is held against in place of the quantile, where the known scores are drawn from those that it was
        made from: the smallest of them that is not below it, for which `above` is exact.
    """

    coverage: float
    quantile: float
    above: int
    rows: int
    cut: float | None = None

    @property
    def threshold(self) -> float:
        """Above which a score is a miss for the bets."""
        return self.quantile if self.cut is None else self.cut


@dataclass(frozen=True)
class Reference:
    """A version's rows as a monitor needs them.

    Attributes
    ----------
    columns : tuple of Bins
        In the order of the schema.
    whole : tuple of Bins
        Of `WHOLE_ROW`.
    places : mapping of column to mapping of code to place
        Where a category stands in its bins; those not named stand at `OTHERS`. Half of the rows named them, the bins
        are of the other half.
    scores : Bins or None
        None without intervals, and where rows were weighted: no rank is exact there.
    levels : tuple of Level
    limit : Limit or None
        Of the mean loss.
    group : tuple of str
        Columns that say which rows are alike, where one row of each group was taken; else empty.
    daily : Reference or None
        The same of one row of each day, where the version knows the days: what one row of each later day is held
        against. Rows of thirty days of weather are thirty, however many they are.
    """

    columns: tuple[Bins, ...]
    whole: tuple[Bins, ...]
    places: Mapping[str, Mapping[int, int]]
    scores: Bins | None
    levels: tuple[Level, ...]
    limit: Limit | None
    group: tuple[str, ...] = ()
    daily: Reference | None = None
    contributions: Mapping[str, float] = field(default_factory=dict)

    def of(self, *, independent: bool) -> Reference:
        """Return what many rows of a day are held against, or one."""
        return self.daily if self.daily is not None and not independent else self

    def views(self, matrix: Floats, answers: Floats, random: np.random.Generator) -> NDArray[np.int64]:
        """Return the bin of each row in each view, shape (n_rows, n_columns + 3).

        Parameters
        ----------
        matrix : float64 array of shape (n_rows, n_columns)
            Packed rows.
        answers : float64 array of shape (n_rows, 2)
            Predictions and scales.
        """
        values, every = self.values(matrix, answers).T, [*self.columns, *self.whole]
        return np.column_stack(
            [bins.of(column, random.random(len(column))) for bins, column in zip(every, values, strict=True)]
        )

    def with_scores(
        self,
        scores: Floats | None,
        intervals: Intervals,
        groups: GroupIds | None = None,
        moments: Floats | None = None,
        *,
        seed: int,
    ) -> Reference:
        """Return it with the scores that intervals were made from, one of each group or day; or with none.

        Where it has groups or days and those of the scores are not known, their ranks would not be exact.
        """
        daily = self.daily
        if daily is not None:
            daily = replace(daily, scores=None, levels=())
            if scores is not None and moments is not None:
                random = np.random.default_rng([seed, OF_TIES, len(scores), OF_TIES])
                daily = _scored(
                    daily, scores[drawn_by_day(moments, random)], intervals, random, are_drawn=True
                )
        if scores is None or (self.group and groups is None):
            return replace(self, scores=None, levels=(), daily=daily)
        random = np.random.default_rng([seed, OF_TIES, len(scores)])
        scores = scores if groups is None else scores[one_of_each(groups, random)]
        made = _scored(self, scores, intervals, random, are_drawn=groups is not None)
        return replace(made, daily=daily)

    def with_contributions(self, means: Mapping[str, float]) -> Reference:
        """Return it with what each column added on average, its sign aside."""
        daily = self.daily and replace(self.daily, contributions=dict(means))
        return replace(self, contributions=dict(means), daily=daily)

    def values(self, matrix: Floats, answers: Floats) -> Floats:
        """Return what each row shows in each view, shape (n_rows, n_columns + 3)."""
        seen = [self._seen(bins, matrix[:, index]) for index, bins in enumerate(self.columns)]
        coded = np.array([bins.name in self.places for bins in self.columns])
        return np.column_stack([*seen, *_whole(matrix, answers, coded)])

    @property
    def missing_shares(self) -> dict[str, float]:
        """The share of each column that was missing in the training rows."""
        return {
            bins.name: float(bins.shares[bins.labels.index(MISSING)]) if MISSING in bins.labels[-2:] else 0.0
            for bins in self.columns
        }

    def _seen(self, bins: Bins, codes: Floats) -> Floats:
        places = self.places.get(bins.name)
        return codes if places is None else _placed(codes, places)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "columns": [each.as_dict() for each in self.columns],
            "whole": [each.as_dict() for each in self.whole],
            "places": {
                name: {str(code): index for code, index in places.items()}
                for name, places in self.places.items()
            },
            "scores": self.scores and self.scores.as_dict(),
            "levels": [asdict(each) for each in self.levels],
            "limit": self.limit and asdict(self.limit),
            "group": list(self.group),
            "daily": self.daily and self.daily.as_dict(),
            "contributions": dict(self.contributions),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Reference:
        """Read the JSON form back; raises KeyError, TypeError or ValueError where it is not one."""
        if written["format"] != FORMAT:
            raise ValueError(f"has the format {written['format']!r}, this code reads {FORMAT}")
        return cls(
            columns=tuple(map(Bins.from_dict, written["columns"])),
            whole=tuple(map(Bins.from_dict, written["whole"])),
            places={
                name: {int(code): int(index) for code, index in places.items()}
                for name, places in written["places"].items()
            },
            scores=Bins.from_dict(written["scores"]) if written["scores"] else None,
            levels=tuple(Level(**each) for each in written["levels"]),
            limit=Limit(**written["limit"]) if written["limit"] else None,
            group=tuple(map(str, written.get("group", ()))),
            daily=cls.from_dict(written["daily"]) if written.get("daily") else None,
            contributions={str(name): float(mean) for name, mean in written.get("contributions", {}).items()},
        )


@dataclass(frozen=True)
class Groups:
    """The columns that say which rows are alike, and the group of each row of a `Known`: arrays as long as its own."""

    columns: tuple[str, ...]
    training: GroupIds
    held_out: GroupIds
    absolute: GroupIds
    scores: GroupIds | None


@dataclass(frozen=True)
class Moments:
    """When each row of a `Known` was, in seconds since 1970: arrays as long as its own."""

    training: Floats
    held_out: Floats
    absolute: Floats
    scores: Floats | None


@dataclass(frozen=True)
class Known:
    """The rows that a reference is made of.

    Attributes
    ----------
    training : float64 array of shape (n_train, n_columns)
        Packed.
    held_out : float64 array of shape (n_held_out, n_columns)
        Packed rows that the model was not fitted on.
    answers : float64 array of shape (n_held_out, 2)
        Predictions and scales on these.
    absolute : float64 array of shape (n_errors,)
        Absolute errors on rows that neither the model nor the intervals were made from.
    scores : float64 array of shape (n_scores,), or None
        Those that the intervals were made from.
    groups : Groups or None
        Of these rows; None where each stands for itself.
    moments : Moments or None
        Of these rows; None where nobody knows them.
    """

    training: Floats
    held_out: Floats
    answers: Floats
    absolute: Floats
    scores: Floats | None
    groups: Groups | None = None
    moments: Moments | None = None

    def drawn(self, random: np.random.Generator) -> Known:
        """Return one packed row of each group, for the rows of a group are alike."""
        if self.groups is None:
            return self
        training, held_out = (
            one_of_each(each, random) for each in (self.groups.training, self.groups.held_out)
        )
        return replace(
            self,
            training=self.training[training],
            held_out=self.held_out[held_out],
            answers=self.answers[held_out],
        )


def reference_of(known: Known, schema: Schema, intervals: Intervals | None, *, seed: int) -> Reference:
    """Return the reference of a version."""
    made = _of_rows(known, schema, seed=seed)
    if known.moments is not None:
        made = replace(made, daily=_of_days(known, known.moments, schema, made.limit, seed=seed))
    if intervals is None:
        return made
    groups = known.groups.scores if known.groups else None
    moments = known.moments.scores if known.moments else None
    return made.with_scores(known.scores, intervals, groups, moments, seed=seed)


def _of_rows(known: Known, schema: Schema, *, seed: int) -> Reference:
    random = np.random.default_rng([seed, OF_TIES])
    known = known.drawn(random)
    naming, ranked = _halves(known.training, random)
    places = {
        column.name: _places(naming[:, index], len(column.categories))
        for index, column in enumerate(schema.columns)
        if column.kind == "category"
    }
    columns = tuple(
        _column_bins(
            column,
            (ranked if column.name in places else known.training)[:, index],
            places.get(column.name),
            random,
        )
        for index, column in enumerate(schema.columns)
    )
    coded = np.array([column.kind == "category" for column in schema.columns])
    whole = tuple(
        bins_of(name, values, random.random(len(values)))
        for name, values in zip(WHOLE_ROW, _whole(known.held_out, known.answers, coded), strict=True)
    )
    limit = limit_of(known.absolute, risk=RISK / 2, groups=known.groups.absolute if known.groups else None)
    return Reference(columns, whole, places, None, (), limit, known.groups.columns if known.groups else ())


def _of_days(known: Known, moments: Moments, schema: Schema, limit: Limit | None, *, seed: int) -> Reference:
    """Return the reference of one row of each day; the mean loss may be what days as well as rows leave it."""
    random = np.random.default_rng([seed, OF_TIES, OF_TIES])
    training, held_out = (drawn_by_day(each, random) for each in (moments.training, moments.held_out))
    drawn = replace(
        known,
        training=known.training[training],
        held_out=known.held_out[held_out],
        answers=known.answers[held_out],
        groups=None,
        moments=None,
    )
    of_days = limit_of(known.absolute, risk=RISK / 2, groups=_days(moments.absolute).astype(np.uint64))
    wider = max((each for each in (limit, of_days) if each), key=lambda each: each.upper, default=None)
    enough = limit is not None and of_days is not None
    return replace(_of_rows(drawn, schema, seed=seed), limit=wider if enough else None)


def _scored(
    reference: Reference,
    scores: Floats,
    intervals: Intervals,
    random: np.random.Generator,
    *,
    are_drawn: bool,
) -> Reference:
    ties = random.random(len(scores))
    levels = _levels(scores, intervals, are_drawn=are_drawn)
    return replace(reference, scores=bins_of("error", scores, ties), levels=levels)


def _days(moments: Floats) -> NDArray[np.int64]:
    """Return the days of moments, in UTC, as numbers."""
    return np.floor(moments / 86_400.0).astype(np.int64)


def drawn_by_day(moments: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the places of one row of each day, as `DaySizes` draws them of later days: of small ones seldom."""
    sizes, indexes, days = DaySizes(), [], _days(moments)
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        if sizes.see_day(len(rows)).count(1, random):
            indexes.append(int(random.choice(rows)))
    return np.array(indexes, dtype=np.int64)


def one_of_each(groups: GroupIds, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the places of one row of each group, drawn evenly and in an order of their own."""
    shuffled = random.permutation(len(groups))
    return shuffled[np.unique(groups[shuffled], return_index=True)[1]]


def _column_bins(
    column: Column, values: Floats, places: Mapping[int, int] | None, random: np.random.Generator
) -> Bins:
    ties = random.random(len(values))
    if places is None:
        return bins_of(column.name, values, ties)
    labels = {float(index): column.categories[code] for code, index in places.items() if index < OTHERS}
    return bins_of(column.name, _placed(values, places), ties, labels | {OTHERS: "others", GAP: MISSING})


def _halves(matrix: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the rows that name categories, and those whose ranks are taken: new rows have never the same names.

    Of many towns a day brings some that no known row has. Had all known rows named them, none of these could be new.
    """
    shuffled = random.permutation(len(matrix))
    return matrix[shuffled[: len(matrix) // 2]], matrix[shuffled[len(matrix) // 2 :]]


def _places(codes: Floats, categories: int) -> dict[int, int]:
    """Return the places of the largest categories, the largest first, and of those that these codes lack."""
    known = codes[codes >= 0.0].astype(np.int64)
    values, counts = np.unique(known, return_counts=True)
    largest = np.lexsort((values, -counts))[:LARGEST_CATEGORIES]
    lacking = np.setdiff1d(np.arange(categories), values)
    return {int(values[index]): position for position, index in enumerate(largest)} | dict.fromkeys(
        lacking.tolist(), int(NEVER_SEEN)
    )


def _placed(codes: Floats, places: Mapping[int, int]) -> Floats:
    """Return where categories stand in their bins; a code is a whole number, NaN where missing, or `UNSEEN`."""
    table = np.full(max(places, default=0) + 2, OTHERS)
    table[list(places)] = list(places.values())
    rows = np.nan_to_num(codes, nan=-1.0).astype(np.int64)
    result = table[np.minimum(rows, len(table) - 1)]
    return np.where(np.isnan(codes), GAP, np.where(codes == UNSEEN, NEVER_SEEN, result))


def _whole(matrix: Floats, answers: Floats, coded: NDArray[np.bool_]) -> list[Floats]:
    gaps = (np.isnan(matrix) | ((matrix == UNSEEN) & coded)).sum(axis=1)
    return [answers[:, 0], answers[:, 1], gaps.astype(np.float64)]


def _levels(scores: Floats, intervals: Intervals, *, are_drawn: bool) -> tuple[Level, ...]:
    """Return the levels; of scores that were drawn, those whose quantile is not beyond the largest of them."""
    quantiles = dict(zip(intervals.coverage, intervals.quantile, strict=True))
    levels = []
    for coverage in (each for each in LEVELS if each in quantiles):
        beyond = scores[scores >= quantiles[coverage]]
        cut = float(beyond.min(initial=np.inf)) if are_drawn else quantiles[coverage]
        if np.isfinite(cut):
            above = int((scores > cut).sum())
            levels.append(
                Level(coverage, quantiles[coverage], above, len(scores), cut if are_drawn else None)
            )
    return tuple(levels)
