"""The sides on which the rows of a table stand, and folds among the training rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from data.errors import SplitError
from data.splits import dealing
from data.splits.rules import SplitRule

Side = Literal["train", "calibration", "holdout"]
SIDES: tuple[Side, ...] = get_args(Side)

NOWHERE = ""
"""The side of a row that does not count."""


@dataclass(frozen=True)
class Split:
    """The sides of a table's rows.

    Attributes
    ----------
    sides : array of str of shape (n_rows,)
        "train", "calibration", "holdout", or `NOWHERE`.
    blocks : uint64 array of shape (n_rows,)
        Rows of one block (twins, a group) must not stand in two folds.
    moments : float64 array of shape (n_rows,) or None
        Seconds since 1970 where the split follows time.
    """

    rule: SplitRule
    sides: NDArray[np.str_]
    blocks: NDArray[np.uint64]
    moments: NDArray[np.float64] | None = None

    def mask(self, side: Side) -> NDArray[np.bool_]:
        """Return which rows stand on a side, bool of shape (n_rows,)."""
        return np.asarray(self.sides == side)

    def of_counted(self, counted: NDArray[np.bool_]) -> Split:
        """Return the same sides, on which only some of the rows stand: those of weight 0 count nowhere."""
        return self if counted.all() else replace(self, sides=np.where(counted, self.sides, NOWHERE))

    @property
    def held_out_from(self) -> float | None:
        """The oldest held-out moment of a time split, in seconds since 1970; None for the others."""
        return None if self.moments is None else float(self.moments[self.mask("holdout")].min())

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of rows on each side."""
        return {side: int(self.mask(side).sum()) for side in SIDES}

    @cached_property
    def distinct(self) -> int:
        """How many blocks there are: `np.unique` takes ten times as long to count those of millions of rows."""
        ordered = np.sort(self.blocks)
        return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(ordered), 1)

    @property
    def repeats_in_words(self) -> str:
        """That most rows have an equal one in the columns that split, and what to do; nothing where few have."""
        return repeats_in_words(self.rule, len(self.blocks), self.distinct)

    def folds(self, count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Return (fit, validate) positions among the training rows for cross-validation.

        Blocks stay whole, and each fold has rows: there are fewer folds than `count` where there are
        fewer blocks. Where the split follows time each fold is validated on rows newer than those it
        was fitted on: `count` folds over `count + 1` slices of time.

        Raises
        ------
        SplitError
            All training rows are one block.
        """
        training = self.mask("train")
        if self.moments is not None:
            slices = _slices(self.moments[training], count + 1)
            last = self._more_than_one(int(slices.max()) + 1) - 1
            return [(np.flatnonzero(slices <= k), np.flatnonzero(slices == k + 1)) for k in range(last)]
        # A second hash: the first one's order already decided who is a training row.
        spread = self.blocks[training] * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
        assigned = (ranks(spread.astype(np.float64)) * count).astype(int)
        if not _are_even(assigned, count):
            assigned = dealing.folds_of(self.blocks[training], count)
        made = self._more_than_one(int(assigned.max()) + 1)
        return [(np.flatnonzero(assigned != k), np.flatnonzero(assigned == k)) for k in range(made)]

    def _more_than_one(self, parts: int) -> int:
        if parts > 1:
            return parts
        what = {"time": "one moment", "group": "one group"}.get(
            self.rule.method, "equal in the columns that split"
        )
        raise SplitError(
            f"the {self.counts['train']:,} training rows are {what}, so none can be judged by the others: "
            f"{self.rule.remedy}"
        )


def repeats_in_words(rule: SplitRule, rows: int, distinct: int) -> str:
    """Say that most rows have an equal one in the columns that split, and what to do; nothing where few have."""
    if rule.method != "hash" or 2 * distinct > rows:
        return ""
    named = ", ".join(rule.columns) if len(rule.columns) <= 3 else f"{len(rule.columns)} columns"
    return (
        f"{rows:,} rows are {distinct:,} different ones in {named}, and equal "
        "rows stay on one side: the holdout asks for rows that no training row equals. If repeats are measurements "
        "of their own, deal them with split=repeat, name an id with key=..., or say the sides with split=column"
    )


def _slices(moments: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the slice of time of each row: as many as there are different moments where these are fewer."""
    slices = (ranks(moments) * count).astype(np.intp)
    if len(np.unique(slices)) == count:
        return slices
    distinct, order = np.unique(moments, return_inverse=True)
    return np.asarray(order * min(count, len(distinct)) // len(distinct), dtype=np.intp)


def _are_even(assigned: NDArray[np.intp], count: int) -> bool:
    """Return whether each fold has at least half of its share of the rows."""
    return bool(np.bincount(assigned, minlength=count).min() >= 0.5 * len(assigned) / count)


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's rank in [0, 1); equal values share the lowest, so that they stay together."""
    return np.searchsorted(np.sort(values), values) / max(len(values), 1)
