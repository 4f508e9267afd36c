"""Trees of few leaves, asked by tables in place of branches: the same leaves, added in the same order.

What the tests of one column leave over of a tree's leaves depends on the value's rank among all that the trees compare
it with. So a tree is a table for each of its columns, from ranks to masks of leaves; the one leaf that is in all of
them is the tree's (QuickScorer: Lucchese et al. 2015, SIGIR, which has masks of failed tests alone). Columns of few
ranks share a table. A processor guesses wrongly at every other branch of a tree, and at none here: 200 trees of 31
leaves take a row 1.2 us, in onnxruntime 4.3.

Leaves are added in the order of the trees, as onnxruntime does with one thread: the sum has the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.scorer.graph_checks import Node
from serving.scorer.intervals import Floats

LEQ, EQ, MEMBER = 0, 4, 6
"""The tests that are known here, all that Slipway writes."""

SHARED_RANKS = 2_048
"""Ranks of a table that columns share: it stays in the cache while a block of rows passes."""

MOST_TABLES = 16
"""For each tree, on average: with more of them branches are no slower."""

MOST_CELLS = 2**24
"""Of all tables, each of four bytes or eight."""

MORE_RANKS = 2
"""Of a column than it has cuts: behind the last one, and where there is no value."""

PLACES: dict[Any, tuple[int, int]] = {
    np.uint32: (0x077CB531, 27),
    np.uint64: (0x03F79D71B4CB0A89, 58),
}
"""By which number a mask of one leaf is multiplied, and how far the product is shifted, for a place of its own.

De Bruijn sequences: Leiserson, Prokop and Randall 1998.
"""


class TreeTables(NamedTuple):
    """Tables of masks, each with the number of the ranks that it is for; the values of the leaves by their places."""

    tables: tuple[tuple[int, NDArray[Any]], ...]
    values: Floats


class LeafMasks:
    """An ensemble as tables.

    Attributes
    ----------
    cuts : dict of column to sorted float array
        What its values are compared with; a value's rank is how many of them are below it, a gap's one more than any.
    shared : list of lists of columns
        Whose ranks are one number together.
    coded : list of columns
        Whose values are looked for in sets.
    """

    def __init__(self, nodes: _Nodes, cuts: dict[int, Floats], shared: list[list[int]]) -> None:
        self._bits, self.cuts, self.shared = nodes.bits, cuts, shared
        self.coded = [column for column in cuts if nodes.is_coded(column)]
        masks = {column: nodes.masks(column, each) for column, each in cuts.items()}
        self.trees = [
            TreeTables(_tables(tree, shared, masks, whole), nodes.values(tree))
            for tree, whole in enumerate(nodes.whole)
        ]

    def __call__(self, matrix: Floats) -> Floats:
        """Return the sum of the trees, shape (n_rows,), of what they look at, shape (n_rows, n_columns)."""
        ranks = [self._ranks(matrix, columns) for columns in self.shared]
        factor, shift = map(self._bits, PLACES[self._bits])
        mask, other = np.empty((2, len(matrix)), dtype=self._bits)
        place, value = np.empty(len(matrix), dtype=np.intp), np.empty(len(matrix))
        total = np.zeros(len(matrix))
        for (first, *others), values in self.trees:
            first[1].take(ranks[first[0]], out=mask, mode="clip")
            for index, table in others:
                table.take(ranks[index], out=other, mode="clip")
                np.bitwise_and(mask, other, out=mask)
            np.multiply(mask, factor, out=mask)
            np.right_shift(mask, shift, out=place, casting="unsafe")
            values.take(place, out=value, mode="clip")
            np.add(total, value, out=total)
        return total

    def _ranks(self, matrix: Floats, columns: list[int]) -> NDArray[np.intp]:
        ranks = np.zeros(len(matrix), dtype=np.intp)
        for column in columns:
            values = np.ascontiguousarray(matrix[:, column])
            rank = np.searchsorted(self.cuts[column], values)
            rank[np.isnan(values)] = len(self.cuts[column]) + 1
            ranks = ranks * (len(self.cuts[column]) + MORE_RANKS) + rank
        return ranks

    def knows(self, matrix: Floats) -> bool:
        """Whether each value that is tested for being in a set is whole or a gap: onnxruntime cuts others down."""
        coded = matrix[:, self.coded]
        return bool(((np.trunc(coded) == coded) | np.isnan(coded)).all())

    def hard_rows(self, rows: int, width: int) -> Floats:
        """Return rows of shape (rows, width) that stand at and beside what the trees compare with, gaps among them.

        None is beyond all codes: what looks up a category would look beyond its table.
        """
        random = np.random.default_rng(0)
        matrix = np.zeros((rows, width))
        for column, cuts in self.cuts.items():
            beside = cuts + 1 if column in self.coded else np.nextafter(cuts, np.inf)
            matrix[:, column] = random.choice([*cuts, *beside, -np.inf, np.nan], rows)
        return matrix


def leaf_masks(node: Node) -> LeafMasks | None:
    """Return an ensemble as tables; None for trees of many leaves, of other tests, or of too many thresholds."""
    modes = node.attribute("nodes_modes")
    leaves = np.diff(node.attribute("tree_roots"), append=len(modes)) + 1
    known = np.isin(modes, (LEQ, EQ, MEMBER)).all() and node.attribute("aggregate_function").tolist() == 1
    if not known or node.attribute("post_transform").any() or not _in_order(node, leaves):
        return None
    nodes = _Nodes(node, leaves)
    cuts = {column: nodes.cuts(column) for column in np.unique(nodes.columns).tolist()}
    asked = np.bincount(nodes.columns)
    if sum(len(each) * int(asked[column]) for column, each in cuts.items()) > MOST_CELLS:
        return None
    shared = _shared({column: len(each) + MORE_RANKS for column, each in cuts.items()})
    of_group = {column: index for index, columns in enumerate(shared) for column in columns}
    groups = np.array([of_group[column] for column in nodes.columns.tolist()])
    tables = np.bincount(np.unique(nodes.tree * len(shared) + groups) % len(shared), minlength=len(shared))
    sizes = [math.prod(len(cuts[column]) + MORE_RANKS for column in columns) for columns in shared]
    if tables.sum() > MOST_TABLES * len(leaves) or int(tables @ sizes) > MOST_CELLS:
        return None
    return LeafMasks(nodes, cuts, shared)


def _in_order(node: Node, leaves: NDArray[np.int64]) -> bool:
    """Whether each tree's nodes and leaves stand together, in the order of the trees, and each leaf is met once."""
    starts, count = node.attribute("tree_roots"), len(node.attribute("nodes_modes"))
    if (
        starts[0] != 0
        or leaves.min() < 2
        or leaves.max() > 64
        or leaves.sum() != node.attribute("leaf_weights").size
    ):
        return False
    tree = np.repeat(np.arange(len(starts)), leaves - 1)
    first_leaf = np.cumsum(leaves) - leaves
    ends, links = (
        np.concatenate([node.attribute(f"nodes_{side}{what}s") for side in ("true", "false")])
        for what in ("leaf", "nodeid")
    )
    of_tree = np.concatenate([tree, tree])
    to_leaf = ends == 1
    once = np.bincount(links[to_leaf], minlength=int(leaves.sum()))
    met = np.bincount(links[~to_leaf], minlength=count)
    met[starts] += 1
    within = (links[to_leaf] >= first_leaf[of_tree[to_leaf]]) & (
        links[to_leaf] < (first_leaf + leaves)[of_tree[to_leaf]]
    )
    same = tree[links[~to_leaf]] == of_tree[~to_leaf]
    return bool((once == 1).all() and (met == 1).all() and within.all() and same.all())


class _Nodes:
    """The attributes of an ensemble, and which leaves each node leads to."""

    def __init__(self, node: Node, leaves: NDArray[np.int64]) -> None:
        self.columns, self._modes = node.attribute("nodes_featureids"), node.attribute("nodes_modes")
        self._splits, self._weights = node.attribute("nodes_splits"), node.attribute("leaf_weights")
        tracks = node.attribute("nodes_missing_value_tracks_true")
        self._tracks = tracks == 1 if tracks.size else np.zeros(len(self._modes), dtype=np.bool_)
        self._leaves, self._first_leaf = leaves, np.cumsum(leaves) - leaves
        self.tree = np.repeat(np.arange(len(leaves)), leaves - 1)
        self.bits: Any = np.uint32 if leaves.max() <= 32 else np.uint64
        self.yes, self.no = self._led_to(node)
        self.whole = (self.yes | self.no)[node.attribute("tree_roots")]
        members = node.attribute("membership_values")
        sets = np.split(members, np.flatnonzero(np.isnan(members)) + 1)
        self._sets = dict(zip(np.flatnonzero(self._modes == MEMBER).tolist(), sets, strict=False))

    def _led_to(self, node: Node) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the masks of the leaves behind each node's two links: links lead on, so from the last node back."""
        sides = [
            (node.attribute(f"nodes_{side}leafs").tolist(), node.attribute(f"nodes_{side}nodeids").tolist())
            for side in ("true", "false")
        ]
        first = self._first_leaf[self.tree].tolist()
        behind: list[list[int]] = [[0] * len(first), [0] * len(first)]
        for at in reversed(range(len(first))):
            for masks, (ends, links) in zip(behind, sides, strict=True):
                to = links[at]
                masks[at] = 1 << (to - first[at]) if ends[at] else behind[0][to] | behind[1][to]
        return np.array(behind[0], dtype=self.bits), np.array(behind[1], dtype=self.bits)

    def is_coded(self, column: int) -> bool:
        """Whether a column is tested for being in a set."""
        return bool((self._modes[self.columns == column] != LEQ).any())

    def cuts(self, column: int) -> Floats:
        """Return where outcomes change: behind a threshold, before and behind a member of a set."""
        at = np.flatnonzero(self.columns == column)
        single = [self._splits[at][self._modes[at] == EQ]]
        members = np.concatenate(
            single + [self._sets[node][:-1] for node in at.tolist() if node in self._sets]
        )
        thresholds = self._splits[at][self._modes[at] == LEQ]
        return np.unique(np.concatenate([thresholds, members, members - 1]))

    def masks(self, column: int, cuts: Floats) -> dict[int, NDArray[Any]]:
        """Return for each tree that asks about a column which leaves are left over at each rank."""
        at = np.flatnonzero(self.columns == column)
        values = np.concatenate([cuts, [np.inf, np.nan]])
        splits = self._splits[at][:, None]
        outcome = np.where((self._modes[at] == LEQ)[:, None], values <= splits, values == splits)
        for index, node in enumerate(at.tolist()):
            if node in self._sets:
                outcome[index] = np.isin(values, self._sets[node][:-1])
        outcome[:, -1] = self._tracks[at]
        excluded = np.where(outcome, self.no[at][:, None], self.yes[at][:, None])
        trees, starts = np.unique(self.tree[at], return_index=True)
        left = self.whole[trees][:, None] & ~np.bitwise_or.reduceat(excluded, starts, axis=0)
        return dict(zip(trees.tolist(), left, strict=True))

    def values(self, tree: int) -> Floats:
        """Return the values of a tree's leaves by the places of their masks."""
        factor, shift = map(self.bits, PLACES[self.bits])
        count, first = int(self._leaves[tree]), int(self._first_leaf[tree])
        places = ((self.bits(1) << np.arange(count, dtype=self.bits)) * factor) >> shift
        values = np.zeros(np.iinfo(self.bits).bits)
        values[places.astype(np.intp)] = self._weights[first : first + count]
        return values


def _shared(ranks: Mapping[int, int]) -> list[list[int]]:
    """Put columns together as long as they have few ranks together, those of the most ranks first."""
    groups: list[list[int]] = []
    for column in sorted(ranks, key=lambda each: -ranks[each]):
        fits = [
            group for group in groups if np.prod([float(ranks[c]) for c in (*group, column)]) <= SHARED_RANKS
        ]
        if fits:
            fits[0].append(column)
        else:
            groups.append([column])
    return groups


def _tables(
    tree: int, shared: list[list[int]], masks: Mapping[int, Mapping[int, NDArray[Any]]], whole: Any
) -> tuple[tuple[int, NDArray[Any]], ...]:
    tables = []
    for index, columns in enumerate(shared):
        if any(tree in masks[column] for column in columns):
            each = [masks[c].get(tree, np.full(_ranks_of(masks[c]), whole)) for c in columns]
            tables.append((index, reduce(lambda one, other: (one[:, None] & other).ravel(), each)))
    return tuple(tables)


def _ranks_of(masks: Mapping[int, NDArray[Any]]) -> int:
    return len(next(iter(masks.values())))
