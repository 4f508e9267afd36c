"""Which rows a model learns from, is calibrated on, and is judged by.

A rule decides from a row's own values, so that a row that is held out today is held out of
every later retrain, and exact twins never stand on two sides. It knows neither models nor
scores. It is stored with each version and used again by the next one of that name.

    hash     a salted hash of the key columns (the default)
    group    a salted hash of one column: all rows of a group stand on one side
    time     the newest rows are held out, those before them calibrate
    column   the table says it: train, calibration or holdout

A time rule keeps its shares, not its dates: with newer rows the boundary moves forward, and
what was held out becomes something to learn from. The boundary that was used is part of the
result and is kept with the version, so that two versions are compared on rows that both held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from data.errors import MissingColumn, SplitError
from data.fingerprint import row_digests
from data.tables import Table, seconds

Method = Literal["hash", "group", "time", "column"]
METHODS: tuple[Method, ...] = get_args(Method)
Side = Literal["train", "calibration", "holdout"]
SIDES: tuple[Side, ...] = get_args(Side)


@dataclass(frozen=True)
class SplitRule:
    """How rows are told apart.

    Attributes
    ----------
    method : {"hash", "group", "time", "column"}
        See the module.
    columns : tuple of str
        The key columns of `hash`; the one column of the others.
    holdout, calibration : float
        Shares of the rows (of the groups, for `group`).
    salt : str
        Makes two names split one table differently.
    keyed : bool
        Whether the user named the key columns of `hash`, which are then no features.
    """

    method: Method
    columns: tuple[str, ...]
    holdout: float = 0.15
    calibration: float = 0.15
    salt: str = ""
    keyed: bool = False

    @property
    def reserved(self) -> tuple[str, ...]:
        """The columns that decide the side and so are no features."""
        return () if self.method == "hash" and not self.keyed else self.columns

    def __str__(self) -> str:
        """Say it in words, as in "by a hash of 9 columns"."""
        if self.method == "hash" and not self.keyed:
            count = len(self.columns)
            return f"by a hash of {count} column{'s' * (count > 1)}, {self.holdout:.0%} held out"
        words = {"hash": "by a hash of", "group": "by group", "time": "by time", "column": "by column"}
        return f"{words[self.method]} {', '.join(self.columns)}, {self.holdout:.0%} held out"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"columns": list(self.columns)}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> SplitRule:
        """Read the JSON form back."""
        return cls(**{**written, "columns": tuple(written["columns"])})


@dataclass(frozen=True)
class Split:
    """The sides of a table's rows.

    Attributes
    ----------
    sides : array of str of shape (n_rows,)
        "train", "calibration" or "holdout".
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

    @property
    def held_out_from(self) -> float | None:
        """The oldest held-out moment of a time split, in seconds since 1970; None for the others."""
        return None if self.moments is None else float(self.moments[self.mask("holdout")].min())

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of rows on each side."""
        return {side: int(self.mask(side).sum()) for side in SIDES}

    def folds(self, count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Return (fit, validate) positions among the training rows for cross-validation.

        Blocks stay whole. Where the split follows time each fold is validated on rows newer than
        those it was fitted on: `count` folds over `count + 1` slices of time.
        """
        training = self.mask("train")
        if self.moments is not None:
            rank = _ranks(self.moments[training])
            slices = (rank * (count + 1)).astype(int)
            return [(np.flatnonzero(slices <= k), np.flatnonzero(slices == k + 1)) for k in range(count)]
        # A second hash: the first one's order already decided who is a training row.
        spread = self.blocks[training] * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
        ranks = _ranks(spread.astype(np.float64))
        assigned = (ranks * count).astype(int)
        return [(np.flatnonzero(assigned != k), np.flatnonzero(assigned == k)) for k in range(count)]


def split_table(table: Table, rule: SplitRule) -> Split:
    """Assign each row to a side.

    Raises
    ------
    MissingColumn
        A column of the rule is not in the table.
    SplitError
        A side that is needed has no rows, or the column holds other words.
    """
    for column in rule.columns:
        if column not in table.frame:
            raise MissingColumn(
                where=table.where, role=f"{rule.method} split", column=column, columns=table.names
            )
    split = {"hash": _by_hash, "group": _by_hash, "time": _by_time, "column": _by_column}[rule.method](
        table, rule
    )
    for side in ("train", "holdout"):
        if split.counts[side] < 2:
            raise SplitError(
                f"{table.where}: the {rule.method} split leaves {split.counts[side]} {side} rows of {len(table)}: "
                "pass more rows, or another split or share"
            )
    return split


def _by_hash(table: Table, rule: SplitRule) -> Split:
    blocks = row_digests(table, rule.columns, salt=rule.salt)
    return Split(rule, _sides(1.0 - blocks / 2.0**64, rule), blocks)


def _by_time(table: Table, rule: SplitRule) -> Split:
    (column,) = rule.columns
    if table.kinds[column] not in ("datetime", "number"):
        raise SplitError(f"{table.where}: time column {column!r} holds no ISO 8601 dates: pass one that does")
    is_date = table.kinds[column] == "datetime"
    moments = seconds(table.frame[column]) if is_date else table.numbers(column)
    if np.isnan(moments).any():
        raise SplitError(
            f"{table.where}, row {int(np.isnan(moments).argmax()) + 1}: time column {column!r} is missing: "
            "fill it in or leave the row out"
        )
    return Split(rule, _sides(_ranks(moments), rule), row_digests(table, [column]), moments)


def _by_column(table: Table, rule: SplitRule) -> Split:
    (column,) = rule.columns
    sides = table.frame[column].to_numpy(dtype=object)
    unknown = ~np.isin(sides.astype(str), SIDES)
    if unknown.any():
        row = int(unknown.argmax())
        raise SplitError(
            f"{table.where}, row {row + 1}: split column {column!r} is {sides[row]!r}: "
            f"must be one of {', '.join(SIDES)}"
        )
    others = [name for name in table.names if name != column]
    return Split(rule, sides.astype(str), row_digests(table, others))


def _sides(places: NDArray[np.float64], rule: SplitRule) -> NDArray[np.str_]:
    """Hold out the places in [0, 1] above `1 - holdout`; calibrate on the share below them."""
    learned = 1.0 - rule.holdout - rule.calibration
    return np.select([places < learned, places < 1.0 - rule.holdout], ["train", "calibration"], "holdout")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's rank in [0, 1); equal values share the lowest, so that they stay together."""
    return np.searchsorted(np.sort(values), values) / max(len(values), 1)
