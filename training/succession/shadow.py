"""Is a challenger better than the champion, on rows that were predicted after it had learned its last.

The champion's predictions are those that were really answered; the challenger scores the same rows again. A draw is
the difference of the two squared errors, of a row, or the mean of a day's rows where rows of a day are not
independent. Above zero the challenger is better. Each day may be looked at: see `training.succession.sequences`.

It knows arrays by days. Rows that the challenger has learned from must not be among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.succession.sequences import RISK, MeanSequence, reach

Floats = NDArray[np.float64]
Word = Literal["better", "worse", "no difference", "not yet"]

FEWEST_ROWS, FEWEST_DAYS = 200, 30
"""Before which nothing is said; with day means both."""

MOST_ROWS, MOST_DAYS = 5_000, 120
"""That may be planned: a difference that takes more is one that nobody would notice."""

PATIENCE = 4
"""Times the planned draws, after which no difference is what was found."""

POWER = 0.84
"""Standard errors beyond the interval's end at which four of five true differences are seen."""


@dataclass(frozen=True)
class Plan:
    """How a challenger is judged; fixed before the first of the rows that judge it.

    Attributes
    ----------
    independent : bool
        Whether a row is a draw, or a day.
    draws : int
        That it will probably take.
    """

    independent: bool
    draws: int

    @property
    def unit(self) -> str:
        """What a draw is."""
        return "rows" if self.independent else "days"

    @property
    def fewest(self) -> int:
        """The draws before which nothing is said."""
        return FEWEST_ROWS if self.independent else FEWEST_DAYS


@dataclass(frozen=True)
class Verdict:
    """What the rows so far say of a challenger."""

    word: Word
    sentence: str


class Shadow:
    """The judgement of one challenger, going on where its state ends.

    Attributes
    ----------
    until : str
        The last day that was taken, an ISO date; nothing before the first.
    rows : int
        That were compared.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.until, self.rows = "", 0
        self._sequence = MeanSequence(plan.draws, plan.fewest)

    def see(self, day: str, actual: Floats, champion: Floats, challenger: Floats) -> None:
        """Take one day's rows, each of shape (n_rows,), later than all before; rows without a truth are left out."""
        known = np.isfinite(actual) & np.isfinite(champion) & np.isfinite(challenger)
        differences = gains(actual[known], champion[known], challenger[known])
        self.until = day
        self.rows += len(differences)
        self._sequence.see(differences if self.plan.independent else _mean(differences))

    @property
    def verdict(self) -> Verdict:
        """What is known by now."""
        count, (low, high) = self._sequence.count, self._sequence.interval
        has_enough = count >= self.plan.fewest and self.rows >= FEWEST_ROWS
        seen = f"{count:,} {self.plan.unit}" + ("" if self.plan.independent else f" with {self.rows:,} rows")
        if not has_enough:
            needed = f"{self.plan.fewest:,} {self.plan.unit}"
            needed += "" if self.plan.independent else f" with {FEWEST_ROWS:,} rows"
            return Verdict("not yet", f"{seen} so far, nothing is said before {needed}")
        result = (
            f"over {seen} its mean squared error is lower by {self._sequence.mean:.4g} [{low:.4g}, {high:.4g}]; "
            f"the chance that this interval ever misses is about {100 * RISK:g} %"
        )
        if low > 0.0:
            return Verdict("better", result)
        if high < 0.0:
            return Verdict("worse", result)
        most = PATIENCE * self.plan.draws
        if count >= most:
            return Verdict("no difference", f"{result}; {most:,} {self.plan.unit} were to show one")
        return Verdict("not yet", f"{result}; decided at the latest after {most:,} {self.plan.unit}")

    @property
    def figures(self) -> dict[str, float]:
        """What is known by now, by MLflow's names."""
        low, high = self._sequence.interval
        figures = {"shadow_rows": float(self.rows), "shadow_gain": self._sequence.mean}
        return figures | ({"shadow_gain_low": low, "shadow_gain_high": high} if np.isfinite(low) else {})

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "independent": self.plan.independent,
            "draws": self.plan.draws,
            "until": self.until,
            "rows": self.rows,
            "sequence": self._sequence.as_dict(),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Shadow:
        """Go on with a state that `as_dict` wrote; raises KeyError, TypeError or ValueError where it is none."""
        shadow = cls(Plan(bool(written["independent"]), int(written["draws"])))
        shadow.until, shadow.rows = str(written["until"]), int(written["rows"])
        shadow._sequence.restore(written["sequence"])
        return shadow


def gains(actual: Floats, champion: Floats, challenger: Floats) -> Floats:
    """Return by how much the challenger's squared errors are smaller, shape (n_rows,)."""
    return np.asarray(np.square(actual - champion) - np.square(actual - challenger), dtype=np.float64)


def planned(earlier: Floats, *, independent: bool) -> Plan:
    """Return how many draws a challenger will take, by draws on rows that neither of the two learned from.

    Notes
    -----
    With mean m and standard deviation s of a draw, the interval's end passes zero in four of five cases where
    m = s (reach(t) + 0.84 / sqrt(t)). Draws that show no gain ask for the most.
    """
    least, most = (FEWEST_ROWS, MOST_ROWS) if independent else (FEWEST_DAYS, MOST_DAYS)
    spread = float(earlier.std(ddof=1)) if len(earlier) > 1 else 0.0
    mean = float(earlier.mean()) if len(earlier) else 0.0
    if mean <= 0.0 or not spread:
        return Plan(independent, most)
    draws = least
    while draws < most and mean < spread * (reach(draws, planned=draws) + POWER / np.sqrt(draws)):
        draws += max(draws // 20, 1)
    return Plan(independent, min(draws, most))


def _mean(differences: Floats) -> Floats:
    return differences.mean(keepdims=True) if len(differences) else differences
