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

from data.checks.faults import TableFault, counts_rows, rows_of
from data.checks.trainable import names_rows
from data.figures import number
from data.long_arrays import blocks, chosen, sorted_finite
from data.tables import Table

FEWEST = 50
"""Values of a column, at least, for any of them to be suspected."""

FEWEST_DISTINCT, FEWEST_LEVELS = 10, 3
"""Different values that must stand beside a suspected one, and beside one of nines alone."""

MOST_OUTLIERS, GAP = 3, 20.0
"""Outliers are so few rows at most, each so many times as far from the middle as all others."""

FEWEST_ALIKE = 3
"""Rows with the same value at an end that make a spike."""

NEGATIVE, NINES, PLAIN = 0.4, 1.0, 3.0
"""How far a spike lies beyond the others, in distances from their middle to their end: the only negative number, one of
nines alone, any other."""

LEAST_REACH = 0.05
"""How far the other values reach where their middle is their end, as a share of their width."""

EXPECTED_TWINS = 10.0
"""Equal pairs that chance would make among amounts this close; a column without one holds names, but once in 20,000."""

ZIP = re.compile(
    r"(.*[\W_])?(zip|plz|postleitzahl|(zip|post|postal|pin)[\W_]?code)s?([\W_].*)?", re.IGNORECASE
)
CODE = re.compile(r"(.*[\W_])?(id|code|uuid|key)|.*[a-z](Id|ID|Code)")
YEAR = re.compile(r".*(year|jahr|yr|annee|année).*", re.IGNORECASE)
YEARS = (1850.0, 2100.0)
"""The first and the last year that a column of years may hold."""

Floats = NDArray[np.float64]


def suspect_numbers(table: Table, *, ignored: Sequence[str] = (), target: str = "") -> list[TableFault]:
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
    faults: list[TableFault] = []
    for name in table.names:
        if name in ignored or table.kinds[name] != "number":
            continue
        values = table.numbers(name)
        known = sorted_finite(values)  # once: a column may have millions of rows
        if len(known) < FEWEST:
            continue
        odd = [*_spikes(name, values, known)] or [*_far(name, values, known)]
        faults += odd or ([*_names(name, values, known)] if name != target else [])
    return faults


def years_in_words(table: Table, *, ignored: Sequence[str] = ()) -> list[str]:
    """Return a sentence for each column of years: nothing is wrong with it, but a model knows no later one."""
    sentences = []
    for name in table.names:
        if name in ignored or table.kinds[name] != "number" or not YEAR.fullmatch(name):
            continue
        known = sorted_finite(table.numbers(name))
        if _has(known, 3) and YEARS[0] <= known[0] and known[-1] <= YEARS[1] and _whole(known):
            sentences.append(
                f"column {name!r} holds years up to {known[-1]:.0f}, later ones are beyond what a model learns: "
                f"split=time and time_column={name} judge it on the newest"
            )
    return sentences


def _spikes(name: str, values: Floats, ordered: Floats) -> Iterator[TableFault]:
    """Yield a value at an end that several rows have, far from all others."""
    low, high = ordered[0], ordered[-1]
    above, below = ordered[ordered.searchsorted(low, "right") :], ordered[: ordered.searchsorted(high)]
    for value, others, end in ((low, above, 0), (high, below, -1)):
        nines = _is_nines(value)
        if len(ordered) - len(others) < FEWEST_ALIKE or not _has(
            others, FEWEST_LEVELS if nines else FEWEST_DISTINCT
        ):
            continue  # a few levels may lie as they like
        times = NEGATIVE if value < 0.0 <= others[0] else NINES if nines else PLAIN
        middle, width = others[len(others) // 2], others[-1] - others[0]
        if abs(value - others[end]) >= times * max(abs(middle - others[end]), LEAST_REACH * width):
            yield TableFault(
                name,
                f"{value:.15g} is far from all others, {number(others[0])} to {number(others[-1])}",
                f"pass {quote(f'missing={name}:{value:.15g}')} if it means missing",
                *rows_of(values == value),
            )


def _is_nines(value: float) -> bool:
    return bool(re.fullmatch(r"-?99+(\.9+)?(\.0)?", f"{value:.15g}"))


def _far(name: str, values: Floats, ordered: Floats) -> Iterator[TableFault]:
    """Yield the few values that lie so far from the middle that nothing lies between them and the others."""
    middle = ordered[len(ordered) // 2]
    ends = np.concatenate([ordered[: MOST_OUTLIERS + 1], ordered[-MOST_OUTLIERS - 1 :]])
    ends = ends[np.argsort(-np.abs(ends - middle), kind="stable")]
    distance = np.abs(ends - middle)
    for count in range(1, MOST_OUTLIERS + 1):
        if not distance[count - 1] > GAP * distance[count] > 0.0:
            continue
        below = int((ends[:count] < middle).sum())
        rest = ordered[below : len(ordered) - count + below]
        if _has(rest, FEWEST_DISTINCT):
            rows = np.isin(values, ends[:count])
            shown = ", ".join(number(value) for value in values[rows])
            yield TableFault(
                name,
                f"{shown}, all others lie between {number(rest[0])} and {number(rest[-1])}",
                "mend the table where that is a slip: one such row outweighs all others",
                *rows_of(rows),
            )
        return


def _has(ordered: Floats, distinct: int) -> bool:
    return len(ordered) > 0 and _distinct(ordered) >= distinct


def _distinct(ordered: Floats) -> int:
    return 1 + sum(int(np.count_nonzero(steps)) for steps in _steps(ordered))


def _steps(ordered: Floats) -> Iterator[Floats]:
    """Yield how far the next value is from each, a block at a time."""
    for part in blocks(len(ordered)):
        yield np.diff(ordered[part.start : part.stop + 1])


def _names(name: str, values: Floats, ordered: Floats) -> Iterator[TableFault]:
    """Yield a column whose numbers name things."""
    if not _whole(ordered) or not _has(ordered, FEWEST_DISTINCT):
        return
    if counts_rows(chosen(values, np.isfinite(values))):  # that is said elsewhere
        return
    if ZIP.fullmatch(name):
        yield TableFault(
            name,
            "holds postal codes, which are names and no amounts",
            _ways(name, ordered),
        )
    elif _all_differ(ordered):
        yield TableFault(
            name,
            "holds whole numbers of which no two are equal, as ids do",
            f"pass exclude={quote(name)}, unless it is an amount",
        )
    elif CODE.fullmatch(name):
        yield TableFault(
            name,
            "holds the numbers of things, by its name",
            _ways(name, ordered),
        )


def _ways(name: str, ordered: Floats) -> str:
    """Say how to take names as names; as categories only where they would not be left out as too many."""
    without = f"exclude={quote(name)}"
    if names_rows(_distinct(ordered), len(ordered)):
        return f"pass {without}"
    return f"pass {quote(f'read={name}:text')} to take them as categories, or {without}"


def _all_differ(ordered: Floats) -> bool:
    """Return whether no two are equal although they stand so close that amounts would have equals."""
    least = min(float(steps.min(initial=np.inf)) for steps in _steps(ordered))
    low, high = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
    return least > 0.0 and bool((len(ordered) / 2.0) ** 2 / (2.0 * (high - low) / least) >= EXPECTED_TWINS)


def _whole(known: Floats) -> bool:
    return all((known[part] == np.floor(known[part])).all() for part in blocks(len(known)))
