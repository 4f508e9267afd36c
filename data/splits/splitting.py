"""Which rows a model learns from, is calibrated on, and is judged by.

A rule (`data.splits.rules`) decides from a row's own values, so that a row that is held out today is held out of
every later retrain, and exact twins never stand on two sides. It knows neither models nor scores.

A time rule keeps its shares, not its dates: with newer rows the boundary moves forward, and
what was held out becomes something to learn from. The boundary that was used is part of the
result and is kept with the version, so that two versions are compared on rows that both held out.

A value counts as what its column was when the rows of a name were first split: the rule keeps the kinds,
and `data.tables.load_kept` reads later tables by them. A table that was read in another way is refused.

Where few groups or distinct rows would leave a side without its share, the first split of a name
chooses where the hash is cut (`data.splits.dealing`), and later ones keep that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.errors import PLURALS, MissingColumn, SplitError
from data.splits import dealing
from data.splits.rules import SplitRule
from data.splits.sides import SIDES, Split, ranks, repeats_in_words
from data.tables import Table, row_digests, seconds

__all__ = [
    "dealt",
    "moments_of",
    "refuse_columns",
    "refuse_empty",
    "repeats_in_words",
    "sides_of",
    "split_table",
]

SIDE_NAMES = np.array(SIDES)


def split_table(table: Table, rule: SplitRule) -> Split:
    """Assign each row to a side.

    Raises
    ------
    MissingColumn
        A column of the rule is not in the table.
    SplitError
        A side that is needed has no rows, the column holds other words, or a column is not what it was.
    """
    refuse_columns(table, rule)
    by = {"time": _by_time, "column": _by_column}.get(rule.method, _by_hash)
    split = by(table, rule)
    refuse_empty(table.where, rule, split.counts, len(table), split.distinct)
    return split


def refuse_empty(where: str, rule: SplitRule, counts: Mapping[str, int], rows: int, blocks: int) -> None:
    """Raise SplitError where a side that is needed has no rows."""
    for side in ("train", "holdout"):
        if counts[side] < 2:
            raise SplitError(
                f"{where}: the {rule.method} split leaves {counts[side]} {side} rows of {rows}, "
                f"which are {blocks:,} {_blocks_in_words(rule)}: {rule.remedy}"
            )


def refuse_columns(table: Table, rule: SplitRule) -> None:
    """Raise MissingColumn or SplitError where the rule's columns are absent or not what they were."""
    for column in rule.columns:
        if column not in table.frame:
            raise MissingColumn(
                where=table.where, role=f"{rule.method} split", column=column, columns=table.names
            )
        _refuse_other_kind(table, rule, column)


def sides_of(table: Table, rule: SplitRule) -> Split:
    """Return the sides of some rows of a table, by a rule that decides each row for itself; raises SplitError."""
    return _by_column(table, rule) if rule.method == "column" else _by_hash(table, rule)


def dealt(rule: SplitRule, blocks: NDArray[np.uint64], counts: NDArray[np.int64]) -> SplitRule:
    """Return a rule of a hash with the cuts that serve each side, for so many rows of each block."""
    usual = rule.usual_cuts
    indexes = np.repeat(_places(blocks), counts)
    if dealing.are_served(usual.parts(indexes), rule.shares):
        return replace(rule, cuts=usual)
    return replace(rule, cuts=dealing.cuts_of(indexes, rule.shares) or usual)


def _places(blocks: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return where on a circle of length 1 the rows of blocks stand."""
    return 1.0 - blocks / 2.0**64


def _refuse_other_kind(table: Table, rule: SplitRule, column: str) -> None:
    """Raise SplitError where each row of a column would get another side than before."""
    kept, kind = rule.kinds.get(column), table.kinds[column]
    if kept is None or kind == kept or {kind, kept} == {"number", "boolean"}:
        return
    holds = "is empty in every row" if kind is None else f"holds {PLURALS[kind]}"
    raise SplitError(
        f"{table.where}: column {column!r} {holds}, and the earlier versions' rows are told apart by its "
        f"{PLURALS[kept]}: pass them, or train under a new name=..."
    )


def _blocks_in_words(rule: SplitRule) -> str:
    """Say what stays together."""
    return {"group": "groups", "time": "moments"}.get(rule.method, "different rows")


def _by_hash(table: Table, rule: SplitRule) -> Split:
    blocks = row_digests(table, rule.columns, salt=rule.salt, kinds=rule.kinds, values=rule.values)
    if rule.method == "repeat":
        blocks = _numbered(blocks)
    indexes = _places(blocks)
    if rule.cuts is None:
        usual = rule.usual_cuts
        served = dealing.are_served(usual.parts(indexes), rule.shares)
        rule = replace(rule, cuts=usual if served else dealing.cuts_of(indexes, rule.shares) or usual)
    return Split(rule, SIDE_NAMES[(rule.cuts or rule.usual_cuts).parts(indexes)], blocks)


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


def moments_of(table: Table, column: str) -> NDArray[np.float64]:
    """Return when each row was by dates or numbers, float64 of shape (n_rows,); raises SplitError."""
    if table.kinds[column] not in ("datetime", "number"):
        raise SplitError(f"{table.where}: time column {column!r} holds no ISO 8601 dates: pass one that does")
    is_date = table.kinds[column] == "datetime"
    moments = seconds(table.frame[column]) if is_date else table.numbers(column)
    if np.isnan(moments).any():
        raise SplitError(
            f"{table.where}, row {int(np.isnan(moments).argmax()) + 1}: time column {column!r} is missing: "
            "fill it in or leave the row out"
        )
    return moments


def _by_time(table: Table, rule: SplitRule) -> Split:
    (column,) = rule.columns
    moments = moments_of(table, column)
    parts = rule.usual_cuts.parts(ranks(moments))
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
