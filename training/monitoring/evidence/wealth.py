"""What bettors own who were given their capital by days: the account of day j gets 1 / (j (j + 1)) of it.

The shares of all days sum to one, so the wealth with what is still to be given begins at 1 and does not grow on average
where no single bet does. A change that comes after a year still meets a bettor who lost nothing before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Bettors:
    """Some bettors, each with a share of the capital.

    Attributes
    ----------
    days : int
        For which capital was given.
    log_wealth : float64 array of shape (n_bettors,)
        Natural logarithms; -inf before the first day.
    """

    def __init__(self, count: int) -> None:
        self.days = 0
        self.log_wealth = np.full(count, -np.inf)

    @property
    def log_mean(self) -> float:
        """The logarithm of the mean wealth: what who splits the capital evenly owns, whatever depends on what."""
        return float(np.logaddexp.reduce(self.log_wealth) - np.log(len(self.log_wealth)))

    def open_day(self) -> None:
        """Give each the capital of one more day."""
        self.days += 1
        self.log_wealth = np.logaddexp(self.log_wealth, -np.log(self.days * (self.days + 1.0)))

    def win(self, log_factors: NDArray[np.float64]) -> None:
        """Multiply each wealth by what a bet came to."""
        self.log_wealth = self.log_wealth + log_factors

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "days": self.days,
            "log_wealth": [None if np.isinf(each) else each for each in self.log_wealth.tolist()],
        }

    def restore(self, written: Mapping[str, Any]) -> None:
        """Take up a state that `as_dict` wrote; raises KeyError, TypeError or ValueError where it does not fit."""
        log_wealth = np.array([-np.inf if each is None else float(each) for each in written["log_wealth"]])
        if log_wealth.shape != self.log_wealth.shape:
            raise ValueError("is the state of other bettors")
        self.days, self.log_wealth = int(written["days"]), log_wealth
