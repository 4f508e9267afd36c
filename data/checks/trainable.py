"""Whether a table can be learned from, and which of its columns.

Stops at what makes training impossible; leaves out columns that carry nothing and says so.
It does not know models. Rows are numbered from 1, without the header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from data.cells import way_to_numbers
from data.column_names import why_no_feature
from data.errors import (
    FaultsFound,
    MissingColumn,
    NoFeatures,
    TableError,
    TooFewRows,
    UnusableColumn,
    UnusableTarget,
)
from data.figures import number
from data.long_arrays import blocks, chosen
from data.splits import weighting
from data.tables import Table

FEWEST_ROWS = 50
"""Rows with a target that a training needs."""

LEAST_RANGE, MOST_RANGE = 1e-40, 1e150
"""The width of a target's values: below, onnxruntime takes its constants for zero; above, squares are infinite."""

EMPTY, UNSEEN = "every value is missing", "it is missing in every training row"
"""Why a column is left out."""

IDENTIFIER_SHARE = 0.5
"""A text column with more distinct values than this share of its rows names rows; it does not describe them."""


@dataclass(frozen=True)
class Checked:
    """What training may use.

    Attributes
    ----------
    table : Table
        The rows that have a target.
    features : tuple of str
        The columns to predict from, in the table's order.
    rows_without_target : int
        How many rows were left out.
    warnings : tuple of str
        One sentence for each column that was left out, and why.
    weight : str
        The column that says how much each row counts, "" where all count the same.
    """

    table: Table
    features: tuple[str, ...]
    rows_without_target: int = 0
    warnings: tuple[str, ...] = field(default=())
    weight: str = ""

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Which rows count: those of a weight above 0, bool of shape (n_rows,)."""
        return weighting.counted(self.table, self.weight)


def check_table(
    table: Table,
    *,
    target: str,
    exclude: Sequence[str] = (),
    reserved: Mapping[str, Iterable[str]] | None = None,
    mentioned: Mapping[str, Iterable[str]] | None = None,
    weight: str = "",
) -> Checked:
    """Return the rows and columns to learn from.

    Parameters
    ----------
    table : Table
        All rows, as loaded.
    target : str
        The column to predict.
    exclude : sequence of str
        Columns that the user does not want as features.
    reserved : mapping of str to columns
        Columns that have another role ("time split", ...), by role; they must exist, and are no features.
    mentioned : mapping of str to columns
        Columns that must exist, by role.
    weight : str
        The column that says how much each row counts; it is no feature.

    Raises
    ------
    MissingColumn, UnusableTarget, UnusableWeight, TooFewRows, UnusableColumn, NoFeatures
        The only one of these that holds.
    FaultsFound
        All of them, where there are more.
    """
    candidates, faults = named_faults(
        table, target=target, exclude=exclude, reserved=reserved, mentioned=mentioned, weight=weight
    )
    raise_all(
        table.where,
        [
            *faults,
            *(
                _faults_of_target(table, target)
                if target in table.frame and target not in table.doubts
                else ()
            ),
            *(
                weighting.faults_of_weight(table, weight, target)
                if {weight, target} <= {*table.names} - {*table.doubts}
                else ()
            ),
            *_infinite(table, candidates),
        ],
    )
    labelled = table.take(~np.isnan(table.numbers(target)))
    if weight:
        raise_all(table.where, list(_faults_of_counted(labelled, target, weight)))
    features, warnings = _useful(labelled, candidates)
    if not features:
        raise NoFeatures(where=table.where, left_out=[name for name in table.names if name != target])
    warnings = [*table.noticed, *warnings]
    return Checked(labelled, tuple(features), len(table) - len(labelled), tuple(warnings), weight)


def named_faults(
    table: Table,
    *,
    target: str,
    exclude: Sequence[str] = (),
    reserved: Mapping[str, Iterable[str]] | None = None,
    mentioned: Mapping[str, Iterable[str]] | None = None,
    weight: str = "",
) -> tuple[list[str], list[TableError]]:
    """Return the columns that may be features, and what is in doubt or absent of those that are used."""
    reserved = {**(reserved or {}), **({"weight": [weight]} if weight else {})}
    roles = {"target": [target], "excluded": exclude, **reserved, **(mentioned or {})}
    others = [column for columns in reserved.values() for column in columns]
    candidates = [name for name in table.names if name not in {target, *exclude, *others}]
    doubts = [table.doubts[name] for name in (target, *others, *candidates) if name in table.doubts]
    absent = [
        MissingColumn(where=table.where, role=role, column=column, columns=table.names)
        for role, columns in roles.items()
        for column in columns
        if column not in table.frame
    ]
    return candidates, [*doubts, *absent]


def raise_all(where: str, errors: Sequence[TableError]) -> None:
    """Raise the only one, or all of them as one."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise FaultsFound(where=where, faults=errors)


def _faults_of_target(table: Table, target: str) -> Iterator[TableError]:
    kind = table.kinds[target]
    if kind is None:
        yield UnusableTarget(target=target, found="is missing in every row", repair="pass rows with outcomes")
        return
    if kind != "number":
        found = _strange_target(table, target, kind)
        yield UnusableTarget(target=target, found=found, repair=way_to_numbers(target, table.frame[target]))
        return
    yield from _infinite(table, [target])
    values = table.numbers(target)
    values = chosen(values, ~np.isnan(values))
    if len(values) < FEWEST_ROWS:
        yield TooFewRows(where=table.where, rows=len(values), needed=FEWEST_ROWS)
    yield from _constant(values, target)


def _faults_of_counted(labelled: Table, target: str, weight: str) -> Iterator[TableError]:
    """Yield what keeps the rows of a weight above 0 from being learned from."""
    values = chosen(labelled.numbers(target), weighting.counted(labelled, weight))
    if len(values) < FEWEST_ROWS:
        what = f"a target and a {weight} above 0"
        yield TooFewRows(where=labelled.where, rows=len(values), needed=FEWEST_ROWS, what=what)
    yield from _constant(values, target)


def _constant(values: NDArray[np.float64], target: str) -> Iterator[TableError]:
    if (values == values[0]).all():
        yield UnusableTarget(
            target=target,
            found=f"is {number(values[0], 6)} in all {len(values)} rows",
            repair="a constant needs no model; name another column",
        )
    elif np.isfinite(values).all() and not LEAST_RANGE <= (width := float(np.ptp(values))) <= MOST_RANGE:
        yield UnusableTarget(
            target=target,
            found=f"spans {number(width)} from its least to its largest value",
            repair="write it in another unit, so that it spans about 1",
        )


def _strange_target(table: Table, target: str, kind: str) -> str:
    """Say what stands there instead: the first text that is no number, where only some are none."""
    cells = table.frame[target]
    each = chain.from_iterable(cells.iloc[part] for part in blocks(len(cells)))
    for row, value in enumerate(each, start=1):
        if isinstance(value, str) and not _is_number(value):
            return f"is not numeric: row {row} is {value[:40]!r}"
    return f"is not numeric: it holds {kind} values"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _useful(table: Table, candidates: Sequence[str]) -> tuple[list[str], list[str]]:
    features, warnings = [], []
    for name in candidates:
        if reason := reason_to_leave_out(table, name):
            warnings.append(left_out(name, reason))
        else:
            features.append(name)
    return features, warnings


def names_rows(distinct: int, rows: int) -> bool:
    """Return whether so many different texts name rows rather than describe them."""
    return distinct > max(IDENTIFIER_SHARE * rows, 20)


def left_out(name: str, reason: str) -> str:
    """Say that a column is no feature."""
    return f"column {name!r} is left out: {reason}"


def reason_to_leave_out(table: Table, name: str) -> str | None:
    """Return why a column is no feature, by what stands in its rows; None where it is one."""
    values, kind = table.frame[name], table.kinds[name]
    if kind is None or values.isna().all():
        return EMPTY
    if reason := reason_by_name(table, name):
        return reason
    if kind == "category" and names_rows(distinct := values.nunique(), len(values)):
        return as_names(distinct, len(values))
    return None


def reason_by_name(table: Table, name: str) -> str:
    """Return why a column that is called so is no feature; nothing where it may be one."""
    return why_no_feature(name, table.numbers(name) if table.kinds[name] in ("number", "boolean") else None)


def as_names(distinct: int | str, rows: int) -> str:
    """Say that texts are names of rows."""
    return f"{distinct} different texts in {rows} rows name rows rather than describe them"


def _infinite(table: Table, columns: Iterable[str]) -> Iterator[UnusableColumn]:
    for name in columns:
        if table.kinds[name] != "number":
            continue
        values = table.numbers(name)
        infinite = np.isinf(values)
        if infinite.any():
            row = int(infinite.argmax())
            others = int(infinite.sum()) - 1
            yield UnusableColumn(
                column=name,
                row=row + 1,
                found=f"is {values[row]}" + (f", and {others:,} more rows are infinite" if others else ""),
                repair="write a finite number, or leave it empty",
            )
