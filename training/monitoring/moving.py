"""How much a column counts: what it adds to predictions, its sign aside, at the version's making and on the last days.

A column that moved and counts makes other predictions; one that moved and hardly counts makes none. It proves nothing
and raises no alarm. Rows are explained only once somebody wants to know: when an alarm names a column, and when what
the last days showed is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.figures import number, with_unit
from training.monitoring.lately import MOST_DAYS

Floats = NDArray[np.float64]

HARDLY = 0.05
"""Of what the strongest column adds: what adds less hardly matters."""

Explain = Callable[[Floats], Floats | None]
"""Packed rows to each column's mean absolute contribution, shape (n_columns,); None where nothing can be said."""

Day = tuple[Floats | None, list[float] | None]
"""A day's rows that are not explained yet, or what each column added."""


@dataclass(frozen=True)
class Counted:
    """What a column adds to predictions on average, its sign aside: as the version was made, and lately."""

    before: float
    now: float
    matters: bool

    def in_words(self, unit: str | None) -> str:
        """Say it.

        >>> Counted(1.8, 1.9, True).in_words("min")
        'it matters: it adds 1.9 min to a prediction on average, 1.8 before'
        """
        word = "it matters" if self.matters else "it hardly matters"
        now, before = with_unit(number(self.now, 2), unit), number(self.before, 2)
        return f"{word}: it adds {now} to a prediction on average, {before} before"


class Counts:
    """What the columns of one version add on its last days.

    Parameters
    ----------
    before : mapping of column to float
        Their mean absolute contributions when the version was made, all columns in their order; empty where unknown.
    """

    def __init__(self, before: Mapping[str, float], explain: Explain | None) -> None:
        self._before, self._explain = before, explain if before else None
        self._names = list(before)
        self._days: list[Day] = []

    def see_day(self, matrix: Floats) -> None:
        """Take one day's rows; they are explained when they are asked for."""
        if self._explain is not None and len(matrix):
            self._days = [*self._days, (matrix, None)][-MOST_DAYS:]

    def on_last_day(self, name: str) -> Counted | None:
        """Return what a column added on the last day; None where that is not known."""
        return self._counted(name, self._means(self._days[-1:]))

    def lately(self, name: str) -> Counted | None:
        """Return what a column added on the last days; None where that is not known."""
        return self._counted(name, self._means(self._days))

    def as_list(self) -> list[list[float]]:
        """Return each day's means as JSON."""
        return self._means(self._days)

    def restore(self, written: Sequence[Sequence[float]]) -> None:
        """Take up what `as_list` wrote; raises TypeError or ValueError where it does not fit."""
        days: list[Day] = [(None, [float(mean) for mean in day]) for day in written]
        if self._explain is not None and any(len(means or ()) != len(self._names) for _, means in days):
            raise ValueError("has contributions of other columns")
        self._days = days[-MOST_DAYS:] if self._explain is not None else []

    def _means(self, days: Sequence[Day]) -> list[list[float]]:
        """Return the means of days, explaining those that nobody asked for before."""
        first = len(self._days) - len(days)
        for index, (matrix, means) in enumerate(days, start=first):
            if means is None and matrix is not None and self._explain is not None:
                result = self._explain(matrix)
                self._days[index] = (None, None if result is None else result.tolist())
        return [means for _, means in self._days[first:] if means is not None]

    def _counted(self, name: str, days: Sequence[Sequence[float]]) -> Counted | None:
        if name not in self._before or not days:
            return None
        now = dict(zip(self._names, np.mean(days, axis=0).tolist(), strict=True))
        most = {each: max(now[each], self._before[each]) for each in self._names}
        return Counted(self._before[name], now[name], most[name] >= HARDLY * max(most.values()))
