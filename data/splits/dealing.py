"""Blocks of rows dealt to sides and folds, where there are too few of them for chance to do it.

A block is rows that must stay together: twins, a group, a day. Chance gives each side its share where
blocks are many and small. Where they are few or one of them is huge, it may leave a side without a
row. Then the blocks are dealt here: each side gets its share as nearly as whole blocks allow. It
knows neither tables nor rules.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_STARTS = 64
"""Places on the circle that are tried as its beginning: behind the largest blocks, and evenly spread ones."""

NEAR = (0.5, 2.0)
"""A side that has less or more than so many times its share was not served by chance."""


class Cuts(NamedTuple):
    """Where the sides part on a circle of length 1: training rows from `start`, then calibration, then holdout.

    `learned` and `kept` are distances from `start`.
    """

    start: float
    learned: float
    kept: float

    def parts(self, places: Floats) -> NDArray[np.intp]:
        """Return 0 for training, 1 for calibration and 2 for holdout, of shape (n_rows,)."""
        from_start = (places - self.start) % 1.0 if self.start else places
        return np.digitize(from_start, [self.learned, self.kept])


def are_served(parts: NDArray[np.intp], shares: tuple[float, float, float]) -> bool:
    """Return whether each side has about its share of the rows."""
    reached = np.bincount(parts, minlength=3) / max(len(parts), 1)
    low, high = NEAR
    return all(low * share <= got <= high * share for got, share in zip(reached, shares, strict=True))


def cuts_of(places: Floats, shares: tuple[float, float, float]) -> Cuts | None:
    """Return the cuts that give each side its share of the rows as nearly as whole blocks allow.

    Parameters
    ----------
    places : float64 array of shape (n_rows,)
        In [0, 1), equal for the rows of a block.
    shares : of training, calibration and holdout rows

    Returns
    -------
    Cuts, or None for a single block. Training gets two blocks at least, where there are three: one is
    judged by the other. Two or three blocks make no calibration rows.
    """
    blocks, counts = np.unique(places, return_counts=True)
    if len(blocks) < 2:
        return None
    spread = np.linspace(0, len(blocks) - 1, min(len(blocks), MOST_STARTS)).astype(int)
    behind = (np.argsort(counts, kind="stable")[-MOST_STARTS:] + 1) % len(blocks)
    starts = np.unique(np.concatenate([spread, behind]))
    costs, best = zip(*(_dealt(np.roll(counts, -first), shares) for first in starts), strict=True)
    first = int(starts[int(np.argmin(costs))])
    learned, kept = best[int(np.argmin(costs))]
    around = np.append(np.roll(blocks, -first), blocks[first])
    gaps = (np.diff(around) % 1.0) / 2.0
    start = float((blocks[first] - gaps[-1]) % 1.0)
    ends = [float((around[last - 1] + gaps[last - 1] - start) % 1.0) for last in (learned, kept)]
    return Cuts(start, *ends)


def _dealt(counts: NDArray[np.intp], shares: tuple[float, float, float]) -> tuple[float, tuple[int, int]]:
    """Return how far the sides are from their shares, and behind which blocks training and calibration end."""
    taken = np.cumsum(counts) / counts.sum()
    if len(counts) <= 3:  # none is left for calibration
        learned = kept = np.array([len(counts) - 1])
    elif len(counts) <= MOST_STARTS:
        learned, kept = (ends + 2 for ends in np.triu_indices(len(counts) - 2, k=1))
    else:
        near = np.searchsorted(taken, [shares[0], shares[0] + shares[1]])
        learned = np.clip(near[0] + np.arange(-1, 3), 2, len(counts) - 2)
        kept = np.clip(np.maximum(near[1] + np.arange(-1, 3)[:, None], learned + 1), 3, len(counts) - 1)
        learned, kept = np.broadcast_to(learned, kept.shape).ravel(), kept.ravel()
    sides = np.stack([taken[learned - 1], taken[kept - 1] - taken[learned - 1], 1.0 - taken[kept - 1]])
    costs = np.abs(sides - np.array(shares)[:, None]).sum(axis=0)
    best = int(np.argmin(costs))
    return float(costs[best]), (int(learned[best]), int(kept[best]))


def in_order(values: Floats, shares: tuple[float, float, float]) -> NDArray[np.intp]:
    """Return the side of each row, 0 to 2, where the order of the values decides and equal ones stay together."""
    distinct, blocks, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) < 2:
        return np.zeros(len(values), dtype=np.intp)
    _, (learned, kept) = _dealt(counts, shares)
    return np.digitize(blocks, [learned, kept])


def folds_of(blocks: NDArray[np.uint64], count: int) -> NDArray[np.intp]:
    """Return each row's fold: the largest blocks first, each to the fold with the fewest rows.

    There are `count` folds, or as many as blocks where these are fewer; each has rows.
    """
    distinct, inverse, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    filled = np.zeros(min(count, len(distinct)), dtype=np.intp)
    fold = np.zeros(len(distinct), dtype=np.intp)
    for block in np.argsort(-counts, kind="stable"):
        fold[block] = int(np.argmin(filled))
        filled[fold[block]] += counts[block]
    return np.asarray(fold[inverse], dtype=np.intp)
