"""Which model to fit: specifications compete by cross-validation on the training rows.

First the champion's settings, a ridge and a boosting, before the time counts; then the portfolio's, then
what Optuna proposes, until the time is up or nothing more is won. The best few are blended on
their out-of-fold predictions. A simpler model is preferred where the difference is within one standard
error. It sees training rows only; the winner's figure is optimistic by the choice itself, which is why
the holdout exists.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from data.schema import Schema
from serving.scorer import Session
from training import portfolio
from training.compiling import CompilingError, Verified, compile_verified
from training.compiling.errors import TooCostly
from training.errors import SearchFailed, Terminated
from training.fitting import fit
from training.interrupts import remembered_signals
from training.models import Spec, build
from training.trials import FoldResult, Folds, Pool, Rows, folds_of
from training.weights import Weight, mean, of, spread

if TYPE_CHECKING:
    import optuna

Ask = tuple[Spec, Callable[[float], None]]
"""A specification to try, and who is told its error."""

SAMPLE_ROWS = (10_000, 40_000)
"""Large tables are searched on a sample of so many rows first, the best on the next size, then on all."""

FINALISTS = 4
"""How many go on to the next size."""

OBVIOUS: tuple[Spec, ...] = ({"family": "ridge", "params": {}}, {"family": "boosting", "params": {}})
"""What anybody would try; each gets at least one fold, however short the time."""

SEARCH_SHARE = 0.7
"""Of the time budget; the rest is for fitting what was chosen."""

HOPELESS, HOPELESS_Z = 1.3, 2.5
"""A trial ends after a fold that leaves its mean squared error so many times the best one's on the same
rows, and so many standard errors of the difference above it."""

PATIENCE, GAIN = 40, 0.001
"""The search ends after so many trials in a row that lower the best error by less than this share."""

BLEND_MEMBERS, BLEND_STEPS = 12, 40
SIMPLICITY = {"mean": 0, "ridge": 1, "lasso": 1, "elastic_net": 1, "huber": 1, "blend": 3}
"""Two for every other family."""

MOST_BYTES = 50_000_000
MOST_ROW_MICROSECONDS = 200.0


@dataclass(frozen=True)
class Budget:
    """How long to search, and how many trials at most."""

    seconds: float = 60.0
    trials: int = 200


@dataclass(frozen=True)
class Candidate:
    """One specification's showing.

    Attributes
    ----------
    cv_rmse, cv_rmse_se : float
        Over all validated rows, and its standard error, in the target's unit.
    fit_seconds : float
        All folds together.
    out_of_fold : float64 array of shape (n_rows,)
        Predictions of rows it was not fitted on; NaN where never validated.
    """

    spec: Spec = field(repr=False)
    cv_rmse: float
    cv_rmse_se: float
    fit_seconds: float
    out_of_fold: NDArray[np.float64] = field(repr=False)

    @property
    def family(self) -> str:
        """The family's name."""
        return str(self.spec["family"])

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        return {"cv_rmse": self.cv_rmse, "cv_rmse_se": self.cv_rmse_se, "fit_seconds": self.fit_seconds}


@dataclass(frozen=True)
class Choice:
    """The winner, fitted on all training rows and compiled, and those it was compared with.

    `ended` says why the search stopped, and what it did not reach.
    """

    best: Candidate
    candidates: tuple[Candidate, ...]
    fitted: Any
    compiled: Verified
    dummy: Any
    fit_seconds: float
    search_seconds: float
    trials: pd.DataFrame = field(repr=False)
    ended: str = ""

    @property
    def spec(self) -> Spec:
        """What to build again."""
        return self.best.spec

    @property
    def out_of_fold(self) -> NDArray[np.float64]:
        """The winner's predictions of rows it was not fitted on."""
        return self.best.out_of_fold

    def as_metrics(self) -> dict[str, float]:
        """Return the winner's figures under their MLflow names; `fit_seconds` is the last fit's."""
        seconds = {"fit_seconds": self.fit_seconds, "search_seconds": self.search_seconds}
        return self.best.as_metrics() | seconds | {"trials": float(len(self.trials))}


@dataclass(frozen=True)
class Standing:
    """How far the search is.

    Attributes
    ----------
    trials, families : int
        That were tried so far.
    best : Candidate or None
        On so many `rows`.
    ends_after : float
        Seconds from the search's start to when its time is up.
    doing : str
        What is fitted once the search is over; nothing before.
    """

    trials: int = 0
    families: int = 0
    best: Candidate | None = None
    rows: int = 0
    ends_after: float = 0.0
    doing: str = ""


@dataclass
class Told:
    """Whom the search tells what; each does nothing by default."""

    standing: Callable[[Standing], None] = lambda _: None
    candidate: Callable[[Candidate], None] = lambda _: None
    refusal: Callable[[Candidate, Exception], None] = lambda *_: None
    interrupted: Callable[[int], None] = lambda _: None


def choose(
    frame: pd.DataFrame,
    target: NDArray[np.float64],
    folds: Folds,
    *,
    schema: Schema,
    seed: int,
    budget: Budget = Budget(),
    warm: Spec | None = None,
    monotonic: dict[str, int] | None = None,
    told: Told | None = None,
    storable: Callable[[Any], object] = lambda _: None,
    weight: Weight = None,
) -> Choice:
    """Search, fit the best on all rows, and compile it.

    A candidate that does not compile, not exactly, or beyond the size and time that a scorer may
    take, or that cannot be stored, leaves, and the next best takes its place.

    Parameters
    ----------
    frame : DataFrame of shape (n_train, n_features)
        Training rows.
    target : float64 array of shape (n_train,)
        In the target's unit.
    folds : list of (fit, validate) positions
        From `data.splits.Split.folds`.
    warm : mapping
        The champion's specification, tried first.
    monotonic : mapping of column to 1 or -1
        Directions that predictions must keep.
    storable : callable
        Raises CompilingError for a fitted pipeline that no version may hold.
    weight : float64 array of shape (n_train,), optional
        How much each row counts, in fits and errors; families that take no weights are not tried.

    Raises
    ------
    SearchFailed
        Nothing but the mean could be fitted.
    CompilingError
        Not even the mean compiles.
    """
    told = told or Told()
    started = time.perf_counter()
    task = replace(portfolio.Task.of(target, schema, monotonic), weighted=weight is not None)
    race = Race(Rows(frame, target, folds, schema, seed, weight), task, budget, told.standing)
    try:
        with remembered_signals() as race.stop_if_told:
            race.run(warm)
    except KeyboardInterrupt as error:
        if isinstance(error, Terminated) or len(race.candidates) < 2:
            raise
        told.interrupted(len(race.trials))
        race.end = "interrupted"
    race.check_it_worked()
    ranked = race.ranked()
    for candidate in _best_of_families(ranked):
        told.candidate(candidate)
    searched = time.perf_counter() - started
    dummy = fit(build({"family": "mean"}, schema, seed=seed), frame, target, weight)
    for place, candidate in enumerate(ranked, start=1):
        began = time.perf_counter()
        told.standing(replace(race.standing, doing=f"{candidate.family} on all {len(target):,} rows"))
        try:
            fitted = _fitted(candidate.spec, race.rows)
            fit_seconds = time.perf_counter() - began
            compiled = compile_verified(fitted, schema=schema, frame=frame, target=target)
            _check_cost(compiled, len(schema.columns))
            storable(fitted)
        except CompilingError as error:
            told.refusal(candidate, error)
            if place == len(ranked):
                raise
            continue
        break
    table = pd.DataFrame(race.trials)
    ended = race.ended_in_words()
    return Choice(candidate, tuple(ranked), fitted, compiled, dummy, fit_seconds, searched, table, ended)


class Race:
    """The trials so far on rows of one size, and when to stop."""

    def __init__(
        self,
        rows: Rows,
        task: portfolio.Task,
        budget: Budget,
        told: Callable[[Standing], None] = lambda _: None,
    ) -> None:
        self.all_rows = self.rows = rows
        self._told = told
        self._made = self._began = time.perf_counter()
        self.task = task
        self.budget = budget
        self.stop_if_told: Callable[[], None] = lambda: None
        self.candidates: list[Candidate] = []
        self.trials: list[dict[str, Any]] = []
        self.end = "by time"
        self._under_way = 0
        self._leader = np.empty(0)
        self._since_gain = 0

    def run(self, warm: Spec | None) -> None:
        """Try what there is to try, on ever more rows."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        sizes = [size for size in SAMPLE_ROWS if size < 0.75 * len(self.all_rows.target)]
        total = self.budget.seconds * SEARCH_SHARE
        with ExitStack() as stack:
            self._move_to(sizes[0] if sizes else len(self.all_rows.target))
            self._try_obvious(warm)
            self._began = time.perf_counter()
            worth = cores > 1 and total > 5.0 and self.budget.trials > cores
            pool = stack.enter_context(Pool(self.rows, cores)) if worth else None
            phase = self._began + total * (0.5 if sizes else 1.0)
            self._try_all(self._asks(), pool, phase)
            for place, size in enumerate([*sizes[1:], len(self.all_rows.target)] if sizes else []):
                before = self.rows, self.candidates
                finalists = [(candidate.spec, _tell_nobody) for candidate in self._finalists()]
                self._move_to(size)
                if pool:
                    pool = stack.enter_context(Pool(self.rows, cores))
                share = 0.75 if place < len(sizes) - 1 else 1.0
                self._try_all(iter(finalists), pool, self._began + total * share)
                known = [candidate.spec for candidate in self.candidates]
                if not finalists or finalists[0][0] not in known:  # the time was too short for so many rows
                    self.rows, self.candidates = before
                    break

    @property
    def standing(self) -> Standing:
        """How far it is."""
        families = len({trial["family"] for trial in self.trials})
        best = min(self.candidates, key=lambda candidate: candidate.cv_rmse, default=None)
        ends_after = self._began - self._made + self.budget.seconds * SEARCH_SHARE
        return Standing(len(self.trials), families, best, len(self.rows.target), ends_after)

    @property
    def _obvious(self) -> list[Spec]:
        return [portfolio.directed(spec, self.task) for spec in OBVIOUS if portfolio.fits(spec, self.task)]

    def _try_obvious(self, warm: Spec | None) -> None:
        """Try the champion's settings and what anybody would, on few folds where one takes long."""
        known = [warm] if warm and portfolio.fits(warm, self.task) and warm not in self._obvious else []
        until = time.perf_counter() + self.budget.seconds * (1.0 - SEARCH_SHARE)
        for spec in (*known, *self._obvious):
            out_of_fold, seconds = np.full(len(self.rows.target), np.nan), 0.0
            for result in folds_of(spec, self.rows):
                self.stop_if_told()
                seconds += result.seconds
                if result.failure:
                    self._note(spec, _tell_nobody, np.nan, seconds, result.failure)
                    break
                out_of_fold[self.rows.folds[result.fold][1]] = result.predicted
                if time.perf_counter() > until:
                    break
            if np.isfinite(out_of_fold).any():
                self._finish(_candidate(spec, out_of_fold, self.rows, seconds), _tell_nobody)

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

    def _move_to(self, size: int) -> None:
        """Go on with so many rows; what fewer rows said no longer compares."""
        self.rows = self.all_rows.sample(size)
        self.candidates, self._since_gain = [], 0
        self._leader = np.full(len(self.rows.target), np.nan)  # squared errors of the best so far
        self._try_here({"family": "mean", "params": {}})

    def _finalists(self) -> list[Candidate]:
        ordered = self.ranked(blend=False)
        return [candidate for candidate in ordered if candidate.family != "mean"][:FINALISTS]

    def _asks(self) -> Iterator[Ask]:
        """Yield what to try: known settings, then Optuna's, each with what is to be told of it."""
        for spec in portfolio.first(self.task):
            if self._is_enough:
                return
            if spec not in self._obvious:
                yield spec, _tell_nobody
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Optuna's, about its own experiments
            study = _study(self.rows.seed)
        while not self._is_enough:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as above
                trial = study.ask()
                spec = portfolio.proposed(trial, self.task)
            yield spec, partial(_tell, study, trial)

    @property
    def _is_enough(self) -> bool:
        if len(self.trials) > self.budget.trials:
            self.end = "by the number of trials"
        elif self._since_gain >= PATIENCE:
            self.end = f"as {PATIENCE} settings in a row won nothing"
        else:
            return False
        return True

    def _try_all(self, asks: Iterator[Ask], pool: Pool | None, until: float) -> None:
        while time.perf_counter() < until or len(self.candidates) < 2:
            self.stop_if_told()
            if pool and pool.busy and not pool.idle:
                pool.listen(until - time.perf_counter() if len(self.candidates) > 1 else 1.0)
                continue
            ask = next(asks, None)
            if ask is None:
                break
            spec, tell = ask
            watch = self._watch(spec, tell)
            if pool:
                pool.give(spec, watch)
            else:
                for result in folds_of(spec, self.rows):
                    if not watch(result):
                        break
        while pool and pool.busy and time.perf_counter() < until:
            self.stop_if_told()
            pool.listen(until - time.perf_counter())
        self._under_way += pool.busy if pool else 0

    def _try_here(self, spec: Spec) -> None:
        watch = self._watch(spec, _tell_nobody)
        for result in folds_of(spec, self.rows):
            watch(result)

    def _watch(self, spec: Spec, tell: Callable[[float], None]) -> Callable[[FoldResult], bool]:
        """Return what collects a trial's folds, and ends a hopeless one."""
        rows, seconds = self.rows, [0.0]
        out_of_fold = np.full(len(rows.target), np.nan)

        def watch(result: FoldResult) -> bool:
            seconds.append(result.seconds)
            if result.failure or rows is not self.rows:
                self._note(spec, tell, np.nan, sum(seconds), result.failure)
                return False
            out_of_fold[rows.folds[result.fold][1]] = result.predicted
            candidate = _candidate(spec, out_of_fold, rows, sum(seconds))
            if result.fold == len(rows.folds) - 1:
                self._finish(candidate, tell)
            elif self._is_hopeless(out_of_fold):
                self._note(spec, tell, candidate.cv_rmse, sum(seconds), f"after fold {result.fold + 1}")
                return False
            return True

        return watch

    def _is_hopeless(self, out_of_fold: NDArray[np.float64]) -> bool:
        squared = (out_of_fold - self.rows.target) ** 2
        known = np.isfinite(squared) & np.isfinite(self._leader)
        if not known.any() or len(self.candidates) < 2:
            return False
        worse, weight = squared[known] - self._leader[known], of(self.rows.weight, known)
        beyond = mean(worse, weight) > HOPELESS_Z * spread(worse, weight) / np.sqrt(worse.size)
        return bool(mean(squared[known], weight) > HOPELESS * mean(self._leader[known], weight) and beyond)

    def _finish(self, candidate: Candidate, tell: Callable[[float], None]) -> None:
        before = min((other.cv_rmse for other in self.candidates), default=np.inf)
        self.candidates.append(candidate)
        self._note(candidate.spec, tell, candidate.cv_rmse, candidate.fit_seconds, "")
        if candidate.cv_rmse < before:
            self._leader = (candidate.out_of_fold - self.rows.target) ** 2
        if candidate.cv_rmse < before * (1.0 - GAIN):
            self._since_gain = 0

    def _note(
        self, spec: Spec, tell: Callable[[float], None], rmse: float, seconds: float, failure: str
    ) -> None:
        self._since_gain += 1
        tell(rmse)
        words = json.dumps(dict(spec.get("params", {})))
        trial = {"family": spec["family"], "cv_rmse": rmse, "seconds": seconds, "rows": len(self.rows.target)}
        self.trials.append(trial | {"left": failure, "params": words})
        self._told(self.standing)

    def ranked(self, *, blend: bool = True) -> list[Candidate]:
        """Return the candidates, the chosen one first, those too slow to fit last."""
        affordable = [each for each in self.candidates if self._full_fit(each) <= self._fit_seconds]
        if all(each.family == "mean" for each in affordable):  # it is no answer because it is cheap
            affordable = self.candidates
        ordered = sorted(affordable, key=lambda candidate: candidate.cv_rmse)
        if blend and len(ordered) > 2:
            ordered += self._blends(ordered)
            ordered.sort(key=lambda candidate: candidate.cv_rmse)
        winner = _simplest(ordered, self.rows)
        return [winner, *(candidate for candidate in ordered if candidate is not winner)]

    @property
    def _fit_seconds(self) -> float:
        return max(5.0, self.budget.seconds * (1.0 - SEARCH_SHARE))

    def _full_fit(self, candidate: Candidate) -> float:
        fitted = sum(len(fit) for fit, _ in self.rows.folds)
        return candidate.fit_seconds * len(self.all_rows.target) / max(fitted, 1)

    def _blends(self, ordered: list[Candidate]) -> list[Candidate]:
        """Return the blend of the best, if two take part, judged by weights found on the other folds."""
        members = self._members(ordered)
        if len(members) < 2:
            return []
        predicted = np.column_stack([member.out_of_fold for member in members])
        known = np.asarray(np.isfinite(predicted).all(axis=1))
        weights = self._blend_weights(predicted, known)
        used = [(member, float(weight)) for member, weight in zip(members, weights, strict=True) if weight]
        if len(used) < 2:
            return []
        crossed = np.full(len(self.rows.target), np.nan)
        for _, validate in self.rows.folds:
            others = known.copy()
            others[validate] = False
            if others.any():
                crossed[validate] = predicted[validate] @ self._blend_weights(predicted, others)
        if not np.isfinite(crossed).any():  # one of them has no more than a fold in common with the others
            return []
        spec = {
            "family": "blend",
            "members": [member.spec for member, _ in used],
            "weights": [weight for _, weight in used],
        }
        seconds = sum(member.fit_seconds for member, _ in used)
        return [_candidate(spec, crossed, self.rows, seconds)]

    def _blend_weights(self, predicted: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
        return blend_weights(predicted[known], self.rows.target[known], of(self.rows.weight, known))

    def _members(self, ordered: list[Candidate]) -> list[Candidate]:
        """Return the best of each family and then the best, as many as can be fitted in time."""
        members: list[Candidate] = []
        left = self._fit_seconds
        for candidate in (*_best_of_families(ordered), *ordered):
            cost = self._full_fit(candidate)
            new = all(candidate is not member for member in members)
            if new and cost <= left and _level(candidate) in (1, 2) and len(members) < BLEND_MEMBERS:
                members.append(candidate)
                left -= cost
        return members


def blend_weights(
    predicted: NDArray[np.float64], target: NDArray[np.float64], weight: Weight = None
) -> NDArray[np.float64]:
    """Return weights of shape (n_members,), none negative, that sum to 1.

    Parameters
    ----------
    predicted : float64 array of shape (n_rows, n_members)
        Each member's out-of-fold predictions.
    target : float64 array of shape (n_rows,)
    weight : float64 array of shape (n_rows,), optional
        How much each row's squared error counts.

    Notes
    -----
    Greedy selection with replacement (Caruana et al. 2004, ICML, "Ensemble selection from libraries of
    models"): steadier than least squares where rows are few and the target's tail is long.
    """
    residuals = predicted - target[:, None]
    products = residuals.T @ (residuals if weight is None else weight[:, None] * residuals)
    counts = np.zeros(predicted.shape[1])
    cross = np.zeros(predicted.shape[1])  # products @ counts
    for _ in range(BLEND_STEPS):
        best = int(np.argmin(2.0 * cross + np.diag(products)))
        counts[best] += 1.0
        cross += products[best]
    return counts / BLEND_STEPS


def _candidate(spec: Spec, out_of_fold: NDArray[np.float64], rows: Rows, seconds: float) -> Candidate:
    known = np.isfinite(out_of_fold)
    squared, weight = (out_of_fold[known] - rows.target[known]) ** 2, of(rows.weight, known)
    rmse = float(np.sqrt(mean(squared, weight)))
    standard_error = float(spread(squared, weight) / (2.0 * rmse * np.sqrt(squared.size))) if rmse else 0.0
    return Candidate(spec, rmse, standard_error, seconds, out_of_fold)


def _simplest(ordered: list[Candidate], rows: Rows) -> Candidate:
    """Return the simplest candidate whose squared errors are within one standard error of the best one's."""
    best = ordered[0]
    for level in range(_level(best)):
        rival = next((candidate for candidate in ordered if _level(candidate) == level), None)
        if rival is None:
            continue
        known = np.isfinite(best.out_of_fold) & np.isfinite(rival.out_of_fold)
        ours, theirs = ((each.out_of_fold[known] - rows.target[known]) ** 2 for each in (best, rival))
        worse, weight = theirs - ours, of(rows.weight, known)
        if mean(worse, weight) <= spread(worse, weight) / np.sqrt(worse.size):
            return rival
    return best


def _level(candidate: Candidate) -> int:
    return SIMPLICITY.get(candidate.family, 2)


def _best_of_families(ordered: list[Candidate]) -> list[Candidate]:
    best: dict[str, Candidate] = {}
    for candidate in ordered:
        best.setdefault(candidate.family, candidate)
    return list(best.values())


def _fitted(spec: Spec, rows: Rows) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it was chosen as it is
        return fit(build(spec, rows.schema, seed=rows.seed), rows.frame, rows.target, rows.weight)


def _check_cost(compiled: Verified, columns: int) -> None:
    """Raise TooCostly for a graph beyond the size and time that a scorer may take."""
    if len(compiled.graph) > MOST_BYTES:
        raise TooCostly(what="bytes", found=len(compiled.graph), limit=MOST_BYTES)
    session, row, times = Session(compiled.graph), np.zeros((1, columns)), []
    for _ in range(50):
        began = time.perf_counter()
        session.predict(row)
        times.append(time.perf_counter() - began)
    if (microseconds := float(np.median(times)) * 1e6) > MOST_ROW_MICROSECONDS:
        raise TooCostly(what="µs a row", found=microseconds, limit=MOST_ROW_MICROSECONDS)


def _study(seed: int) -> optuna.Study:
    import optuna  # noqa: PLC0415 - half a second that a short search never needs

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    )


def _tell(study: optuna.Study, trial: optuna.Trial, rmse: float) -> None:
    from optuna.trial import TrialState  # noqa: PLC0415 - as above

    if np.isfinite(rmse):
        study.tell(trial, rmse)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def _tell_nobody(_: float) -> None:
    """Let a setting pass that Optuna did not ask for."""
