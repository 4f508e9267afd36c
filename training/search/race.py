"""The trials of a search: what is tried on how many rows, what is given up, and when it is over.

The champion's settings, a ridge and a boosting come first, and each gets at least one fold; then the portfolio's
settings, then what Optuna proposes. Large tables are searched on a sample, the best then on ever more rows. A fit
that takes too much of the time is ended, where there are processes to end. It sees training rows only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from training.errors import SearchFailed
from training.models import Spec, portfolio
from training.search.candidates import MOST_MEMBERS, Candidate, best_of_families, blended, judged, simplest
from training.search.cross_validation import TOO_SLOW, FoldResult, Here, TrainingRows
from training.search.processes import Pool
from training.search.proposals import Ask, Proposals
from training.time_budget import Budget
from training.weights import mean, of, spread

SAMPLE_ROWS = (10_000, 40_000)
"""Large tables are searched on a sample of so many rows first, the best on the next size, then on all."""

CELLS_A_SECOND, FEWEST_SAMPLED = 100_000, 2_000
"""The first sample has at most so many cells for each second of search, and no fewer rows than that: what anybody
would try has to come through on it."""

SMALL_SHARE, SHARE = 0.2, 0.75
"""A first sample has less than this share of all rows: the small one where there is time for the cells of all. A larger
sample takes as long as all rows, for more folds are needed to validate as many."""

SAMPLE_SHARE = 0.5
"""Of the search's time for the first sample."""

FINALISTS = 4
"""How many go on to a size between the first and all rows; on all rows as many as the time allows."""

JUDGED_ROWS = 10_000
"""So many validated rows tell settings apart: beyond the sample fewer folds will do."""

OBVIOUS: tuple[Spec, ...] = ({"family": "ridge", "params": {}}, {"family": "boosting", "params": {}})
"""What anybody would try; each gets at least one fold, however short the time."""

OBVIOUS_SECONDS, OBVIOUS_SHARE = 3.0, 0.5
"""They have so many seconds and this share of the time for it, from the search's start; beyond, even those end."""

LAST_RESORT_ROWS, LAST_RESORT_CELLS = 2_000, 1_000_000
"""Where not even those came through, a ridge learns so many rows at most, once, in this process: the time is over."""

PARTLY = 1.05
"""What cannot learn all rows in time has to be better by this factor than what can."""

SEVERAL = 1.002
"""A blend takes the time of all its members for each row: it has to be better by this factor."""

TRIAL_SHARE = 0.4
"""Of the search's time for one trial."""

SHORT, FEW_CELLS = 1.0, 200_000
"""Seconds of search and cells of a table below which processes are not worth their start; a fit of more has to be one
that can be ended."""

HOPELESS, HOPELESS_Z = 1.3, 2.5
"""A trial ends after a fold that leaves its mean squared error so many times the best one's on the same
rows, and so many standard errors of the difference above it."""

PATIENCE, GAIN = 40, 0.001
"""The search ends after so many trials in a row that lower the best error by less than this share."""

PLAIN_ROWS, PLAIN_FAMILIES = 1_000, 4
"""A search on fewer rows ends where a line is within one standard error of the best of so many other families."""


@dataclass(frozen=True)
class Standing:
    """How far the search is.

    Attributes
    ----------
    trials, families : int
        That were tried so far.
    best : Candidate or None
        On so many `rows`.
    """

    trials: int = 0
    families: int = 0
    best: Candidate | None = None
    rows: int = 0


class Race:
    """The trials so far on rows of one size, and when to stop."""

    def __init__(
        self,
        rows: TrainingRows,
        task: portfolio.Task,
        budget: Budget,
        told: Callable[[Standing], None] = lambda _: None,
    ) -> None:
        self.all_rows = self.rows = rows
        self.task = task
        self.budget = budget
        self.stop_if_told: Callable[[], None] = lambda: None
        self.candidates: list[Candidate] = []
        self.trials: list[dict[str, Any]] = []
        self.end = "by time"
        self._told = told
        self._began, self._seconds = time.perf_counter(), budget.to_search
        self._under_way = 0
        self._awaited: list[Spec] = []
        self._leader = np.empty(0)
        self._since_gain = 0
        self._to_fit = budget.to_fit

    def run(self, warm: Spec | None) -> None:
        """Try what there is to try, on ever more rows."""
        everything, sizes = self.all_rows.size, self._sizes()
        self._move_to(_enough_folds(self.all_rows.sample(sizes[0] if sizes else everything)))
        with self._places() as places:
            left = self._asks(warm)
            self._try_all(left, places, self._at(SAMPLE_SHARE if sizes else 1.0))
            for index, size in enumerate([*sizes[1:], everything] if sizes else [], start=1):
                share = 1.0 if index == len(sizes) else (1.0 + SAMPLE_SHARE) / 2.0
                more = self._climbed(places, size, self._at(share))
                if more is None:
                    break
                left = more
            self._try_all(left, places, self._at(1.0))
        if self._has_nothing:
            most = min(LAST_RESORT_ROWS, LAST_RESORT_CELLS // self._columns)
            self._move_to(self.all_rows.sample(most).with_folds(1))
            spec = self._obvious[0]
            Here(self.rows).give(spec, self._watch(spec, _tell_nobody))

    @property
    def _columns(self) -> int:
        return max(len(self.task.schema.columns), 1)

    def _sizes(self) -> list[int]:
        """Return on how many rows settings are tried, one size after the other, before all of them."""
        within = int(CELLS_A_SECOND * self._seconds / self._columns)
        first = min(SAMPLE_ROWS[0], max(within, FEWEST_SAMPLED))
        sizes = [first, *(size for size in SAMPLE_ROWS if size >= 2 * first)]
        share = SMALL_SHARE if self.all_rows.size <= within else SHARE
        return [size for size in sizes if size < share * self.all_rows.size]

    @property
    def _has_nothing(self) -> bool:
        """Whether nothing but the mean came through, for lack of time."""
        return self.end == "by time" and len(self.candidates) < 2

    def _at(self, share: float) -> float:
        """Return the moment at which a share of the search's time is used."""
        return self._began + share * self._seconds

    def _places(self) -> Pool | Here:
        """Return where trials run; a few, or short ones, are not worth processes."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        long = self._seconds > SHORT and self.budget.trials > cores
        worth = long or self.rows.size * self._columns > FEW_CELLS
        return Pool(self.rows, max(cores, 2)) if worth else Here(self.rows)

    def _climbed(self, places: Pool | Here, size: int, until: float) -> Iterator[Ask] | None:
        """Try the best on more rows; return those left to try there, None where the best does not come through."""
        finalists = [candidate for candidate in self.ranked(blend=False) if candidate.family != "mean"]
        before, rows = (self.rows, self.candidates), _enough_folds(self.all_rows.sample(size))
        if not finalists or self._seconds_on(rows, finalists[0]) > until - time.perf_counter():
            return None
        self._move_to(rows)
        places.use(rows)
        asks = iter([(candidate.spec, _tell_nobody) for candidate in finalists])
        self._try_all(islice(asks, FINALISTS), places, until)
        if any(candidate.spec == finalists[0].spec for candidate in self.candidates):
            return asks
        self.rows, self.candidates = before  # the time was too short for so many rows
        places.use(self.rows)
        return None

    @property
    def _obvious(self) -> list[Spec]:
        return [portfolio.shaped(spec, self.task) for spec in OBVIOUS if portfolio.fits(spec, self.task)]

    def _asks(self, warm: Spec | None) -> Iterator[Ask]:
        """Yield what to try: known settings, then Optuna's, each with what is to be told of it."""
        asked = list(self._obvious)
        if warm and portfolio.fits(warm, self.task) and warm not in asked:
            asked.insert(0, warm)
        self._awaited = list(asked)
        proposals = Proposals(self.task, self.rows.seed)
        yield from map(proposals.known, tuple(asked))
        for spec in portfolio.first(self.task):
            for each in (spec, *portfolio.following(self.candidates, self.task)):
                if self._is_enough:
                    return
                if each not in asked:
                    asked.append(each)
                    yield proposals.known(each)
        while not self._is_enough:
            yield proposals.ask()

    @property
    def _is_enough(self) -> bool:
        if len(self.trials) > self.budget.trials:
            self.end = "by the number of trials"
        elif self._since_gain >= PATIENCE:
            self.end = f"as {PATIENCE} settings in a row won nothing"
        elif self._is_plain:
            self.end = "as nothing was better than a line by more than one standard error"
        else:
            return False
        return True

    @property
    def _is_plain(self) -> bool:
        """Whether rows are few, and a line does as well as families of several kinds."""
        tried = {trial["family"] for trial in self.trials if np.isfinite(trial["cv_rmse"])}
        tried -= {"mean", *portfolio.LINEAR}
        if self.all_rows.size >= PLAIN_ROWS or self._awaited or len(tried) < PLAIN_FAMILIES:
            return False
        ordered = sorted(self.candidates, key=lambda candidate: candidate.cv_rmse)
        return simplest(ordered, self.rows, np.inf).level == 1

    def _try_all(self, asks: Iterator[Ask], places: Pool | Here, until: float) -> None:
        """Try until the time is up; what must not be missed beyond it."""
        while time.perf_counter() < until or self._is_waiting:
            self.stop_if_told()
            if places.busy and not places.idle:
                places.listen(max(until - time.perf_counter(), 0.0) or 1.0)
                continue
            ask = next(asks, None)
            if ask is None:
                break
            spec, tell = ask
            places.give(spec, self._watch(spec, tell), until=self._given_up_at(spec))
        while places.busy and not self._is_plain and (time.perf_counter() < until or self._is_waiting):
            self.stop_if_told()
            places.listen(max(until - time.perf_counter(), 0.0) or 1.0)
        self._under_way += places.busy
        if places.busy and not self._is_plain:
            self.end = "by time"

    @property
    def _is_waiting(self) -> bool:
        """Whether an obvious setting has no fold yet, or nothing but the mean was tried."""
        return time.perf_counter() < self._patient_until and bool(self._awaited or len(self.candidates) < 2)

    @property
    def _patient_until(self) -> float:
        """The moment at which even an obvious setting is given up."""
        return max(self._at(1.0), self._began + OBVIOUS_SECONDS + OBVIOUS_SHARE * self._seconds)

    def _given_up_at(self, spec: Spec) -> float:
        """Return the moment at which a trial that is still under way is ended."""
        if spec in self._awaited:
            return self._patient_until
        return min(time.perf_counter() + TRIAL_SHARE * self._seconds, self._patient_until)

    def _watch(self, spec: Spec, tell: Callable[[float], None]) -> Callable[[FoldResult], bool]:
        """Return what collects a trial's folds, and ends a hopeless one."""
        rows, seconds = self.rows, [0.0]
        out_of_fold = np.full(rows.size, np.nan)

        def watch(result: FoldResult) -> bool:
            seconds.append(result.seconds)
            if rows is not self.rows:
                return False
            if result.failure:
                return self._failed(spec, tell, sum(seconds), result.failure)
            out_of_fold[rows.folds[result.fold][1]] = result.predicted
            candidate = judged(spec, out_of_fold, rows, sum(seconds))
            if result.fold == len(rows.folds) - 1 or self._has_enough(spec):
                self._finish(candidate, tell)
                return False
            if self._is_hopeless(candidate):
                self._note(spec, tell, candidate.cv_rmse, sum(seconds), f"after fold {result.fold + 1}")
                return False
            return True

        return watch

    def _has_enough(self, spec: Spec) -> bool:
        """Return whether an obvious setting has the fold that it must have, and no time for more."""
        return spec in self._awaited and time.perf_counter() > self._at(1.0)

    def _failed(self, spec: Spec, tell: Callable[[float], None], seconds: float, failure: str) -> bool:
        if spec in self._awaited:
            self._awaited.remove(spec)
        self._under_way += failure == TOO_SLOW
        self._note(spec, tell, np.nan, seconds, failure)
        return False

    def _is_hopeless(self, candidate: Candidate) -> bool:
        squared = (candidate.out_of_fold - self.rows.target) ** 2
        known = np.isfinite(squared) & np.isfinite(self._leader)
        if candidate.spec in self._awaited or not known.any() or len(self.candidates) < 2:
            return False
        worse, weight = squared[known] - self._leader[known], of(self.rows.weight, known)
        beyond = mean(worse, weight) > HOPELESS_Z * spread(worse, weight) / np.sqrt(worse.size)
        return bool(mean(squared[known], weight) > HOPELESS * mean(self._leader[known], weight) and beyond)

    def _finish(self, candidate: Candidate, tell: Callable[[float], None]) -> None:
        before = min((other.cv_rmse for other in self.candidates), default=np.inf)
        self.candidates.append(candidate)
        if candidate.spec in self._awaited:
            self._awaited.remove(candidate.spec)
        self._note(candidate.spec, tell, candidate.cv_rmse, candidate.fit_seconds, "")
        if candidate.cv_rmse < before:
            self._leader = (candidate.out_of_fold - self.rows.target) ** 2
        if candidate.cv_rmse < before * (1.0 - GAIN):
            self._since_gain = 0

    def _note(self, spec: Spec, tell: Callable[[float], None], rmse: float, took: float, left: str) -> None:
        self._since_gain += 1
        tell(rmse)
        words = json.dumps(dict(spec.get("params", {})))
        trial = {"family": spec["family"], "cv_rmse": rmse, "seconds": took, "rows": self.rows.size}
        self.trials.append(trial | {"left": left, "params": words})
        self._told(self.standing)

    def _move_to(self, rows: TrainingRows) -> None:
        """Go on with these rows; what fewer rows said no longer compares."""
        self.rows = rows
        self.candidates, self._since_gain = [], 0
        self._leader = np.full(rows.size, np.nan)  # squared errors of the best so far
        constant: Spec = {"family": "mean", "params": {}}
        Here(rows).give(constant, self._watch(constant, _tell_nobody))

    def check_it_worked(self) -> None:
        """Raise SearchFailed where everything but the mean failed."""
        failures = [
            trial["left"] for trial in self.trials if trial["left"] and not np.isfinite(trial["cv_rmse"])
        ]
        if failures and all(candidate.family == "mean" for candidate in self.candidates):
            raise SearchFailed(tried=len(failures), reason=max(set(failures), key=failures.count))

    def ended_in_words(self) -> str:
        """Say why the search ended, and which families it cut off or never reached."""
        done = {str(trial["family"]) for trial in self.trials}
        never = sorted({str(spec["family"]) for spec in portfolio.first(self.task)} - done)
        count = len(self.trials)
        words = f"ended {self.end} after {count} setting{'s' * (count != 1)}"
        words += f", {self._under_way} cut off" if self._under_way else ""
        words += f"; not reached: {', '.join(never)}" if never else ""
        unweighted = portfolio.left_out_by_weights(self.task)
        return words + (f"; without a way to weigh rows: {', '.join(unweighted)}" if unweighted else "")

    @property
    def standing(self) -> Standing:
        """How far it is."""
        families = len({trial["family"] for trial in self.trials})
        best = min(self.candidates, key=lambda candidate: candidate.cv_rmse, default=None)
        return Standing(len(self.trials), families, best, self.rows.size)

    def ranked(self, *, blend: bool = True) -> list[Candidate]:
        """Return the candidates, the chosen one first."""
        self._to_fit = self.budget.to_fit
        ordered = sorted(self.candidates, key=self._counted)
        if not blend:
            return ordered
        if len(ordered) > 2:
            quick = [each for each in ordered if each.family not in portfolio.COMPARING]
            blends = [*blended(self._members(ordered), self.rows), *blended(self._members(quick), self.rows)]
            ordered = sorted(
                [*ordered, *{str(each.spec): each for each in blends}.values()], key=self._counted
            )
        winner = simplest(ordered, self.rows)
        return [winner, *(candidate for candidate in ordered if candidate is not winner)]

    def _counted(self, candidate: Candidate) -> float:
        """Return the error that a candidate is preferred by: what can learn all rows in time gets better by them."""
        by = 1.0 if self._full_fit(candidate) <= self._to_fit else PARTLY
        return candidate.cv_rmse * by * (SEVERAL if candidate.family == "blend" else 1.0)

    def _full_fit(self, candidate: Candidate) -> float:
        """Return the seconds that one fit on all rows will take."""
        return candidate.seconds_a_row * self.all_rows.size

    def _seconds_on(self, rows: TrainingRows, candidate: Candidate) -> float:
        """Return the seconds that all folds of other rows will take."""
        fitted = sum(len(fit) for fit, _ in rows.folds)
        return self._full_fit(candidate) * fitted / self.all_rows.size

    def _members(self, ordered: list[Candidate]) -> list[Candidate]:
        """Return the best of each family and then the best, as many as can be fitted in time."""
        members: list[Candidate] = []
        left = self._to_fit
        for candidate in (*best_of_families(ordered), *ordered):
            cost = self._full_fit(candidate)
            new = all(candidate is not member for member in members)
            if new and cost <= left and candidate.level in (1, 2) and len(members) < MOST_MEMBERS:
                members.append(candidate)
                left -= cost
        return members


def _enough_folds(rows: TrainingRows) -> TrainingRows:
    """Keep as many folds as tell settings apart."""
    validated = np.cumsum([len(validate) for _, validate in reversed(rows.folds)])
    return rows.with_folds(1 + int(np.searchsorted(validated, min(JUDGED_ROWS, validated[-1]))))


def _tell_nobody(_: float) -> None:
    """Let a setting pass that Optuna did not ask for."""
