"""Days of rows in, evidence and alarms out: the state of one version's watch.

Four questions are asked, each with a chance of at most `RISK` that it ever alarms although nothing changed: are the
inputs and predictions like the training rows, are the errors like those the intervals were made from, has the mean
error risen, and do the intervals hold their share. Inputs need no labels and only warn. A day is given once, when it
is over; its outcomes may be given later, once no more of them are waited for.

Rows of one day may have something in common that other days have not: its weather, its weekday. The promise holds for
rows that are exchangeable with the known ones, so one row of each day is drawn, unless the caller says that rows of a
day are independent: then up to `MOST_ROWS`, in an order of their own. Rows of one group are alike, too: where the
reference has one row of each group, so have the days. A day of few rows counts for few (`day_sizes`). Columns that only
say when a row was can never be watched: name them as `ignored`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.figures import percent
from training.monitoring.day_sizes import DaySizes
from training.monitoring.evidence import Bettors, Bins, GroupIds, HarmEvidence, RankEvidence, means
from training.monitoring.lately import Lately, moved
from training.monitoring.moving import Counts, Explain
from training.monitoring.reference import OF_TIES, RISK, WHOLE_ROW, Level, Reference

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

MOST_ROWS = 1_000
"""A day: with all rows of a busy service every triviality would be a drift."""

WORSENING = 0.1
"""How much the mean error may rise before it is harm: a share."""

TILTS = (0.5, 1.0, 2.0)
"""How strongly the bettors on errors lean to the largest ones."""

BEYOND = (0.1, 0.5)
"""Of the rows, what other bettors on errors expect beyond the largest known one: who leans to bins has little there."""

TIMES = (1.15, 1.3, 1.5, 2.0, 3.0, 0.85, 0.7, 0.5, 0.3, 0.1)
"""How many times the promised misses the bettors on coverage expect: more, and fewer where intervals are too wide."""

OF_INPUTS, OF_OUTCOMES = OF_TIES, OF_TIES + 1
"""Streams of their own: outcomes are the same whether they come with the inputs or a month later."""

CERTAIN = 0.95
"""A bettor who expects more misses than this would lose all to one hit."""

NO_DRIFT = (
    "if rows are still like those, the chance that this version ever raises this alarm "
    f"is at most {100 * RISK:g} %"
)


@dataclass(frozen=True)
class Alarm:
    """What is no longer as it was.

    Attributes
    ----------
    kind : {"inputs", "errors", "harm", "coverage"}
    since : str
        The day on which it was raised.
    cause : str
        What moved, with figures.
    """

    kind: str
    since: str
    cause: str


@dataclass(frozen=True)
class Day:
    """What one day came to.

    Attributes
    ----------
    figures : mapping of str to float
        By their MLflow names; evidence as the base-10 logarithm of wealth.
    raised : tuple of Alarm
        On this day, for the first time.
    """

    day: str
    figures: Mapping[str, float]
    raised: tuple[Alarm, ...]


@dataclass
class Watch:
    """The watch over one version, beginning where its state ends."""

    reference: Reference
    seed: int
    independent: bool = False
    ignored: tuple[str, ...] = ()
    tolerance: float = 0.0
    until: str = ""
    outcomes_until: str = ""
    alarms: list[Alarm] = field(default_factory=list)
    unit: str | None = None
    explain: Explain | None = None

    def __post_init__(self) -> None:
        every = (*self.reference.columns, *self.reference.whole)
        self._watched = [index for index, bins in enumerate(every) if bins.name not in self.ignored]
        self.views: tuple[Bins, ...] = tuple(every[index] for index in self._watched)
        self._shown = np.zeros((0, len(self.views)), dtype=np.int64)
        self._values = np.zeros((0, len(self.views)))
        self._scores = np.zeros(0)
        """What the last day showed, for people: up to `MOST_ROWS` of it."""
        self.lately = Lately(self.views)
        self.counts = Counts(self.reference.contributions, self.explain)
        self._inputs = RankEvidence([bins.gaps for bins in self.views], tolerance=self.tolerance)
        self._errors = _on_errors(self.reference.scores)
        self._coverage = [misses_of(level) for level in self.reference.levels]
        limit = self.reference.limit
        self._harm = HarmEvidence(limit.tau(WORSENING)) if limit else None
        self._sizes = {name: DaySizes() for name in ("inputs", "scores", "losses")}

    def see(
        self, day: str, matrix: Floats, answers: Floats, actual: Floats, groups: GroupIds | None = None
    ) -> Day:
        """Take one day's rows.

        Parameters
        ----------
        day : str
            An ISO date, later than all before.
        matrix : float64 array of shape (n_rows, n_columns)
            Packed rows.
        answers : float64 array of shape (n_rows, 2)
            Predictions and scales.
        actual : float64 array of shape (n_rows,)
            NaN where nobody knows yet.
        groups : array of shape (n_rows,), optional
            Rows with the same number are alike, and one of them is drawn.
        """
        inputs = self.see_inputs(day, matrix, answers, groups)
        outcomes = self.see_outcomes(day, answers, actual, groups)
        return Day(day, {**inputs.figures, **outcomes.figures}, (*inputs.raised, *outcomes.raised))

    def see_inputs(self, day: str, matrix: Floats, answers: Floats, groups: GroupIds | None = None) -> Day:
        """Take one day's rows and answers, once the day is over."""
        random = self._random(day, OF_INPUTS)
        each = _one_of_each(random.permutation(len(matrix)), groups)
        count, shown = self._sizes["inputs"].see_day(len(each)).count(self._most, random), each[:MOST_ROWS]
        self._shown = self.reference.views(matrix[shown], answers[shown], random)[:, self._watched]
        self._values = self.reference.values(matrix[shown], answers[shown])[:, self._watched]
        self.lately.see_day(self._shown)
        self.counts.see_day(matrix[shown])
        self._inputs.see_day(self._shown[:count])
        self.until = day
        return self._concluded(day, {"rows": float(len(matrix))}, {"inputs": self._inputs_alarm()})

    def see_outcomes(self, day: str, answers: Floats, actual: Floats, groups: GroupIds | None = None) -> Day:
        """Take one day's answers and outcomes, once no more of them are waited for; NaN where nobody knows."""
        random = self._random(day, OF_OUTCOMES)
        shuffled = random.permutation(len(actual))
        known = shuffled[np.isfinite(actual[shuffled]) & np.isfinite(answers[shuffled, 0])]
        if len(known):
            absolute = np.abs(actual[known] - answers[known, 0])
            self._see_harm(absolute, None if groups is None else groups[known])
        scaled = known[np.isfinite(answers[known, 1])]
        if len(scaled):
            self._scores = _scores(scaled, answers, actual)
            each = _one_of_each(scaled, groups)
            count = self._sizes["scores"].see_day(len(each)).count(self._most, random)
            self._see_errors(_scores(each[:count], answers, actual), random)
        self.outcomes_until = day
        raised = {
            "errors": self._errors_alarm(),
            "harm": self._harm_alarm(),
            "coverage": self._coverage_alarm(),
        }
        return self._concluded(day, self._figures(actual, answers), raised)

    def _random(self, day: str, of: int) -> np.random.Generator:
        """Return the same numbers for the same day, whenever it is taken."""
        return np.random.default_rng([self.seed, of, date.fromisoformat(day).toordinal()])

    @property
    def _most(self) -> int:
        return MOST_ROWS if self.independent else 1

    def _concluded(self, day: str, figures: Mapping[str, float], causes: Mapping[str, str]) -> Day:
        standing = {alarm.kind for alarm in self.alarms}
        raised = [Alarm(kind, day, cause) for kind, cause in causes.items() if cause and kind not in standing]
        self.alarms += raised
        of_these = tuple(f"evidence_{kind}" for kind in causes)
        evidence = {name: each for name, each in self._evidence().items() if name.startswith(of_these)}
        return Day(day, {**figures, **evidence, "alarms": float(len(self.alarms))}, tuple(raised))

    def _see_errors(self, scores: Floats, random: np.random.Generator) -> None:
        bins = self.reference.scores
        if self._errors is not None and bins is not None:
            index = bins.of(scores, random.random(len(scores)))
            self._errors.see_day(np.repeat(index[:, None], len(self._errors.widths), axis=1))
        for level, evidence in zip(self.reference.levels, self._coverage, strict=True):
            missed = (scores > level.threshold).astype(np.int64)
            evidence.see_day(np.repeat(missed[:, None], len(evidence.widths), axis=1))

    def _see_harm(self, absolute: Floats, groups: GroupIds | None) -> None:
        if self._harm is not None and self.reference.limit is not None:
            losses = means(self.reference.limit.losses(absolute), groups)
            self._harm.see_day(float(losses.mean()), self._sizes["losses"].see_day(len(losses)).share)

    def _figures(self, actual: Floats, answers: Floats) -> dict[str, float]:
        known = np.isfinite(actual) & np.isfinite(answers[:, 0])
        figures = {"labelled_share": float(known.mean()) if len(known) else 0.0}
        if not known.any():
            return figures
        error = np.abs(actual - answers[:, 0])[known]
        scores = (error / answers[known, 1])[np.isfinite(answers[known, 1])]
        held = {
            f"interval_coverage_{round(100 * level.coverage)}": float((scores <= level.quantile).mean())
            for level in self.reference.levels
            if len(scores)
        }
        return figures | {"rmse": float(np.sqrt((error**2).mean())), "mae": float(error.mean())} | held

    def _evidence(self) -> dict[str, float]:
        """Return the base-10 logarithm of the wealth of each question's bettors, at least -99."""
        every: dict[str, Bettors | None] = {
            "inputs": self._inputs,
            "errors": self._errors,
            "harm": self._harm,
        }
        for level, evidence in zip(self.reference.levels, self._coverage, strict=True):
            every[f"coverage_{round(100 * level.coverage)}"] = evidence
        return {
            f"evidence_{name}": max(each.log_mean / np.log(10.0), -99.0)
            for name, each in every.items()
            if each is not None and each.days
        }

    @property
    def lines(self) -> dict[str, float]:
        """The evidence at which each question alarms, by the names of the figures that are watched."""
        every = {"inputs": RISK, "errors": RISK, "harm": RISK / 2.0}
        parts = {"inputs": self._inputs, "errors": self._errors, "harm": self._harm}
        lines = {
            f"evidence_{name}": -np.log10(every[name]) for name, part in parts.items() if part is not None
        }
        for level in self.reference.levels:
            lines[f"evidence_coverage_{round(100 * level.coverage)}"] = np.log10(len(self._coverage) / RISK)
        return lines

    def _inputs_alarm(self) -> str:
        wealth = self._inputs.log_wealth
        if self._inputs.log_mean < -np.log(RISK):
            return ""
        certain = [index for index in np.argsort(-wealth) if wealth[index] >= np.log(len(wealth) / RISK)]
        named = certain[:5] or [int(np.argmax(wealth))]
        columns = np.array([bins.name not in WHOLE_ROW for bins in self.views])
        if columns.any() and not columns[named].any():  # a prediction moves because something else did
            named.append(int(np.argmax(np.where(columns, wealth, -np.inf))))
        return "; ".join(self._moved(int(index)) for index in named)

    def _moved(self, index: int) -> str:
        """Say how a view's shares moved on the last day: the bin that moved most, and the stability index."""
        bins = self.views[index]
        result = moved(bins, np.bincount(self._shown[:, index], minlength=len(bins.gaps)))
        most = int(np.argmax(np.abs(result.after - result.before)))
        return (
            f"{result.name}: {result.labels[most]} was {share(float(result.before[most]))} of the rows, "
            f"on this day {share(float(result.after[most]))} (PSI {result.stability:.2g}{self._shifted(index)})"
            f"{f', {counted.in_words(self.unit)}' if (counted := self.counts.on_last_day(bins.name)) else ''}"
        )

    def _shifted(self, index: int) -> str:
        """Say how far the mean of the last day is from the reference's, in its sd; nothing where there is none."""
        bins, values = self.views[index], self._values[:, index]
        known = values[np.isfinite(values)]
        if not len(known) or not bins.sd > 0.0:
            return ""
        return f", mean {(known.mean() - bins.mean) / bins.sd:+.2g} sd"

    def _errors_alarm(self) -> str:
        if self._errors is None or not self._errors.days or self._errors.log_mean < -np.log(RISK):
            return ""
        bins = self.reference.scores
        assert bins is not None
        large = bins.of(self._scores, np.full(len(self._scores), 0.5)) >= len(bins.gaps) - 3
        largest, were = float(large.mean()), float(bins.shares[-3:].sum())
        return f"{share(largest)} of this day's errors are as large as {share(were)} were"

    def _harm_alarm(self) -> str:
        if self._harm is None or not self._harm.days or self._harm.log_mean < -np.log(RISK / 2.0):
            return ""
        return f"the mean error is more than {share(WORSENING)} above what the held-out rows allow"

    def _coverage_alarm(self) -> str:
        causes = [
            f"{self._missed(level)} of the {share(level.coverage)} intervals miss on this day{_too_wide(evidence)}"
            for level, evidence in zip(self.reference.levels, self._coverage, strict=True)
            if evidence.days and evidence.log_mean >= np.log(len(self._coverage) / RISK)
        ]
        return "; ".join(causes)

    def _missed(self, level: Level) -> str:
        return share(float((self._scores > level.quantile).mean()))

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON."""
        parts = {"inputs": self._inputs, "errors": self._errors, "harm": self._harm}
        return {
            "until": self.until,
            "outcomes_until": self.outcomes_until,
            "independent": self.independent,
            "ignored": list(self.ignored),
            "tolerance": self.tolerance,
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "coverage": [each.as_dict() for each in self._coverage],
            "lately": self.lately.as_list(),
            "counts": self.counts.as_list(),
            "sizes": {name: each.sizes for name, each in self._sizes.items()},
        } | {name: part.as_dict() for name, part in parts.items() if part is not None}

    def restore(self, written: Mapping[str, Any]) -> None:
        """Take up a state that `as_dict` wrote; raises KeyError, TypeError or ValueError where it does not fit."""
        asked = (self.independent, self.ignored, self.tolerance)
        if (written["independent"], tuple(written["ignored"]), written.get("tolerance", 0.0)) != asked:
            raise ValueError(
                "is the state of a watch over other columns, other rows of a day, or with another tolerance"
            )
        self.until = _day(written["until"])
        self.outcomes_until = _day(written.get("outcomes_until", written["until"]))
        self.alarms = [Alarm(**each) for each in written["alarms"]]
        self._inputs.restore(written["inputs"])
        if self._errors is not None:
            self._errors.restore(written["errors"])
        if self._harm is not None:
            self._harm.restore(written["harm"])
        for evidence, each in zip(self._coverage, written["coverage"], strict=True):
            evidence.restore(each)
        self.lately.restore(written.get("lately", []))  # states from before have none
        self.counts.restore(written.get("counts", []))
        for name, sizes in written.get("sizes", {}).items():
            self._sizes[name].sizes = [int(each) for each in sizes]


def _day(text: str) -> str:
    """Return an ISO date, or nothing before the first day; raises ValueError."""
    return date.fromisoformat(text).isoformat() if text else ""


def _on_errors(scores: Bins | None) -> RankEvidence | None:
    """Return bettors who lean to the largest errors, more or less, and some who expect still larger ones."""
    if scores is None:
        return None
    height = np.linspace(0.0, 1.0, len(scores.gaps))
    bets = [_normal(scores.gaps * np.exp(tilt * height)) for tilt in TILTS]
    known = _normal(scores.gaps[:-1])
    bets += [np.append((1.0 - beyond) * known, beyond) for beyond in BEYOND]
    return RankEvidence([scores.gaps] * len(bets), bets)


def misses_of(level: Level) -> RankEvidence:
    """Return bettors who expect some times the promised misses: an urn of hits and misses."""
    misses = level.above + 1
    gaps = np.array([level.rows + 1 - misses, misses])
    promised = misses / (level.rows + 1)
    expected: Sequence[float] = [times * promised for times in TIMES if times * promised < CERTAIN]
    return RankEvidence([gaps] * len(expected), [np.array([1.0 - miss, miss]) for miss in expected])


def _too_wide(evidence: RankEvidence) -> str:
    """Say so where the richest bettor is one of those who expect fewer misses, who stand behind the others."""
    fewer = sum(times < 1.0 for times in TIMES)
    richest = int(np.argmax(evidence.log_wealth))
    return ", they are too wide" if richest >= len(evidence.log_wealth) - fewer else ""


def _scores(rows: Rows, answers: Floats, actual: Floats) -> Floats:
    """Return the scaled absolute errors of rows."""
    return np.asarray(np.abs(actual[rows] - answers[rows, 0]) / answers[rows, 1], dtype=np.float64)


def _one_of_each(rows: Rows, groups: GroupIds | None) -> Rows:
    """Return the first row of each group, in the order of the rows; all rows without groups."""
    if groups is None:
        return rows
    return rows[np.sort(np.unique(groups[rows], return_index=True)[1])]


def share(part: float) -> str:
    """Say a share in percent, without a sign."""
    return percent(part, sign=False)


def _normal(weights: NDArray[Any]) -> Floats:
    return np.asarray(weights / weights.sum(), dtype=np.float64)
