"""What leaves add, looked up: a table of all patterns of failed conditions for some leaves, and which one a row makes.

A condition is what a path to a leaf asks of one column. Leaves that ask nearly the same are looked up together. A
feature's rank says at once which conditions fail by it: a byte a table, a bit a condition. The bytes of all features,
or-ed, are the row of each table, and the sum of these rows is the answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.scorer.intervals import Floats

MOST_BITS = 8
"""Columns on a path that is looked up: a byte."""

MOST_COLUMNS = 32
"""Of the model: each row of a table has them all."""

MOST_NUMBERS = 2 * 2**20
"""Of what single leaves add: 16 MB, and 32 once they are put together."""

UNITED_BITS, GROWTH = 7, 2
"""Leaves are put together up to so many conditions, and as long as their table is so many times theirs alone."""

MOST_LEAVES = 20_000
"""They are put together within a second."""

MOST_BYTES = 2**25
"""Kept of where rows fail."""

TOGETHER = 4_096
"""Leaves whose rows are added at once: they stay in the cache."""

Ints = NDArray[Any]


class Condition(NamedTuple):
    """What some units ask of one feature by one of their bits: they pass where its rank has `passes`."""

    feature: int
    bit: int
    units: Ints
    passes: NDArray[np.bool_]


def fits(leaves: Mapping[int, int], columns: int, ranks: int) -> list[int]:
    """Return the numbers of columns on a path, of those of so many leaves each, that can be looked up."""
    chosen: list[int] = []
    if columns > MOST_COLUMNS:
        return chosen
    numbers = bytes_ = together = 0
    for count in sorted(leaves):
        numbers += leaves[count] * columns << min(count, 40)
        bytes_ += leaves[count] * ranks
        together += leaves[count]
        if together > MOST_LEAVES or count > MOST_BITS or numbers > MOST_NUMBERS or bytes_ > MOST_BYTES:
            break
        chosen.append(count)
    return chosen


class PathPlaces(NamedTuple):
    """What the places of leaves ask, one place a column on the path to one leaf: lists as long as there are places.

    A place asks of a feature that its rank is above `low` and not above `high`, or what `gap` says where it is missing;
    `more` has further such features, `sets` features and the numbers of the sets that they must be in.
    """

    player: list[int]
    base: list[tuple[int, ...]]
    more: Mapping[int, tuple[tuple[int, ...], ...]]
    sets: Mapping[int, tuple[tuple[int, ...], ...]]


def places_of(arrays: Mapping[str, Ints], counts: Sequence[int]) -> tuple[PathPlaces, list[list[int]]]:
    """Return the places of the groups of leaves, and those of each leaf in the order of its columns."""
    result = PathPlaces([], [], {}, {})
    leaves: list[list[int]] = []
    for count in counts:
        first, width = len(result.player), arrays[f"player_{count}"].shape[1]
        result.player.extend(arrays[f"player_{count}"].reshape(-1).tolist())
        asked = [arrays[f"{name}_{count}"].reshape(-1).tolist() for name in ("feature", "low", "high", "gap")]
        result.base.extend(zip(*asked, strict=True))
        for rows, further in ((arrays[f"more_{count}"], result.more), (arrays[f"set_{count}"], result.sets)):
            for _, index, *each in rows.tolist():
                further[first + index] = (*further.get(first + index, ()), tuple(each))  # type: ignore[index]
        leaves.extend([first + leaf + width * index for index in range(count)] for leaf in range(width))
    return result, leaves


class Unit(NamedTuple):
    """Leaves that are looked up together, and the conditions that any of them asks."""

    conditions: set[int]
    leaves: list[int]


def units_of(leaves: Sequence[Sequence[int]]) -> list[Unit]:
    """Return leaves, given by their conditions, put together where they share some: the rarest are tried first."""
    units = [Unit(set(asked), [leaf]) for leaf, asked in enumerate(leaves)]
    at = list(units)
    asking: dict[int, list[int]] = {}
    for leaf, asked in enumerate(leaves):
        for condition in asked:
            asking.setdefault(condition, []).append(leaf)
    for those in sorted((each for each in asking.values() if len(each) > 1), key=len):
        around = {id(at[leaf]): at[leaf] for leaf in those}
        current: Unit | None = None
        for unit in sorted(around.values(), key=lambda each: -len(each.conditions)):
            if current is not None and _go_together(current, unit, leaves):
                current.conditions.update(unit.conditions)
                current.leaves.extend(unit.leaves)
                for leaf in unit.leaves:
                    at[leaf] = current
            elif current is None or len(unit.conditions) < UNITED_BITS:
                current = unit
    return list({id(unit): unit for unit in at}.values())


def _go_together(one: Unit, other: Unit, leaves: Sequence[Sequence[int]]) -> bool:
    bits = len(one.conditions | other.conditions)
    if bits > UNITED_BITS:
        return False
    return 1 << bits <= GROWTH * sum(1 << len(leaves[leaf]) for leaf in (*one.leaves, *other.leaves))


class Failing:
    """Which conditions a row fails: for each feature and rank of its, a byte for each unit with a bit for each."""

    def __init__(
        self, arrays: Mapping[str, Ints], places: PathPlaces, asked: Sequence[Sequence[int]]
    ) -> None:
        """Take for each unit the places that stand for its conditions, in the order of the bits."""
        ends = arrays["starts"].tolist()
        self._known = [arrays["thresholds"][start:end].tolist() for start, end in pairwise(ends)]
        self._is_set = arrays["is_set"].astype(bool).tolist()
        sizes = [len(known) + 2 for known in self._known]  # one of what is beyond, and one of what is missing
        self._starts = np.cumsum([0, *sizes]).tolist()
        self._bytes = np.zeros((self._starts[-1], len(asked)), np.uint8)
        for feature, bit, units, passes in _conditions(arrays, places, asked, sizes):
            rows = slice(self._starts[feature], self._starts[feature + 1])
            self._bytes[rows, units] |= ~passes * np.uint8(1 << bit)

    def of(self, row: Sequence[float]) -> Ints:
        """Return each leaf's failed columns as bits, shape (n_leaves,), of a row of features."""
        places = []
        for value, known, is_set, start in zip(row, self._known, self._is_set, self._starts, strict=False):
            if isnan(value):
                places.append(start + len(known) + 1)
                continue
            rank = bisect_left(known, value)
            if is_set and not (rank < len(known) and known[rank] == value):
                rank = len(known)
            places.append(start + rank)
        result: Ints = np.bitwise_or.reduce(self._bytes.take(places, axis=0), axis=0)
        return result


def _conditions(
    arrays: Mapping[str, Ints], places: PathPlaces, asked: Sequence[Sequence[int]], sizes: Sequence[int]
) -> Iterator[Condition]:
    """Yield what is asked of one feature by one bit of the units: of each unit once."""
    ranges: dict[tuple[int, int, int], list[tuple[int, ...]]] = {}
    members: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for unit, those in enumerate(asked):
        for bit, index in enumerate(those):
            for layer, (feature, *rest) in enumerate((places.base[index], *places.more.get(index, ()))):
                ranges.setdefault((feature, bit, layer), []).append((unit, *rest))
            for layer, (feature, number) in enumerate(places.sets.get(index, ())):
                members.setdefault((feature, bit, layer), []).append((unit, number))
    for (feature, bit, _), rows in ranges.items():
        units, low, high, gap = np.array(rows).T
        ranks = np.arange(sizes[feature] - 1)[:, None]
        yield Condition(
            feature, bit, units, np.concatenate([(ranks > low) & (ranks <= high), gap[None] == 1])
        )
    sets = arrays["sets"].astype(bool)
    for (feature, bit, _), pairs in members.items():
        units, numbers = np.array(pairs).T
        yield Condition(feature, bit, units, sets[numbers, : sizes[feature]].T)


class LeafTables:
    """Adds up what leaves of few columns add, one row at a time."""

    def __init__(
        self, arrays: Mapping[str, Ints], counts: Sequence[int], tables: Sequence[Floats], columns: int
    ) -> None:
        """Take the groups of leaves, and what each adds for each pattern of passes, shape (n_leaves, 2 ** k, k)."""
        places, leaves = places_of(arrays, counts)
        known: dict[Any, int] = {}
        of_place = [
            known.setdefault((player, base, places.more.get(index), places.sets.get(index)), index)
            for index, (player, base) in enumerate(zip(places.player, places.base, strict=True))
        ]
        asked = [[of_place[index] for index in leaf] for leaf in leaves]
        units = units_of(asked)
        bits = [sorted(unit.conditions) for unit in units]
        self._failing = Failing(arrays, places, bits)
        sizes = [1 << len(each) for each in bits]
        self._starts = np.cumsum([0, *sizes])[:-1]
        self._added = np.zeros((sum(sizes), columns))
        each_leaf = [table for group in tables for table in group[:, ::-1]]  # by what fails
        for start, unit, conditions in zip(self._starts.tolist(), units, bits, strict=True):
            rows = self._added[start : start + (1 << len(conditions))]
            for leaf in unit.leaves:
                patterns = _patterns(conditions, asked[leaf])
                rows[:, [places.player[index] for index in leaves[leaf]]] += each_leaf[leaf][patterns]
        self._ones, self._columns = np.ones(TOGETHER), columns

    def shares(self, row: Sequence[float]) -> Floats:
        """Return each column's share, shape (n_columns,), of a row of features."""
        places = self._starts + self._failing.of(row)
        shares, rows = np.zeros(self._columns), np.empty((min(TOGETHER, len(places)), self._columns))
        for start in range(0, len(places), TOGETHER):
            some = places[start : start + TOGETHER]
            self._added.take(some, axis=0, out=rows[: len(some)], mode="clip")
            shares += self._ones[: len(some)] @ rows[: len(some)]
        return shares


def _patterns(conditions: Sequence[int], own: Sequence[int]) -> Ints:
    """Return for each pattern of a unit's conditions the pattern of one leaf's own."""
    every, result = np.arange(1 << len(conditions)), np.zeros(1 << len(conditions), np.int64)
    for bit, condition in enumerate(own):
        result |= (every >> conditions.index(condition) & 1) << bit
    return result
