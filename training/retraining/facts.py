"""The facts that decide whether to train: from captured rows, the champion's run and the registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from scipy.stats import t

from training.commands import watches
from training.lessons import Labelled, PredictedDay, day_means, gather
from training.records import model_registry, tag_names, tracking
from training.retraining.asked import Asked
from training.retraining.memory import Memory
from training.succession import Costs, Facts

DOUBLING = ("rmse_change_of_last_doubling_low", "rmse_change_of_last_doubling_high")
FEWEST_DRAWS = 5
"""Rows, or days, below which no bound of the live error is given."""

RISK = 0.025
"""That the live error is below its lower bound."""


class Traffic:
    """Counts the rows that were predicted while days pass by, kept or not, and the files that cannot be used."""

    def __init__(self) -> None:
        self.left_out = 0
        self._rows, self._days = 0.0, set[str]()

    def counting(self, days: Iterator[tuple[str, PredictedDay]]) -> Iterator[tuple[str, PredictedDay]]:
        """Yield versions and days, and count."""
        for version, day in days:
            self.left_out += day.left_out
            if len(day.predictions):
                self._rows += len(day.predictions) / float(np.mean(day.shares))
                self._days.add(day.day)
            yield version, day

    @property
    def rows_a_day(self) -> float:
        """On days with any."""
        return self._rows / max(len(self._days), 1)


def labelled_rows(asked: Asked, traffic: Traffic | None = None) -> Labelled:
    """Return all captured rows with an outcome that counts, of every version that had the champion's columns."""
    days = asked.newest_first(model_registry.versions(asked.name))
    return gather((traffic or Traffic()).counting(days), list(asked.champion.schema.names))


def new_rows(asked: Asked, rows: Labelled) -> Labelled:
    """Return those that the champion cannot have learned from: later than its last, or than its first answer."""
    learned_until = asked.champion.tags.get(tag_names.LEARNED_UNTIL, "")
    if learned_until:
        return rows.take(rows.days > learned_until)
    its = rows.days[rows.versions == asked.champion.number]
    return rows.take(rows.days >= its[0] if len(its) else np.zeros(len(rows), dtype=np.bool_))


def facts_without_rows(asked: Asked, memory: Memory) -> Facts:
    """Return what is known before any row was read, as if enough had come since an alarm."""
    watched = memory.watched
    return Facts(
        alarms={kind: f"since {alarm.since}: {alarm.cause}" for kind, alarm in asked.alarms.items()},
        learned_rows=0,
        new_rows=0,
        since_training=days_between(memory.trained_on, asked.matured),
        in_shadow=watched.challenger if watched else "",
        shadow_learned=(watched.since, watched.learned_until) if watched and not watched.by_hand else None,
        changed_on=asked.changed_on,
        enough=asked.wishes.learn == "auto",
    )


def facts_of(asked: Asked, memory: Memory, rows: Labelled, traffic: Traffic) -> Facts:
    """Return what the rule is asked with."""
    metrics = tracking.recorded_metrics(asked.champion.trained_in)
    new = new_rows(asked, rows)
    doubling = [metrics[name] for name in DOUBLING if name in metrics]
    return replace(
        facts_without_rows(asked, memory),
        learned_rows=int(metrics.get("rows_train", 0)),
        new_rows=len(new),
        enough=asked.wishes.learn == "auto" and int((rows.days >= asked.changed_on).sum()) >= asked.enough,
        tried_rows=int((new.days <= memory.challenged_on).sum()),
        doubling=(doubling[0], doubling[1]) if len(doubling) == len(DOUBLING) else None,
        age=_age(asked, new.days.tolist()),
        max_age=None if asked.wishes.max_age is None else asked.wishes.max_age / timedelta(days=1),
        since_challenger=days_between(memory.challenged_on, asked.matured),
        live=_live(asked, new),
        held_out=metrics.get("holdout_mae", float("nan")),
        rows_a_day=traffic.rows_a_day,
        left_out=traffic.left_out,
        unit=asked.champion.schema.target_unit or "",
    )


def costs_of(asked: Asked) -> Costs | None:
    """Return what was said of costs, None where not both were."""
    wishes = asked.wishes
    if wishes.value is None or wishes.cost is None:
        return None
    horizon = wishes.horizon or watches.Retraining.horizon
    assert horizon is not None  # its default
    return Costs(wishes.value, wishes.cost, horizon / timedelta(days=1))


def _age(asked: Asked, days: Sequence[str]) -> float:
    """Return the champion's age: since it was registered, or since its first answer where clocks say otherwise."""
    registered = (datetime.now(tz=UTC) - model_registry.made_at(asked.champion)) / timedelta(days=1)
    return max(registered, days_between(min(days, default=""), asked.matured) or 0.0)


def days_between(first: str, last: str) -> float | None:
    """Return the days from one ISO date to another, None where one is missing."""
    if not first or not last:
        return None
    return float((date.fromisoformat(last) - date.fromisoformat(first)).days)


def _live(asked: Asked, new: Labelled) -> float:
    """Return the lower bound of the champion's mean absolute error on new rows, NaN where they are too few."""
    its = new.take(new.versions == asked.champion.number)
    errors = np.abs(its.actual - its.predictions)
    draws = errors if asked.independent else day_means(errors, its.numbers_of_days)
    if len(draws) < FEWEST_DRAWS:
        return float("nan")
    reach = float(t.ppf(1.0 - RISK, len(draws) - 1))  # normal draws: 1.96 of few is wrong more often
    return float(draws.mean() - reach * draws.std(ddof=1) / np.sqrt(len(draws)))
