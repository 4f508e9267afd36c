"""Whether captured rows may be learned from.

A broken sensor trains nothing: the rows are held to a contract, or, without one, to what the champion's rows were:
limits widened as in a proposed contract, no column that lost its values or stands still.

A sensor that broke on the last days is lost among a season's good rows. So the newest days are also looked at alone.
They are few: a column may have more gaps there by chance, and a flag that is rarely set may stand still for days, so
each is held to what such few rows, or days, would do by chance once in a thousand times, or in a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from data.checks import TableFault
from data.contracts import Contract, Promise, violations, widened
from data.errors import FaultsFound
from data.schema import Column, Schema
from data.tables import Table
from training.lessons.table import Shape
from training.monitoring import Reference

ABSURD = 20.0
"""Of the known errors' 99.5 % quantile: an outcome that is so far beyond all predictions is none."""

MOST_GAPS = 0.05
"""Missing cells that a column may have beyond those that it had: a share of the rows, as in a proposed contract."""

NEWEST_ROWS, NEWEST_DAYS = 50, 3
"""That the newest days have at least: on one day a weekday, or the weather, stands still and is right."""

CHANCE = 0.001
"""Of few rows to have more gaps than they may, by a share of gaps that is as it was."""

STILL = 0.01
"""The chance of a column to stand still on the newest days, by the days before, below which its sensor is stuck."""


def hold(
    table: Table,
    days: NDArray[np.str_],
    shape: Shape,
    contract: Contract,
    unwatched: Sequence[str] = (),
) -> None:
    """Hold captured rows of some days to a contract; raises FaultsFound with every promise that they do not keep.

    Columns that are not watched are not held to anything.
    """
    promised = {*contract.columns} & {shape.schema.target}
    ours = {*shape.schema.names, *promised} - {*unwatched}
    ignored = tuple(name for name in (*contract.columns, *table.names) if name not in ours)
    varied = _varied(shape.schema, ours)
    faults = _with_stuck(violations(contract, table, ignored=ignored), _still(table, varied))
    newest = _newest(days)
    if not newest.all():
        new = table.take(newest)
        known = {fault.column for fault in faults}
        broken = violations(_for_few(contract, len(new)), new, ignored=ignored)
        late = _with_stuck(broken, _still_on_newest(table, days, newest, varied))
        faults += [_of_newest(fault, days[newest]) for fault in late if fault.column not in known]
    if faults:
        raise FaultsFound(where=table.where, faults=faults, repair=f" against {contract.where}")


def contract_of(schema: Schema, reference: Reference, where: str) -> Contract:
    """Return what rows keep that are like those a version was made from."""
    gaps = reference.missing_shares
    promises = {column.name: _promise(column, gaps) for column in schema.columns}
    if reference.limit is None:
        return Contract(where, promises)
    predictions = reference.whole[0].edges[:, 0]
    known, reach = predictions[np.isfinite(predictions)], ABSURD * reference.limit.clip
    low, high = float(known.min() - reach), float(known.max() + reach)
    return Contract(where, promises | {schema.target: Promise("number", schema.target_unit, low, high)})


def _promise(column: Column, gaps: Mapping[str, float]) -> Promise:
    missing = min(gaps.get(column.name, float(column.missing)) + MOST_GAPS, 1.0)
    if column.kind != "number" or column.minimum is None or column.maximum is None:
        return Promise(column.kind, column.unit, missing=missing)
    low, high = (widened(column.minimum, column.maximum, sign) for sign in (-1, 1))
    return Promise(column.kind, column.unit, low, high, missing)


def _newest(days: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which rows are of the newest days, as many as it takes."""
    names, counts = np.unique(days, return_counts=True)
    enough = np.flatnonzero(np.cumsum(counts[::-1]) >= NEWEST_ROWS)
    taken = max(int(enough[0]) + 1 if len(enough) else len(names), NEWEST_DAYS)
    return np.asarray(days >= names[-min(taken, len(names))] if len(names) else np.ones(0, dtype=np.bool_))


def _for_few(contract: Contract, rows: int) -> Contract:
    """Return a contract whose shares of gaps are what so few rows may have by chance."""
    columns = {
        name: replace(promise, missing=gaps_by_chance(promise.missing, rows))
        for name, promise in contract.columns.items()
    }
    return replace(contract, columns=columns, rows=0)


def gaps_by_chance(share: float, rows: int) -> float:
    """Return the share beyond which a binomial share of so many rows lies by `CHANCE` at most; zero stays zero."""
    return float(binom.isf(CHANCE, rows, share)) / rows


def _varied(schema: Schema, held: Set[str]) -> list[str]:
    """Return the columns that had several values."""
    return [
        each.name
        for each in schema.columns
        if each.name in held and (each.minimum != each.maximum or len(each.categories) > 1)
    ]


def _still(table: Table, names: Sequence[str]) -> list[str]:
    """Return the columns that have one value."""
    return [name for name in names if table.frame[name].nunique() <= 1]


def _still_on_newest(
    table: Table, days: NDArray[np.str_], newest: NDArray[np.bool_], names: Sequence[str]
) -> Iterator[str]:
    """Yield the columns that have one value on the newest days, where the days before hardly ever had it alone.

    Gaps say nothing of a value: they are held to their share.
    """
    before = table.frame[~newest].groupby(days[~newest])
    count, alike = before.ngroups, len(np.unique(days[newest]))
    for name in _still(table.take(newest), names):
        value = table.frame[name][newest].dropna().head(1)
        alone = [bool(of_day.dropna().isin(value).all()) for _, of_day in before[name]]
        if ((sum(alone) + 1.0) / (count + 2.0)) ** alike < STILL:
            yield name


def _with_stuck(faults: Sequence[TableFault], still: Iterable[str]) -> list[TableFault]:
    """Return faults and the columns that stand still; of an empty one it is said once that it is."""
    known = {fault.column for fault in faults}
    said = "has the same value in each row, it had several", "mend what measures it"
    return [*faults, *(TableFault(name, *said) for name in still if name not in known)]


def _of_newest(fault: TableFault, days: NDArray[np.str_]) -> TableFault:
    """Return a fault without rows' numbers, which would be those among the newest alone."""
    return TableFault(fault.column, f"since {np.unique(days)[0]}: {fault.found}", fault.repair)
