"""Trees, exactly: path-dependent Shapley values as a Gauss-Legendre sum (Quadrature-TreeSHAP, arXiv 2605.04497).

A leaf of value v is reached in the game of a coalition with the product, over the columns on its path, of whether the
row passes all of the column's splits (o) where the column is in the coalition, and of the share of training rows that
did (r) where it is not. So, with k columns on the path,

    phi_i = v (o_i - r_i) * integral from 0 to 1 of prod over j != i of (p o_j + (1 - p) r_j) dp

and the integrand is a polynomial of degree k - 1: ceil(k / 2) nodes integrate it exactly, whatever k is. Leaves of as
many columns stand together. Splits compare ranks: a number's among the thresholds of its column, a category's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import TooSlow
from serving.scorer.errors import NotAScorer
from serving.scorer.intervals import Floats
from serving.scorer.reasons.leaf_tables import LeafTables, fits
from serving.scorer.scorer_files import EXPLAIN_FILE

METHOD_NAME = "tree-paths"
LEAST_SHARE = 1e-150
"""Stands for 0, which the products are divided by: of two such the product is still a number."""

MANY_ROWS = 8
"""In one block: from here on a table of all patterns is made once, and looked up."""

MOST_BITS = 8
TABLE_NUMBERS = 4 * 2**20
"""Kept of what leaves add: 32 MB at most. 200 trees of 31 leaves over 8 columns take 6."""

FIRST_ROWS = 64
"""That are worked out: tables of a large model take a quarter of a second, as long as some 500 rows."""

ROWS_BETWEEN_LOOKS = 64
"""At the clock."""

BLOCK_NUMBERS = 2**20
"""Places that are looked at together."""

MOST_WORK = 2**25
"""Numbers that are made at once for one row, about: 256 MB."""

Features = Callable[[Floats], Floats]
Ints = NDArray[np.int32]


class Ranks:
    """Each feature's value as one of few: which thresholds it is above, or which of the known values it is."""

    def __init__(self, values: Floats, starts: Ints, is_set: NDArray[np.uint8]) -> None:
        self._values = [values[start:end] for start, end in pairwise(starts.tolist())]
        self._is_set = is_set.astype(bool)

    def of(self, features: Floats) -> tuple[Ints, NDArray[np.bool_]]:
        """Return ranks and what is missing, both of shape (n_rows, n_features)."""
        ranks, missing = np.empty(features.shape, dtype=np.int32), np.isnan(features)
        for index, known in enumerate(self._values):
            column = features[:, index]
            result = np.searchsorted(known, column)
            if self._is_set[index]:
                inside = np.minimum(result, len(known) - 1)
                result = np.where(known[inside] == column, inside, len(known))
                result[missing[:, index]] = len(known) + 1
            ranks[:, index] = result
        return ranks, missing


class Conditions:
    """What each place, one column on the path to one leaf, asks of a row; the places stand group by group."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], counts: list[int]) -> None:
        def joined(name: str) -> NDArray[Any]:
            return np.concatenate(
                [np.zeros(0, np.int32), *(arrays[f"{name}_{each}"].reshape(-1) for each in counts)]
            )

        self._feature, self._low, self._high = joined("feature"), joined("low"), joined("high")
        self._gap, self._sets = joined("gap").astype(bool), arrays["sets"].astype(bool)
        sizes = [arrays[f"player_{each}"].size for each in counts]
        starts = np.cumsum([0, *sizes]).tolist()
        self._more = _layers([arrays[f"more_{each}"] for each in counts], starts)
        self._in_sets = _layers([arrays[f"set_{each}"] for each in counts], starts)

    def hold(self, ranks: Ints, missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether each row, of ranks of shape (n_rows, n_features), passes at each place."""
        own = ranks.take(self._feature, axis=1)
        passed = own > self._low
        passed &= own <= self._high
        gaps = bool(missing.any())
        if gaps:
            passed = np.where(missing.take(self._feature, axis=1), self._gap, passed)
        for places, feature, low, high, gap in self._more:
            own = ranks.take(feature, axis=1)
            holds = (own > low) & (own <= high)
            passed[:, places] &= np.where(missing.take(feature, axis=1), gap == 1, holds) if gaps else holds
        for places, feature, number in self._in_sets:
            passed[:, places] &= self._sets[number, ranks.take(feature, axis=1)]
        return passed


def _layers(groups: list[NDArray[Any]], starts: list[int]) -> list[NDArray[Any]]:
    """Return further conditions by layer: within one, no place has two. Columns: places, and what they ask."""
    rows = np.concatenate(
        [
            np.zeros((0, groups[0].shape[1] if groups else 4), np.int64),
            *(
                each + np.eye(1, each.shape[1], 1, dtype=np.int64) * start
                for each, start in zip(groups, starts[:-1], strict=True)
            ),
        ]
    )
    return [np.ascontiguousarray(rows[rows[:, 0] == layer, 1:].T) for layer in np.unique(rows[:, 0])]


class Leaves:
    """Those with k columns on their paths: what each adds, for a row that passes the splits of some of them.

    There are 2 ** k patterns of such rows. Many rows look up what was worked out for all patterns once; for few
    rows that is dearer than working out their own, for each leaf's lies elsewhere in memory.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], count: int) -> None:
        self._players = arrays[f"player_{count}"].astype(np.int64)
        self.count, self.leaves = self._players.shape
        self._share = np.maximum(arrays[f"share_{count}"], LEAST_SHARE)
        nodes, weights = np.polynomial.legendre.leggauss((count + 1) // 2)
        nodes = (nodes[:, None, None] + 1.0) / 2.0
        self._missed = (1.0 - nodes) * self._share
        self._passed = self._missed + nodes
        self._weighted = weights[:, None] / 2.0 * arrays[f"value_{count}"]
        self.table_size = 2**count * self._share.size if count <= MOST_BITS else TABLE_NUMBERS + 1
        self._table: Floats | None = None

    def shares(self, passed: NDArray[np.bool_], columns: int, *, by_table: bool) -> Floats:
        """Return each column's share of what rows that pass (n_rows, k * n_leaves) get, (n_rows, columns)."""
        split = passed.reshape(len(passed), self.count, self.leaves)
        if not by_table:
            own = [
                np.bincount(self._players.reshape(-1), self._added(row).reshape(-1), columns) for row in split
            ]
            return np.array(own, dtype=np.float64)
        if self._table is None:
            self._table = self._all()
        bits = np.packbits(split, axis=1, bitorder="little")[:, 0].T.astype(np.int64)
        bits += np.arange(self.leaves)[:, None] << self.count
        added = self._table.take(bits, axis=0)
        places = self._players.T[:, None, :] + np.arange(len(passed))[:, None] * columns
        sums = np.bincount(places.reshape(-1), added.reshape(-1), len(passed) * columns)
        return sums.astype(np.float64).reshape(len(passed), columns)

    def table(self) -> Floats:
        """Return what each leaf adds for each pattern of passes, shape (n_leaves, 2 ** k, k)."""
        return self._all().reshape(self.leaves, 2**self.count, self.count)

    def _all(self) -> Floats:
        """Return what each leaf adds for each pattern of passes, shape (n_leaves * 2 ** k, k)."""
        patterns = np.arange(2**self.count)[:, None] >> np.arange(self.count) & 1 == 1
        every = [self._added(np.repeat(row[:, None], self.leaves, axis=1)).T for row in patterns]
        return np.stack(every, axis=1).reshape(-1, self.count)

    def _added(self, passed: NDArray[np.bool_]) -> Floats:
        """Return what each place adds for one row that passes these, both of shape (k, n_leaves)."""
        factors = np.where(passed, self._passed, self._missed)
        products = np.multiply.reduce(factors, axis=1) * self._weighted
        others = np.divide(products[:, None, :], factors, out=factors).sum(axis=0)
        result: Floats = others * (passed - self._share)
        return result


class WorkedOut:
    """What some groups of leaves add, by what each of their places asks of a row."""

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], groups: Sequence[Leaves], columns: int, *, keeps: bool
    ) -> None:
        """Take the groups; `keeps` says whether tables of patterns are made for many rows."""
        self._conditions = Conditions(arrays, [group.count for group in groups])
        self.groups, self._columns = groups, columns
        places = sum(group.count * group.leaves for group in groups)
        sizes = np.cumsum([group.table_size for group in groups])
        self._has_table = [keeps and size <= TABLE_NUMBERS for size in sizes.tolist()]
        self._block = max(1, BLOCK_NUMBERS // max(1, places))

    def add(self, shares: Floats, ranks: Ints, missing: NDArray[np.bool_], deadline: float) -> None:
        """Add to each row's shares; raises TooSlow."""
        for start in range(0, len(ranks), self._block):
            _check_time(deadline)
            some = slice(start, start + self._block)
            shares[some] += self._rows(ranks[some], missing[some])

    def _rows(self, ranks: Ints, missing: NDArray[np.bool_]) -> Floats:
        passed = self._conditions.hold(ranks, missing)
        shares, start = np.zeros((len(ranks), self._columns)), 0
        for group, has_table in zip(self.groups, self._has_table, strict=True):
            end = start + group.count * group.leaves
            by_table = has_table and len(ranks) >= MANY_ROWS
            shares += group.shares(passed[:, start:end], self._columns, by_table=by_table)
            start = end
        return shares


class LeafPaths:
    """Explains a sum of trees: the first rows are worked out, later ones looked up as far as that is possible."""

    method = METHOD_NAME

    def __init__(self, arrays: Mapping[str, NDArray[Any]], columns: int, features: Features) -> None:
        self._features, self._columns, self._arrays = features, columns, arrays
        _check(arrays, columns)
        self.base = float(arrays["base"][0])
        self.most_rows = 2**31
        self._ranks = Ranks(arrays["thresholds"], arrays["starts"], arrays["is_set"])
        counts = sorted(int(name.partition("_")[2]) for name in arrays if name.startswith("player_"))
        groups = {count: Leaves(arrays, count) for count in counts}
        ranks = int((np.maximum(np.diff(arrays["starts"]), 0) + 2).sum())
        self._looked = fits({count: group.leaves for count, group in groups.items()}, columns, ranks)
        self._seen, worked_out = 0, WorkedOut(arrays, list(groups.values()), columns, keeps=not self._looked)
        self._way: tuple[LeafTables | None, WorkedOut] = (None, worked_out)

    def explain(self, matrix: Floats, predictions: Floats, deadline: float) -> tuple[Floats, None]:
        """Return each column's share, (n_rows, n_columns); raises TooSlow, or NotAScorer where nothing fits."""
        shares = np.zeros((len(matrix), self._columns))
        features = self._features(matrix)
        tables, worked_out = self._way_for(len(matrix))
        if tables is not None:
            for index, row in enumerate(features.tolist()):
                if index % ROWS_BETWEEN_LOOKS == 0:
                    _check_time(deadline)
                shares[index] = tables.shares(row)
        if worked_out.groups:
            worked_out.add(shares, *self._ranks.of(features), deadline)
        shares[~np.isfinite(predictions)] = np.nan
        return shares, None

    def _way_for(self, rows: int) -> tuple[LeafTables | None, WorkedOut]:
        """Return what explains so many rows more; tables are made once that pays."""
        self._seen += rows
        if self._way[0] is None and self._looked and self._seen > FIRST_ROWS:
            groups = self._way[1].groups
            try:
                own = [group.table() for group in groups if group.count in self._looked]
                tables = LeafTables(self._arrays, self._looked, own, self._columns)
            except (KeyError, ValueError, IndexError, TypeError) as error:
                raise NotAScorer(file=EXPLAIN_FILE, reason=f"cannot be used: {error!r:.200}") from error
            rest = [group for group in groups if group.count not in self._looked]
            self._way = (tables, WorkedOut(self._arrays, rest, self._columns, keeps=True))
        return self._way


def _check_time(deadline: float) -> None:
    if time.perf_counter() > deadline:
        raise TooSlow("explaining took too long and was stopped: send fewer rows at once")


def _check(arrays: Mapping[str, NDArray[Any]], columns: int) -> None:
    """Raise ValueError where the arrays do not fit each other: what is asked of them later must find its place."""
    work = 0
    for name in [name for name in arrays if name.startswith("player_")]:
        count, players = int(name.partition("_")[2]), arrays[name]
        places = [arrays[f"{each}_{count}"] for each in ("feature", "low", "high", "gap", "share")]
        if players.ndim != 2 or len(players) != count or any(each.shape != players.shape for each in places):
            raise ValueError("its leaves do not fit")
        if arrays[f"value_{count}"].shape != players.shape[1:] or not 1 <= count <= columns:
            raise ValueError("its leaves' values do not fit")
        if players.size and not 0 <= players.min() <= players.max() < columns:
            raise ValueError("a leaf's column is none of the model's")
        work += players.size * count
    if work > MOST_WORK:
        raise ValueError("its leaves take too much to explain")
