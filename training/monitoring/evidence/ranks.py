"""Does a stream look like its reference: evidence from the ranks of new values among known ones.

The reference's n values leave n + 1 gaps. If the next value of the stream is exchangeable with the reference and the
stream so far, it falls into a gap with a chance that grows with those that fell there before: a Pólya urn. Whoever bets
on bins of gaps at these odds wins nothing on average, so a large wealth is evidence against exchangeability
(Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World", chapter 7; the urn follows from the ranks'
uniformity). By Ville's inequality the wealth ever reaches 1 / alpha with a chance of at most alpha, however often
one looks.

Capital is given by days (`training.monitoring.evidence.wealth`). Rows of one day may come in any order of their own
(rush hours): they are to be shuffled by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.monitoring.evidence.wealth import Bettors

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]

MOST_BINS = 10
"""Of numbers; also the number of values up to which each has a bin of its own."""

PRIOR, MEMORY = 10.0, 500.0
"""What the adaptive bettor sets on the reference's shares, in rows; and in how many rows it forgets the stream."""

KEPT = 1.0 - 1.0 / MEMORY
"""What is left of a row's weight at the next."""

MOST_ROWS_AT_ONCE = 10_000
"""The oldest of more would weigh nothing beside the newest: `KEPT` to that power is 2e-9."""

MISSING = "missing"
"""The bin of missing values that were seen."""

BEYOND, UNSEEN = "missing, or beyond what was seen", "rare, or never seen in training"
"""The last bin, of numbers and of categories."""


@dataclass(frozen=True)
class Bins:
    """One view of a row, cut into bins by ranks in the reference.

    Attributes
    ----------
    name : str
        The column's, or what is seen of the whole row.
    edges : float64 array of shape (n_bins - 1, 2)
        Values of the reference with the number that breaks their ties, rising.
    gaps : int array of shape (n_bins,)
        How many of the reference's n + 1 gaps each bin has.
    mean, sd : float
        Of the reference's values that are not missing; NaN for categories.
    """

    name: str
    edges: Floats
    gaps: Indexes
    labels: tuple[str, ...]
    mean: float = float("nan")
    sd: float = float("nan")

    def of(self, values: Floats, ties: Floats) -> Indexes:
        """Return the bin of each value, shape (n_rows,); NaN is missing.

        Parameters
        ----------
        values, ties : float64 arrays of shape (n_rows,)
            `ties` are uniform on [0, 1) and independent of everything: a tie that is broken by a rule is no rank.
        """
        keys = _keys(values)
        above, tied = self.edges.T
        below = np.searchsorted(above, keys)
        equal = np.flatnonzero(np.searchsorted(above, keys, side="right") > below)
        if len(equal):  # edges of one value follow each other by the number that breaks their ties
            same = (keys[equal, None] == above) & (ties[equal, None] > tied)
            below[equal] += same.sum(axis=1)
        return below

    @property
    def shares(self) -> Floats:
        """The reference's share of each bin, shape (n_bins,)."""
        return np.asarray(self.gaps / self.gaps.sum(), dtype=np.float64)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "edges": [[_written(value), tie] for value, tie in self.edges.tolist()],
            "gaps": self.gaps.tolist(),
            "labels": list(self.labels),
            "mean": _written(self.mean),
            "sd": _written(self.sd),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Bins:
        """Read the JSON form back; raises KeyError, TypeError or ValueError where it is not one."""
        edges = [[_read(value), float(tie)] for value, tie in written["edges"]]
        gaps = np.array(written["gaps"], dtype=np.int64)
        if len(gaps) != len(edges) + 1 or len(written["labels"]) != len(gaps) or (gaps < 1).any():
            raise ValueError(f"has bins of {written['name']!r} that do not fit each other")
        return cls(
            name=str(written["name"]),
            edges=np.array(edges, dtype=np.float64).reshape(-1, 2),
            gaps=gaps,
            labels=tuple(map(str, written["labels"])),
            mean=_read(written["mean"]),
            sd=_read(written["sd"]),
        )


def bins_of(name: str, values: Floats, ties: Floats, labels: Mapping[float, str] | None = None) -> Bins:
    """Cut a reference into bins: ten of numbers, one a value where there are few, and one for what is beyond.

    Parameters
    ----------
    values, ties : float64 arrays of shape (n_reference,)
        NaN is missing.
    labels : mapping of value to text, optional
        For categories by their place; each has a bin then, and those without a label are in the last.
    """
    keys = _keys(values)
    order = _ordered(keys, ties)
    keys, sorted_ties = keys[order], ties[order]
    present = int(np.isfinite(keys).sum()) if labels is None else int(np.isin(keys, list(labels)).sum())
    ends = _ends(keys[:present], every=labels is not None)
    seen_missing = labels is None and present < len(keys)  # it has a bin of its own
    last = [len(keys) - 1] if seen_missing else []
    indexes = np.array([*ends, *last], dtype=np.int64)
    gaps = np.diff(np.concatenate([[-1], indexes, [len(keys)]]))
    seen = keys[:present]
    words = [
        *_labels(seen, ends, labels),
        *([MISSING] if last else []),
        BEYOND if labels is None else UNSEEN,
    ]
    known = seen if labels is None and present else np.array([np.nan])
    return Bins(
        name=name,
        edges=np.column_stack([keys[indexes], sorted_ties[indexes]]).reshape(-1, 2),
        gaps=gaps,
        labels=tuple(words),
        mean=float(known.mean()),
        sd=float(known.std()),
    )


def _ordered(keys: Floats, ties: Floats) -> NDArray[np.intp]:
    """Return the order of keys, equal ones by their ties: sorting all by both takes six times as long."""
    order = np.argsort(keys)
    same = keys[order][1:] == keys[order][:-1]
    tied = np.append(same, False) | np.append(False, same) if len(keys) else same
    some = order[tied]
    order[tied] = some[np.lexsort((ties[some], keys[some]))]
    return order


def _keys(values: Floats) -> Floats:
    return np.where(np.isnan(values), np.inf, values)


def _ends(keys: Floats, *, every: bool) -> list[int]:
    """Return where the bins of sorted values end: the last row of each value, or of each tenth."""
    if not len(keys):
        return []
    changes = np.flatnonzero(np.diff(keys)).tolist()
    if every or len(changes) < MOST_BINS:
        return [*changes, len(keys) - 1]
    tenths = np.round(np.arange(1, MOST_BINS + 1) * len(keys) / MOST_BINS).astype(int) - 1
    return [int(each) for each in np.unique(tenths[tenths >= 0])]


def _labels(keys: Floats, ends: Sequence[int], labels: Mapping[float, str] | None) -> list[str]:
    if labels is not None:
        return [labels[keys[end]] for end in ends]
    starts = [end + 1 for end in (-1, *ends)][: len(ends)]
    return [
        f"{keys[start]:.4g}" if keys[start] == keys[end] else f"{keys[start]:.4g} to {keys[end]:.4g}"
        for start, end in zip(starts, ends, strict=True)
    ]


def _written(value: float) -> float | str | None:
    if np.isnan(value):
        return None
    return "inf" if np.isinf(value) else value


def _read(value: float | str | None) -> float:
    return float("nan") if value is None else float(value)


@lru_cache(maxsize=64)
def _weights(n_rows: int) -> tuple[Floats, Floats, Floats]:
    """Return for rows in a column: their order, what is left at each of what came before, and what each weighs."""
    order = np.arange(n_rows, dtype=np.float64)[:, None]
    kept = KEPT**order
    return order, kept, 1.0 / (KEPT * kept)


def _before(bins: Indexes, weights: Floats) -> tuple[Indexes, Floats]:
    """Return for each row how many rows before it fell into the same bin, and what those weigh, in each column.

    Parameters
    ----------
    bins : int array of shape (n_rows, n_bettors)
    weights : float64 array of shape (n_rows, 1)
    """
    row, column = np.arange(len(bins))[:, None], np.arange(bins.shape[1])
    sorting = np.argsort(bins, axis=0, kind="stable")
    in_order, weights_in_order = bins[sorting, column], weights.ravel()[sorting]
    begins = np.ones(bins.shape, dtype=np.bool_)
    begins[1:] = in_order[1:] != in_order[:-1]
    start = np.maximum.accumulate(np.where(begins, row, 0), axis=0)
    so_far = np.cumsum(weights_in_order, axis=0) - weights_in_order
    count, weight = np.empty_like(bins), np.empty(bins.shape)
    count[sorting, column] = row - start
    weight[sorting, column] = so_far - so_far[start, column]
    return count, weight


class RankEvidence(Bettors):
    """The wealth of bettors on the bins of several views; each begins with nothing and is given its capital by days.

    Parameters
    ----------
    gaps : sequence of int arrays
        Each bettor's bins, as `Bins.gaps`.
    bets : sequence of float arrays, or None for each
        The shares that a bettor always sets; None for one that learns from the stream.
    tolerance : float
        How much larger than the reference's a bin's share may be and still be no drift, as a share of it.

    Notes
    -----
    Each factor is divided by 1 + tolerance. Where no bin's share exceeds 1 + tolerance times the reference's, a stream
    of t rows is at most (1 + tolerance)^t times as likely as without a drift, so what is won on average stays below 1.
    A drift pays once its divergence from the reference, KL, exceeds ln(1 + tolerance); PSI is about 2 KL.
    """

    def __init__(
        self,
        gaps: Sequence[Indexes],
        bets: Sequence[Floats | None] | None = None,
        *,
        tolerance: float = 0.0,
    ) -> None:
        super().__init__(len(gaps))
        self.widths = [len(each) for each in gaps]
        shape = (len(gaps), max(self.widths))
        self._gaps = np.zeros(shape)
        self._fixed = np.zeros(shape)
        self._learns = np.ones(len(gaps), dtype=np.bool_)
        for index, each in enumerate(gaps):
            self._gaps[index, : len(each)] = each
        for index, bet in enumerate(bets or ()):
            if bet is not None:
                self._fixed[index, : len(bet)] = bet
                self._learns[index] = False
        self._offsets = np.arange(len(gaps)) * shape[1]
        self._prior = PRIOR * (self._gaps / self._gaps.sum(axis=1, keepdims=True))
        self._price = float(np.log1p(tolerance))
        self.counts = np.zeros(shape)
        self._recent = np.zeros(shape)

    def see_day(self, bins: Indexes) -> None:
        """Bet on the rows of one day, one after the other.

        Parameters
        ----------
        bins : int array of shape (n_rows, n_bettors)
            In an order that does not depend on what the rows hold.
        """
        self.open_day()
        parts = -(-len(bins) // MOST_ROWS_AT_ONCE)
        for part in np.array_split(bins, parts) if parts > 1 else [bins]:
            self._see(part)

    def _see(self, bins: Indexes) -> None:
        """Bet on rows, all at once: what a bettor knows at each row is what came up to the row before."""
        at = bins + self._offsets
        order, kept, grown = _weights(len(bins))
        came, weighed = _before(bins, grown)
        known = self._gaps + self.counts
        recent = kept * (self._recent.take(at) + weighed)
        all_recent = kept * self._recent.sum(axis=1) + (1.0 - kept) / (1.0 - KEPT)
        learned = (self._prior.take(at) + recent) / (PRIOR + all_recent)
        bet = np.where(self._learns, learned, self._fixed.take(at))
        odds = (known.sum(axis=1) + order) / (known.take(at) + came)
        self.win(np.log(bet * odds).sum(axis=0) - len(bins) * self._price)
        rows = at.ravel()
        self.counts = self.counts + self._summed(rows, None)
        weights = np.repeat(grown.ravel(), at.shape[1])
        self._recent = KEPT ** len(bins) * (self._recent + self._summed(rows, weights))

    def _summed(self, rows: Indexes, weights: Floats | None) -> Floats:
        """Return how many rows fell into each bin of each bettor, or what they weigh."""
        summed = np.bincount(rows, weights, minlength=self._gaps.size).reshape(self._gaps.shape)
        return summed.astype(np.float64, copy=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON: what bettors own, and what they saw."""
        return super().as_dict() | {
            "counts": [row[:width].tolist() for row, width in zip(self.counts, self.widths, strict=True)],
            "recent": [row[:width].tolist() for row, width in zip(self._recent, self.widths, strict=True)],
        }

    def restore(self, written: Mapping[str, Any]) -> None:
        """Take up a state that `as_dict` wrote; raises KeyError, TypeError or ValueError where it does not fit."""
        if [len(row) for row in written["counts"]] != self.widths:
            raise ValueError("is the state of other bins")
        super().restore(written)
        for index, width in enumerate(self.widths):
            self.counts[index, :width] = written["counts"][index]
            self._recent[index, :width] = written["recent"][index]
