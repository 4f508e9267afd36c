"""Rows that come for days that were taken already: nobody watches them, and how many there are is said.

A replay dates its rows back by their events; a worker that was cut off sends a day's last file a day later. A day's
count is taken with the day, so the difference to what is there now came late. Older days than `LATELY` nobody counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from training.arrivals.day import Arrivals

LATELY = 35
"""Days before the last one that was taken."""


@dataclass
class Late:
    """How many rows each of the last days had when it was taken, and how many came later.

    Attributes
    ----------
    is_new : bool
        Nobody has counted yet, so that what is there was there before.
    """

    taken: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    is_new: bool = False

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Late:
        """Read what `as_dict` wrote from a state; one from before has nothing."""
        return cls(dict(state.get("taken", {})), dict(state.get("late", {})), "taken" not in state)

    def found(self, arrivals: Arrivals, until: str) -> dict[str, int]:
        """Return how many rows came late, so far, for the days for which some did since the last call."""
        first = (date.fromisoformat(until) - timedelta(days=LATELY)).isoformat() if until else ""
        self.taken, self.late = (
            {day: rows for day, rows in known.items() if day >= first} for known in (self.taken, self.late)
        )
        there = {day: arrivals.count(day) for day in arrivals.days if first <= day <= until}
        if self.is_new:
            self.taken, self.is_new = there, False
        more = {day: rows - self.taken.get(day, 0) for day, rows in there.items()}
        result = {day: rows for day, rows in more.items() if rows > self.late.get(day, 0)}
        self.late |= result
        return result

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"taken": self.taken, "late": self.late}
