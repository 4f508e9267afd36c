"""Numbers that are not what they seem: a wild value, a spike that means "missing", a name written as a number.

Each is a suspicion, made so that ordinary columns raise none: a long tail has no gap of twenty times its length,
a cap lies at the end of its values and not far behind it, amounts measured finely enough to differ in all rows do not
stand so close that chance would have made equals. It knows tables and no models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from shlex import quote

import numpy as np
from numpy.typing import NDArray

from data.checks import names_rows
from data.faults import Fault, at, counts_rows
from data.figures import number
from data.tables import Table

FEWEST = 50
FEWEST_DISTINCT, FEWEST_LEVELS = 10, 3

MOST_WILD, GAP = 3, 20.0
"""So many rows at most, each so many times as far from the middle as all others."""

FEWEST_ALIKE = 3
"""Rows with the same value at an end that make a spike."""

NEGATIVE, NINES, PLAIN = 0.4, 1.0, 3.0
"""How far a spike lies beyond the others, in distances from their middle to their end: the only negative number, one of
nines alone, any other."""

LEAST_REACH = 0.05
"""Of the others' width, where their middle is their end."""

EXPECTED_TWINS = 10.0
"""Equal pairs that chance would make among amounts; where there is none, they are no amounts: once in 20,000 times."""

ZIP = re.compile(
    r"(.*[\W_])?(zip|plz|postleitzahl|(zip|post|postal|pin)[\W_]?code)s?([\W_].*)?", re.IGNORECASE
)
CODE = re.compile(r"(.*[\W_])?(id|code|uuid|key)|.*[a-z](Id|ID|Code)")
YEAR = re.compile(r".*(year|jahr|yr|annee|année).*", re.IGNORECASE)
YEARS = (1850.0, 2100.0)

Floats = NDArray[np.float64]


def wild(table: Table, *, ignored: Sequence[str] = (), target: str = "") -> list[Fault]:
    """Return what looks like no amount among the columns of numbers, in the table's order; the target may be named so.

    Parameters
    ----------
    table : Table
        All rows, as loaded.
    ignored : sequence of str
        Columns that are not used.
    target : str
        The column to predict; it is looked at for values only.
    """
    found: list[Fault] = []
    for name in table.names:
        if name in ignored or table.kinds[name] != "number":
            continue
        values = table.numbers(name)
        if np.isfinite(values).sum() < FEWEST:
            continue
        odd = [*_spikes(name, values)] or [*_far(name, values)]
        found += odd or ([*_names(name, values)] if name != target else [])
    return found


def years(table: Table, *, ignored: Sequence[str] = ()) -> list[str]:
    """Return a sentence for each column of years: nothing is wrong with it, but a model knows no later one."""
    found = []
    for name in table.names:
        if name in ignored or table.kinds[name] != "number" or not YEAR.fullmatch(name):
            continue
        known = _known(table.numbers(name))
        if (
            len(np.unique(known)) > 2
            and _whole(known)
            and YEARS[0] <= known.min()
            and known.max() <= YEARS[1]
        ):
            found.append(
                f"column {name!r} holds years up to {known.max():.0f}, later ones are beyond what a model learns: "
                f"split=time and time_column={name} judge it on the newest"
            )
    return found


def _spikes(name: str, values: Floats) -> Iterator[Fault]:
    """Yield a value at an end that several rows have, far from all others."""
    distinct, counts = np.unique(_known(values), return_counts=True)
    if len(distinct) <= FEWEST_LEVELS:
        return
    for value, count, others in (
        (distinct[0], counts[0], distinct[1:]),
        (distinct[-1], counts[-1], distinct[:-1]),
    ):
        end = others[0] if value < others[0] else others[-1]
        middle = float(np.median(np.repeat(distinct, counts)[np.repeat(distinct, counts) != value]))
        if len(others) < (FEWEST_LEVELS if _is_nines(value) else FEWEST_DISTINCT):
            continue  # a few levels may lie as they like
        times = NEGATIVE if value < 0.0 <= others[0] else NINES if _is_nines(value) else PLAIN
        reach = times * max(abs(middle - end), LEAST_REACH * (others[-1] - others[0]))
        if count >= FEWEST_ALIKE and abs(value - end) >= reach:
            yield Fault(
                name,
                f"{value:.15g} is far from all others, {number(others[0])} to {number(others[-1])}",
                f"pass {quote(f'missing={name}:{value:.15g}')} if it means missing",
                *at(values == value),
            )


def _is_nines(value: float) -> bool:
    return bool(re.fullmatch(r"-?99+(\.9+)?(\.0)?", f"{value:.15g}"))


def _far(name: str, values: Floats) -> Iterator[Fault]:
    """Yield the few values that lie so far from the middle that nothing lies between them and the others."""
    known = np.isfinite(values)
    distance = np.abs(np.where(known, values, np.nan) - np.median(values[known]))
    order = np.argsort(np.where(known, distance, -1.0))[::-1]
    for count in range(1, MOST_WILD + 1):
        rest = values[order[count : known.sum()]]
        if distance[order[count - 1]] > GAP * distance[order[count]] > 0.0 and _many(rest):
            rows = np.zeros(len(values), dtype=bool)
            rows[order[:count]] = True
            shown = ", ".join(number(value) for value in values[rows])
            yield Fault(
                name,
                f"{shown}, all others lie between {number(rest.min())} and {number(rest.max())}",
                "mend the table where that is a slip: one such row outweighs all others",
                *at(rows),
            )
            return


def _many(values: Floats) -> bool:
    return len(np.unique(values)) >= FEWEST_DISTINCT


def _names(name: str, values: Floats) -> Iterator[Fault]:
    """Yield a column whose numbers name things."""
    known = _known(values)
    if not _whole(known) or not _many(known) or counts_rows(known):  # that is said elsewhere
        return
    if ZIP.fullmatch(name):
        yield Fault(
            name,
            "holds postal codes, which are names and no amounts",
            _ways(name, known),
        )
    elif _all_differ(known):
        yield Fault(
            name,
            "holds whole numbers of which no two are equal, as ids do",
            f"pass exclude={quote(name)}, unless it is an amount",
        )
    elif CODE.fullmatch(name):
        yield Fault(
            name,
            "holds the numbers of things, by its name",
            _ways(name, known),
        )


def _ways(name: str, known: Floats) -> str:
    """Say how to take names as names; as categories only where they would not be left out as too many."""
    without = f"exclude={quote(name)}"
    if names_rows(len(np.unique(known)), len(known)):
        return f"pass {without}"
    return f"pass {quote(f'read={name}:text')} to take them as categories, or {without}"


def _all_differ(known: Floats) -> bool:
    """Return whether no two are equal although they stand so close that amounts would have equals."""
    if len(np.unique(known)) < len(known):
        return False
    low, high = np.quantile(known, [0.25, 0.75])
    inside = ((known >= low) & (known <= high)).sum()
    steps = np.diff(np.unique(known)).min()
    return bool(inside**2 / (2.0 * max(high - low, 1.0) / steps) >= EXPECTED_TWINS)


def _whole(known: Floats) -> bool:
    return bool((known == np.floor(known)).all())


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]
