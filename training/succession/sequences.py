"""An interval for a mean that may be looked at after every draw: an asymptotic confidence sequence.

Let S be the sum of the first t draws' deviations from their true mean, in standard deviations. If the draws were
normal, exp(l S - l^2 t / 2) would be a martingale for each l, and so is its mean over l ~ N(0, r^2):

    M_t = (1 + t r^2)^(-1/2) exp(r^2 S^2 / (2 (1 + t r^2))),     M_0 = 1.

By Ville's inequality M ever reaches 1 / a with chance a at most. Solved for S that is, at every t at once,

    |mean of the draws - true mean| < sd sqrt(2 (t r^2 + 1) / (t^2 r^2) log(sqrt(t r^2 + 1) / a)).

Draws of another distribution with more than two moments follow a normal walk ever closer (strong approximation), and
the sd may be estimated on the way: then the statement holds in the limit of a late first look (Waudby-Smith, Arbour,
Sinha, Kennedy & Ramdas 2024, Annals of Statistics 52(6), arXiv 2103.06476, theorem 2.2). So nothing is said before
`fewest` draws; tests simulate what is left of the promise there. r is chosen so that the interval is narrowest at the
number of draws that are planned: r^2 = (-2 log a + log(1 - 2 log a)) / t.

Few draws know their sd badly. So the half width is as many estimated standard errors as Student's t exceeds with the
chance with which a normal exceeds the formula's.

It assumes draws that are independent and alike. A mean that drifts is followed on average, as theorem 2.5 there says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

Floats = NDArray[np.float64]

RISK = 0.05
"""Both sides together: the chance that the interval ever misses the true mean."""


@dataclass
class MeanSequence:
    """The mean of what was drawn so far; three numbers are all that is kept.

    Attributes
    ----------
    planned : int
        Draws at which the interval is to be narrowest; fixed before the first of them.
    fewest : int
        Draws before which nothing is said.
    count, mean, deviations
        Of the draws: their number, their mean, and the sum of their squared deviations from it.
    """

    planned: int
    fewest: int
    count: int = 0
    mean: float = 0.0
    deviations: float = 0.0

    def see(self, draws: Floats) -> None:
        """Take draws of shape (n_draws,), by the pairwise update of Chan, Golub & LeVeque (1979)."""
        if not len(draws):
            return
        total, mean = self.count + len(draws), float(draws.mean())
        apart = mean - self.mean
        self.deviations += float(np.square(draws - mean).sum())
        self.deviations += apart * apart * self.count * len(draws) / total
        self.mean += apart * len(draws) / total
        self.count = total

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the interval; without end before `fewest` draws."""
        if self.count < max(self.fewest, 2):
            return -np.inf, np.inf
        half = np.sqrt(self.deviations / (self.count - 1)) * reach(self.count, planned=self.planned)
        return self.mean - float(half), self.mean + float(half)

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {"count": self.count, "mean": self.mean, "deviations": self.deviations}

    def restore(self, written: Mapping[str, Any]) -> None:
        """Take up a state that `as_dict` wrote; raises KeyError, TypeError or ValueError where it is none."""
        self.count, self.mean = int(written["count"]), float(written["mean"])
        self.deviations = float(written["deviations"])


def reach(count: int, *, planned: int, risk: float = RISK) -> float:
    """Return the interval's half width in standard deviations that are estimated from the same `count` draws.

    >>> [round(reach(count, planned=120) / boundary(count, planned=120), 3) for count in (30, 1_000)]
    [1.11, 1.003]
    """
    errors = boundary(count, planned=planned, risk=risk) * np.sqrt(count)
    return float(t.isf(norm.sf(errors), count - 1) / np.sqrt(count))


def boundary(count: int, *, planned: int, risk: float = RISK) -> float:
    """Return the interval's half width in known standard deviations of one draw, after `count` draws.

    >>> round(boundary(1_000, planned=1_000) * 1_000**0.5, 2)  # in standard errors; 1.96 at one look
    3.04
    """
    square = (-2.0 * np.log(risk) + np.log(1.0 - 2.0 * np.log(risk))) / planned
    reached = count * square + 1.0
    return float(np.sqrt(2.0 * reached / (count**2 * square) * np.log(np.sqrt(reached) / risk)))
