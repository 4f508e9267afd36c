"""Has the error risen: a bet that the mean loss is above what the holdout promises, with any dependence allowed.

The loss of a row is min(|actual - predicted|, clip) / clip, between 0 and 1. For a limit tau, wealth multiplied by
1 + w lambda (loss - tau) with 0 <= w <= 1 and 0 <= lambda <= 1 / tau stays above zero. It does not grow on average as
long as the mean loss, given the past, is at most tau
(Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B 86(1)). Days that take
turns, some worse and some better than tau, win nothing either where w is their number of rows and the mean over all
rows is at most tau: log(1 + x) <= x, so the logarithm of the wealth is at most lambda sum w (loss - tau).
Nothing is assumed of the losses' distribution, nor that they are independent. Ville's inequality gives the rate of
false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.monitoring.evidence.wealth import Bettors

Floats = NDArray[np.float64]
GroupIds = NDArray[np.uint64]

BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Shares of the largest bet, 1 / tau, over which the capital is spread."""

CLIP = 0.995
"""The quantile of the known absolute errors at which a loss ends: one wild row is one loss."""


@dataclass(frozen=True)
class Limit:
    """What the mean loss may be.

    Attributes
    ----------
    clip : float
        In the target's unit.
    upper : float
        The bound on the mean loss that the held-out rows leave, in [0, 1].
    rows : int
        How many there were, or groups of them.
    """

    clip: float
    upper: float
    rows: int

    def losses(self, absolute: Floats) -> Floats:
        """Return the losses of absolute errors, shape (n_rows,)."""
        return np.minimum(absolute, self.clip) / self.clip

    def tau(self, worsening: float) -> float:
        """Return the limit with a tolerated worsening, a share."""
        return min(self.upper * (1.0 + worsening), 1.0)


def means(losses: Floats, groups: GroupIds | None) -> Floats:
    """Return each group's mean loss, shape (n_groups,); the losses as they are without groups.

    >>> means(np.array([0.0, 1.0, 0.5]), np.array([7, 7, 2], dtype=np.uint64)).tolist()
    [0.5, 0.5]
    """
    if groups is None:
        return losses
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(index, losses) / counts, dtype=np.float64)


def limit_of(absolute: Floats, *, risk: float, groups: GroupIds | None = None) -> Limit | None:
    """Return the limit that held-out errors leave; None where there are too few, or no errors.

    Parameters
    ----------
    absolute : float64 array of shape (n_rows,)
    groups : array of shape (n_rows,), optional
        Rows of one group err together: their mean loss is one.

    Notes
    -----
    The empirical Bernstein bound (Maurer & Pontil 2009, COLT, theorem 4): with n losses of mean m and variance v, the
    mean is below ``m + sqrt(2 v ln(2 / risk) / n) + 7 ln(2 / risk) / (3 (n - 1))`` with chance 1 - risk.
    """
    if len(absolute) < 2 or not (clip := float(np.quantile(absolute, CLIP))):
        return None
    losses, log = means(np.minimum(absolute, clip) / clip, groups), np.log(2.0 / risk)
    if (n := len(losses)) < 2:
        return None
    upper = losses.mean() + np.sqrt(2.0 * losses.var(ddof=1) * log / n) + 7.0 * log / (3.0 * (n - 1))
    return Limit(clip, float(min(upper, 1.0)), n)


class HarmEvidence(Bettors):
    """The wealth of the bettors against one limit."""

    def __init__(self, tau: float) -> None:
        super().__init__(len(BETS))
        self.tau = tau

    def see_day(self, loss: float, share: float = 1.0) -> None:
        """Bet on one day's mean loss: rows of a day may err together, days are taken one by one.

        Parameters
        ----------
        loss : float
        share : float
            Of the rows of the largest day: less is bet on a day of few rows, for the limit is one of a mean over rows.
        """
        self.open_day()
        self.win_day(loss, share)

    def win_day(self, loss: float, share: float) -> None:
        """Take what the bets on a day come to."""
        self.win(np.log1p(share * np.array(BETS) / self.tau * (loss - self.tau)))
