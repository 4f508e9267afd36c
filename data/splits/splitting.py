"""Which rows a model learns from, is calibrated on, and is judged by.

A rule decides from a row's own values, so that a row that is held out today is held out of
every later retrain, and exact twins never stand on two sides. It knows neither models nor
scores. It is stored with each version and used again by the next one of that name.

    hash     a salted hash of the key columns (the default)
    repeat   a salted hash of all columns, the target too, and of how many equal rows there are above:
             repeated measurements are dealt to the sides one by one
    group    a salted hash of one column: all rows of a group stand on one side
    time     the newest rows are held out, those before them calibrate
    column   the table says it: train, calibration or holdout

A time rule keeps its shares, not its dates: with newer rows the boundary moves forward, and
what was held out becomes something to learn from. The boundary that was used is part of the
result and is kept with the version, so that two versions are compared on rows that both held out.

A value counts as what its column was when the rows of a name were first split: the rule keeps the kinds,
and `data.tables.kept_kinds` reads later tables by them. A table that was read in another way is refused.

Where few groups or distinct rows would leave a side without its share, the first split of a name
chooses where the hash is cut (`data.splits.dealing`), and later ones keep that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from data.errors import PLURALS, MissingColumn, SplitError
from data.schema import Kind
from data.splits import dealing
from data.tables.fingerprint import Counted, row_digests
from data.tables.table import Table, seconds

Method = Literal["hash", "repeat", "group", "time", "column"]
METHODS: tuple[Method, ...] = get_args(Method)
Side = Literal["train", "calibration", "holdout"]
SIDES: tuple[Side, ...] = get_args(Side)
SIDE_NAMES = np.array(SIDES)
NOWHERE = ""
"""The side of a row that does not count."""


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
    cuts : Cuts or None
        Where the sides of a hash part; None before the first split of a name has decided it.
    kinds : mapping of str to Kind or None
        What each of `columns` was at the first split, None where every cell was empty; nothing in rules from
        before they were kept, whose cells count as what this table says they are.
    values : {"alike", "as written"}
        Whether a value counts alike in every format or, in those old rules, a date and a text as they stand.
    """

    method: Method
    columns: tuple[str, ...]
    holdout: float = 0.15
    calibration: float = 0.15
    salt: str = ""
    keyed: bool = False
    cuts: dealing.Cuts | None = None
    kinds: Mapping[str, Kind | None] = field(default_factory=dict)
    values: Literal["alike", "as written"] = "as written"

    def digests(self, table: Table) -> NDArray[np.uint64]:
        """Return one number for each row's values in the columns of the rule, uint64 of shape (n_rows,)."""
        kinds: dict[str, Counted] = dict(self.kinds)
        if self.values == "as written":
            kinds = {name: kind and "as written" for name, kind in kinds.items()}
        return row_digests(table, self.columns, salt=self.salt, kinds=kinds)

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of training, calibration and holdout rows."""
        return (1.0 - self.holdout - self.calibration, self.calibration, self.holdout)

    @property
    def usual_cuts(self) -> dealing.Cuts:
        """Where the sides part if chance serves them all."""
        return dealing.Cuts(0.0, 1.0 - self.holdout - self.calibration, 1.0 - self.holdout)

    @property
    def is_of_rows(self) -> bool:
        """Whether rows as they are decide, and no column that the user named."""
        return self.method in ("hash", "repeat") and not self.keyed

    @property
    def reserved(self) -> tuple[str, ...]:
        """The columns that decide the side and so are no features."""
        return () if self.is_of_rows else self.columns

    def __str__(self) -> str:
        """Say it in words, as in "by a hash of 9 columns"."""
        repeats = ", repeats dealt" if self.method == "repeat" else ""
        if self.is_of_rows:
            count = len(self.columns)
            return f"by a hash of {count} column{'s' * (count > 1)}{repeats}, {self.holdout:.0%} held out"
        words = {"group": "by group", "time": "by time", "column": "by column"}
        if self.method not in words:
            return f"by a hash of {', '.join(self.columns)}{repeats}, {self.holdout:.0%} held out"
        return f"{words[self.method]} {', '.join(self.columns)}, {self.holdout:.0%} held out"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        written = asdict(self) | {"columns": list(self.columns)}
        if self.kinds:
            written["kinds"] = [self.kinds[name] for name in self.columns]
        return written | {"cuts": list(self.cuts) if self.cuts else None}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> SplitRule:
        """Read the JSON form back; versions from before there were cuts have the usual ones."""
        kinds = dict(zip(written["columns"], written.get("kinds") or (), strict=False))
        rule = cls(**{**written, "columns": tuple(written["columns"]), "cuts": None, "kinds": kinds})
        kept = written.get("cuts")
        return replace(rule, cuts=dealing.Cuts(*kept) if kept else rule.usual_cuts)


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
        return replace(self, sides=np.where(counted, self.sides, NOWHERE))

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
        assigned = (_ranks(spread.astype(np.float64)) * count).astype(int)
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
            f"{_mend(self.rule.method)}"
        )


def _mend(method: Method) -> str:
    """Say what would give each side its rows."""
    ways = {
        "group": "pass rows of more groups, or another group_column",
        "time": "pass rows of more moments",
        "hash": "pass more rows, deal repeated ones with split=repeat, or name an id with key=...",
    }
    return f"{ways.get(method, 'pass more rows')}, or say the sides with split=column"


def split_table(table: Table, rule: SplitRule) -> Split:
    """Assign each row to a side.

    Raises
    ------
    MissingColumn
        A column of the rule is not in the table.
    SplitError
        A side that is needed has no rows, the column holds other words, or a column is not what it was.
    """
    for column in rule.columns:
        if column not in table.frame:
            raise MissingColumn(
                where=table.where, role=f"{rule.method} split", column=column, columns=table.names
            )
        _refuse_other_kind(table, rule, column)
    by = {"time": _by_time, "column": _by_column}.get(rule.method, _by_hash)
    split = by(table, rule)
    for side in ("train", "holdout"):
        if split.counts[side] < 2:
            raise SplitError(
                f"{table.where}: the {rule.method} split leaves {split.counts[side]} {side} rows of {len(table)}, "
                f"which are {len(np.unique(split.blocks)):,} {_blocks_in_words(rule)}: {_mend(rule.method)}"
            )
    return split


def _refuse_other_kind(table: Table, rule: SplitRule, column: str) -> None:
    """Raise SplitError where each row of a column would get another side than before."""
    kept, found = rule.kinds.get(column), table.kinds[column]
    if kept is None or found == kept or {found, kept} == {"number", "boolean"}:
        return
    holds = "is empty in every row" if found is None else f"holds {PLURALS[found]}"
    raise SplitError(
        f"{table.where}: column {column!r} {holds}, and the earlier versions' rows are told apart by its "
        f"{PLURALS[kept]}: pass them, or train under a new name=..."
    )


def _blocks_in_words(rule: SplitRule) -> str:
    """Say what stays together."""
    return {"group": "groups", "time": "moments"}.get(rule.method, "different rows")


def repeats_in_words(split: Split) -> str:
    """Say that most rows have an equal one in the columns that split, and what to do; nothing where few have."""
    distinct = len(np.unique(split.blocks))
    if split.rule.method != "hash" or 2 * distinct > len(split.blocks):
        return ""
    return (
        f"{len(split.blocks):,} rows are {distinct:,} different ones in {_columns_in_words(split.rule)}, and equal "
        "rows stay on one side: the holdout asks for rows that no training row equals. If repeats are measurements "
        "of their own, deal them with split=repeat, name an id with key=..., or say the sides with split=column"
    )


def _columns_in_words(rule: SplitRule) -> str:
    return ", ".join(rule.columns) if len(rule.columns) <= 3 else f"{len(rule.columns)} columns"


def _by_hash(table: Table, rule: SplitRule) -> Split:
    blocks = rule.digests(table)
    if rule.method == "repeat":
        blocks = _numbered(blocks)
    places = 1.0 - blocks / 2.0**64
    if rule.cuts is None:
        usual = rule.usual_cuts
        served = dealing.are_served(usual.parts(places), rule.shares)
        rule = replace(rule, cuts=usual if served else dealing.cuts_of(places, rule.shares) or usual)
    return Split(rule, SIDE_NAMES[(rule.cuts or rule.usual_cuts).parts(places)], blocks)


def _numbered(blocks: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number of its own for each of the equal rows: they are alike, so their order changes nothing."""
    order = np.argsort(blocks, kind="stable")
    ordered = blocks[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    above = np.arange(len(blocks)) - np.repeat(starts, np.diff(np.append(starts, len(blocks))))
    mixed = ordered ^ (above.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # SplitMix64's finaliser
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    numbered = np.empty_like(blocks)
    numbered[order] = mixed ^ (mixed >> np.uint64(31))
    return numbered


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
    parts = rule.usual_cuts.parts(_ranks(moments))
    if not dealing.are_served(parts, rule.shares):
        parts = dealing.in_order(moments, rule.shares)
    return Split(rule, SIDE_NAMES[parts], row_digests(table, [column]), moments)


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


def _slices(moments: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the slice of time of each row: as many as there are different moments where these are fewer."""
    slices = (_ranks(moments) * count).astype(np.intp)
    if len(np.unique(slices)) == count:
        return slices
    distinct, place = np.unique(moments, return_inverse=True)
    return np.asarray(place * min(count, len(distinct)) // len(distinct), dtype=np.intp)


def _are_even(assigned: NDArray[np.intp], count: int) -> bool:
    """Return whether each fold has at least half of its share of the rows."""
    return bool(np.bincount(assigned, minlength=count).min() >= 0.5 * len(assigned) / count)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's rank in [0, 1); equal values share the lowest, so that they stay together."""
    return np.searchsorted(np.sort(values), values) / max(len(values), 1)
