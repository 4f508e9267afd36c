"""How often a monitor alarms although nothing changed, and how soon where something did.

Each stream has known rows of its own, drawn anew, for the promise is over both. Whole watches are run, as the command
runs them; their four kinds of alarm are counted apart. On the same rows run two tests that people write: bets against
the known shares as if these were the truth, and a z test after each row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

from benchmarks.sizes import sized
from data.schema import UNSEEN, Column, Schema
from serving.scorer import Intervals
from training.measuring.intervals.conformal import COVERAGES, quantile, rank
from training.monitoring import Groups, Known, Moments, Watch, reference_of
from training.monitoring.evidence.ranks import RankEvidence

Floats = NDArray[np.float64]
Random = np.random.Generator

RISK, SURE = 0.01, 0.99
OURS = ("inputs", "errors", "harm", "coverage")
NAIVE = ("inputs, known shares", "inputs, z test", "errors, z test", "coverage, z test")
STREAMS, DAYS = sized((500, 40), tiny=(2, 3))
SHIFTED, QUIET, LATER = sized((40, 10, 60), tiny=(2, 1, 2))
FIRST = date(2026, 1, 5)
"""A Monday."""

TOWNS = 1.0 / np.arange(1.0, 201.0) / (1.0 / np.arange(1.0, 201.0)).sum()
"""The shares of 200 towns, by Zipf's law: each day brings some that training never saw."""

SIZE, WILD, TOWN = 0, 2, 3


@dataclass(frozen=True)
class Rows:
    """Rows with what came of them and their groups; columns are size, rooms, wild, town, garden, weekday."""

    values: Floats
    actual: Floats
    groups: NDArray[np.uint64]

    @property
    def answers(self) -> Floats:
        """Predictions and scales: half of the rows have twice the error."""
        scale = np.where(self.values[:, WILD] > 0.0, 2.0, 1.0)
        return np.column_stack([2.0 * self.values[:, SIZE] + self.values[:, 1], scale])

    @property
    def absolute(self) -> Floats:
        """How wrong the predictions are."""
        return np.abs(self.actual - self.answers[:, 0])

    @property
    def scores(self) -> Floats:
        """The same in scales."""
        return np.asarray(self.absolute / self.answers[:, 1])

    def at(self, places: NDArray[np.bool_]) -> Rows:
        """Return some of the rows."""
        return Rows(self.values[places], self.actual[places], self.groups[places])

    def packed(self, towns: NDArray[np.intp]) -> Floats:
        """Return the rows as a version has them that knows these towns."""
        matrix, town = self.values.copy(), self.values[:, TOWN]
        matrix[:, TOWN] = np.where(np.isin(town, towns), np.searchsorted(towns, town), UNSEEN)
        return matrix


Levels = Callable[[Random, Sequence[int], int], tuple[Floats, NDArray[np.intp]]]
Change = Callable[[Rows], Rows]


@dataclass(frozen=True)
class World:
    """How rows come, in the past and later.

    Attributes
    ----------
    levels : callable
        Given a generator, days, and rows of each, returns each row's level of size and of error, of shape (n_rows, 2)
        with variance 1, and its group.
    common : float
        The share of a row's variance that its level has.
    past, each : int
        Days that are known, and rows of a day.
    timed : bool
        Whether whole days learn, calibrate and test, as where a split follows time.
    """

    name: str
    levels: Levels
    independent: bool = True
    grouped: bool = False
    common: float = 0.64
    past: int = 150
    each: int = 20
    timed: bool = False

    def rows(self, random: Random, days: Sequence[int]) -> Rows:
        """Return the rows of some days, in order."""
        level, groups = self.levels(random, days, self.each)
        n = len(level)
        size, error = np.sqrt(self.common) * level.T + np.sqrt(1.0 - self.common) * random.normal(size=(2, n))
        values = np.column_stack(
            [
                size,
                random.poisson(3, n),
                random.standard_cauchy(n),
                random.choice(len(TOWNS), n, p=TOWNS),
                np.where(random.random(n) < 0.1, np.nan, random.random(n) < 0.4),
                np.repeat(np.array(days) % 7, self.each),
            ]
        ).astype(np.float64)
        answers = Rows(values, error, groups.astype(np.uint64)).answers
        return Rows(values, answers[:, 0] + answers[:, 1] * error, groups.astype(np.uint64))


def alone(random: Random, days: Sequence[int], each: int) -> tuple[Floats, NDArray[np.intp]]:
    """Rows have nothing in common."""
    n = len(days) * each
    return random.normal(size=(n, 2)), np.arange(n)


def by_day(random: Random, days: Sequence[int], each: int) -> tuple[Floats, NDArray[np.intp]]:
    """Each day has a level, as weather does."""
    return np.repeat(random.normal(size=(len(days), 2)), each, axis=0), np.arange(len(days) * each)


def by_group(random: Random, days: Sequence[int], each: int) -> tuple[Floats, NDArray[np.intp]]:
    """Each of a day's five groups has a level, as guests have who order several things."""
    place = np.repeat(np.arange(len(days) * 5), each // 5)
    return random.normal(size=(len(days) * 5, 2))[place], place


def by_hour(random: Random, days: Sequence[int], each: int) -> tuple[Floats, NDArray[np.intp]]:
    """Sizes and errors rise and fall with the hour: rush hours."""
    hour = np.sort(random.random((len(days), each)), axis=1).ravel()
    level = np.sqrt(2.0) * np.sin(2.0 * np.pi * hour)
    return np.column_stack([level, level]), np.arange(len(hour))


def by_weekday(_: Random, days: Sequence[int], each: int) -> tuple[Floats, NDArray[np.intp]]:
    """Each day of the week has a level; the column that names the day is excluded."""
    level = np.repeat((np.array(days) % 7 - 3.0) / 2.0, each)
    return np.column_stack([level, level]), np.arange(len(level))


WORLDS = (
    World("rows one by one, 60 known", alone, past=9),
    World("rows one by one, 1,000 known", alone),
    World("rush hours", by_hour),
    World("groups of a day", by_group, grouped=True),
    World("days with a level, one row a day", by_day, independent=False),
    World("Monday to Sunday, one row a day", by_weekday, independent=False),
    World("30 days with a level, split by time", by_day, independent=False, past=30, timed=True),
)
MANY = World("5,000 known, 100 rows a day", alone, past=150, each=100)

_MISSED = float(norm.ppf(0.95) / norm.ppf(1.0 - 0.13 / 2.0))
SHIFTS: dict[str, tuple[str, Change]] = {
    "size + 0.25 sd": ("inputs", lambda rows: _resized(rows, 1.0, 0.25)),
    "size + 0.5 sd": ("inputs", lambda rows: _resized(rows, 1.0, 0.5)),
    "size in other units, x 10.76": ("inputs", lambda rows: _resized(rows, 10.76, 0.0)),
    "13 % miss in place of 10 %": ("coverage", lambda rows: _erring(rows, _MISSED)),
    "errors + 20 %": ("errors", lambda rows: _erring(rows, 1.2)),
    "errors + 50 %": ("errors", lambda rows: _erring(rows, 1.5)),
    "errors + 50 %, harm": ("harm", lambda rows: _erring(rows, 1.5)),
    "errors - 20 %": ("coverage", lambda rows: _erring(rows, 0.8)),
}
"""What changes, and the kind of alarm that is waited for."""


def _resized(rows: Rows, times: float, more: float) -> Rows:
    values = rows.values.copy()
    values[:, SIZE] = times * values[:, SIZE] + more
    moved = Rows(values, rows.actual, rows.groups)
    return replace(moved, actual=moved.answers[:, 0] + rows.actual - rows.answers[:, 0])


def _erring(rows: Rows, times: float) -> Rows:
    return replace(rows, actual=rows.answers[:, 0] + times * (rows.actual - rows.answers[:, 0]))


@dataclass(frozen=True)
class Version:
    """What is known of a model before its first day: a watch, and the rows that people would test against."""

    watch: Watch
    towns: NDArray[np.intp]
    training: Rows
    calibration: Rows
    widest: float


def version_of(world: World, random: Random) -> Version:
    """Return a version made of the past days of a world: a third of the rows each learn, calibrate and test."""
    past = world.rows(random, range(-world.past, 0))
    side = random.integers(3, size=int(past.groups.max()) + 1)[past.groups.astype(np.int64)]
    days = np.repeat(np.arange(world.past), world.each)
    if world.timed:
        side = days * 3 // world.past
    moments = 86_400.0 * days
    training, calibration, holdout = (past.at(side == each) for each in range(3))
    kept = tuple(each for each in COVERAGES if rank(len(calibration.scores), each) <= len(calibration.scores))
    quantiles = tuple(quantile(calibration.scores, each) for each in kept)
    towns = np.unique(training.values[:, TOWN]).astype(np.intp)
    names = tuple(str(town) for town in towns)
    numbers = [Column(name, "number") for name in ("size", "rooms", "wild")]
    others = [
        Column("town", "category", categories=names),
        Column("garden", "boolean"),
        Column("weekday", "number"),
    ]
    alike = Groups(("group",), training.groups, holdout.groups, holdout.groups, calibration.groups)
    known = Known(
        training=training.packed(towns),
        held_out=holdout.packed(towns),
        answers=holdout.answers,
        absolute=holdout.absolute,
        scores=calibration.scores,
        groups=alike if world.grouped else None,
        moments=Moments(*(moments[side == part] for part in (0, 2, 2, 1))) if world.timed else None,
    )
    table = Intervals("calibration", len(calibration.scores), True, kept, quantiles)
    seed = int(random.integers(2**31))
    reference = reference_of(known, Schema((*numbers, *others), target="price"), table, seed=seed)
    watch = Watch(
        reference.of(independent=world.independent), seed, independent=world.independent, ignored=("weekday",)
    )
    return Version(watch, towns, training, calibration, dict(zip(kept, quantiles, strict=True))[0.9])


def first_alarms(
    world: World, random: Random, days: int, change: Change | None = None, quiet: int = 0
) -> dict[str, int]:
    """Return the day on which each test raised an alarm first; `change` alters the rows from day `quiet` on."""
    version, seen = version_of(world, random), []
    result: dict[str, int] = {}
    for number in range(days):
        rows = world.rows(random, [number])
        seen.append(change(rows) if change and number >= quiet else rows)
        label = (FIRST + timedelta(days=number)).isoformat()
        packed, groups = seen[-1].packed(version.towns), rows.groups if world.grouped else None
        day = version.watch.see(label, packed, seen[-1].answers, seen[-1].actual, groups)
        result |= {alarm.kind: number for alarm in day.raised}
    return result | _naive(version, seen, random, world.each)


def _naive(version: Version, days: Sequence[Rows], random: Random, each: int) -> dict[str, int]:
    """Return the same for the tests that people write; each row is a look."""
    sizes, scores = (np.concatenate([getattr(rows, of) for rows in days]) for of in ("values", "scores"))
    known = version.training.values[:, SIZE]
    size, error = sizes[:, SIZE], version.calibration.scores
    rows = {
        "inputs, z test": np.abs(_z(size, known.mean(), known.std())) > norm.ppf(1.0 - RISK / 2.0),
        "errors, z test": _z(scores, error.mean(), error.std()) > norm.ppf(1.0 - RISK),
        "coverage, z test": np.abs(_z(scores > version.widest, 0.1, 0.3)) > norm.ppf(1.0 - RISK / 2.0),
    }
    result = {name: int(alarms.argmax()) // each for name, alarms in rows.items() if alarms.any()}
    bins = version.watch.views[SIZE]
    fixed = RankEvidence([bins.gaps * 10**9])  # so many known rows that these are the truth
    for number, day in enumerate(days):
        values = day.values[:, SIZE]
        fixed.see_day(bins.of(values, random.random(len(values)))[:, None])
        if fixed.log_mean >= -np.log(RISK):
            return result | {"inputs, known shares": number}
    return result


def _z(values: NDArray[np.generic], mean: float, sd: float) -> Floats:
    """Return the z of the mean of the first rows, for each number of them from 30 on."""
    count = np.arange(1.0, len(values) + 1.0)
    z = np.cumsum(values - mean) / (sd * np.sqrt(count))
    return np.asarray(np.where(count < 30.0, 0.0, z))


@dataclass(frozen=True)
class Count:
    """How many of some streams alarmed."""

    alarms: int
    streams: int

    @property
    def low(self) -> float:
        """What the true share is not below, with 99 % (Clopper & Pearson 1934)."""
        return (
            float(beta.ppf(1.0 - SURE, self.alarms, self.streams - self.alarms + 1)) if self.alarms else 0.0
        )

    @property
    def high(self) -> float:
        """What it is not above, with 99 %."""
        if self.alarms == self.streams:
            return 1.0
        return float(beta.ppf(SURE, self.alarms + 1, self.streams - self.alarms))

    def __add__(self, other: Count) -> Count:
        """Return the count of both."""
        return Count(self.alarms + other.alarms, self.streams + other.streams)


@cache
def false_alarms(world: World, streams: int = STREAMS) -> dict[str, Count]:
    """Return how many streams of a world in which nothing changed raised each alarm."""
    random, raised = np.random.default_rng(18), Counter[str]()
    for _ in range(streams):
        raised.update(first_alarms(world, random, DAYS).keys())
    return {name: Count(raised[name], streams) for name in (*OURS, *NAIVE)}


def delays(shift: str) -> dict[str, Floats]:
    """Return after how many rows of a change each test alarmed: infinite where it did not, NaN where before."""
    random, (kind, change) = np.random.default_rng(19), SHIFTS[shift]
    names = [kind, *(name for name in NAIVE if name.startswith(kind if kind != "harm" else "errors"))]
    every = [first_alarms(MANY, random, QUIET + LATER, change, QUIET) for _ in range(SHIFTED)]
    later = {name: np.array([result.get(name, np.inf) for result in every]) - QUIET + 1.0 for name in names}
    return {name: np.where(after < 1.0, np.nan, MANY.each * after) for name, after in later.items()}


def _median(after: Floats) -> float:
    """Return the median over the streams that had not alarmed before the change."""
    counted = np.sort(after[~np.isnan(after)])
    return float(counted[len(counted) // 2]) if len(counted) else np.nan


def quiet_line(world: World) -> str:
    """Return a row of the table of false alarms: how many streams of a world raised each."""
    return " | ".join(
        ["", world.name, *(str(each.alarms) for each in false_alarms(world).values()), ""]
    ).strip()


def together() -> dict[str, Count]:
    """Return the counts of all worlds."""
    every = [false_alarms(world) for world in WORLDS]
    return {name: sum((each[name] for each in every[1:]), every[0][name]) for name in (*OURS, *NAIVE)}


def delay_lines(shift: str) -> list[str]:
    """Return rows of the table of delays: ours, and each test of people's beside it."""
    ours, *others = delays(shift).items()
    median = _median(ours[1])
    false = int(np.isnan(ours[1]).sum())
    lines = [f"| {shift} | `{ours[0]}` | {_rows(median)} | {false} | |"]
    for name, after in others:
        ratio = f"{median / _median(after):.1f}" if np.isfinite(median) else ""
        lines.append(f"| | {name} | {_rows(_median(after))} | {int(np.isnan(after).sum())} | {ratio} |")
    return lines


def _rows(median: float) -> str:
    return f"{median:,.0f}" if np.isfinite(median) else "not found"


def main() -> None:
    """Print both tables as docs/monitoring.md has them."""
    print(f"{STREAMS} streams each, {DAYS} days without a change: how many alarmed\n")
    print("| rows | " + " | ".join(f"`{name}`" for name in OURS) + " | " + " | ".join(NAIVE) + " |")
    print("|---|" + "---|" * len((*OURS, *NAIVE)))
    for world in WORLDS:
        print(quiet_line(world), flush=True)
    for name, count in together().items():
        print(
            f"{name}: {count.alarms} of {count.streams:,}, {100 * count.low:.2f} to {100 * count.high:.2f} %"
        )
    print(f"\n{MANY.name}, {SHIFTED} streams, a change after {QUIET} days\n")
    print("| change | alarm | rows until it, median | alarmed before | ours takes so many times as long |")
    print("|---|---|---|---|---|")
    for shift in SHIFTS:
        print("\n".join(delay_lines(shift)), flush=True)


if __name__ == "__main__":
    main()
