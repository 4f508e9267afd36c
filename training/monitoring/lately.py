"""What the last days showed of each view, for people: counts by bin, beside the shares that the reference had.

It proves nothing and raises no alarm: an index of stability has no known rate of false ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.monitoring.evidence import Bins

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]

MOST_DAYS = 10
"""That are kept: what moved a month ago is in the evidence."""


@dataclass(frozen=True)
class Moved:
    """How a view's rows are spread over its bins, then and now.

    Attributes
    ----------
    before, after : float64 arrays of shape (n_bins,)
        Shares.
    rows : int
        That `after` was counted on.
    stability : float
        The population stability index of the two.
    """

    name: str
    labels: tuple[str, ...]
    before: Floats
    after: Floats
    rows: int
    stability: float


class Lately:
    """Counts by bin of the last days."""

    def __init__(self, views: Sequence[Bins]) -> None:
        self._views = views
        self.days: list[list[Indexes]] = []

    def see_day(self, bins: Indexes) -> None:
        """Count one day's rows, an int array of shape (n_rows, n_views)."""
        counted = [
            np.bincount(bins[:, index], minlength=len(view.gaps)) for index, view in enumerate(self._views)
        ]
        self.days = [*self.days, counted][-MOST_DAYS:]

    def moved(self) -> list[Moved]:
        """Return what each view shows, those that moved most first; nothing before the first day."""
        if not self.days:
            return []
        totals = [np.sum(counts, axis=0) for counts in zip(*self.days, strict=True)]
        result = [moved(view, counts) for view, counts in zip(self._views, totals, strict=True)]
        return sorted(result, key=lambda each: -each.stability)

    def as_list(self) -> list[list[list[int]]]:
        """Return the counts as JSON."""
        return [[counts.tolist() for counts in day] for day in self.days]

    def restore(self, written: Sequence[Sequence[Sequence[int]]]) -> None:
        """Take up what `as_list` wrote; raises TypeError or ValueError where it does not fit."""
        widths = [len(view.gaps) for view in self._views]
        if any([len(counts) for counts in day] != widths for day in written):
            raise ValueError("has counts of other bins")
        self.days = [[np.array(counts, dtype=np.int64) for counts in day] for day in written][-MOST_DAYS:]


def moved(view: Bins, counts: Indexes) -> Moved:
    """Return how counts of a view's bins differ from its reference."""
    smooth = (counts + 0.5) / (counts + 0.5).sum()  # an empty bin has no logarithm
    after = np.asarray(counts / counts.sum(), dtype=np.float64)
    stability = stability_index(view.shares, smooth)
    return Moved(view.name, view.labels, view.shares, after, int(counts.sum()), stability)


def stability_index(before: Floats, now: Floats) -> float:
    """Return the population stability index of two shares, both above zero: the sum of (b - a) ln(b / a).

    >>> round(stability_index(np.array([0.5, 0.5]), np.array([0.6, 0.4])), 4)
    0.0405
    """
    return float(((now - before) * np.log(now / before)).sum())
