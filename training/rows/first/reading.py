"""What all rows of a table have come to at the first reading: described, dealt to sides, counted, and some kept.

What parts of a table have come to joins, in the table's order, to what one reading of it all comes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.checks import check_table, trainable
from data.errors import DataError, NoFeatures
from data.schema import Schema
from data.splits import SIDES, Side, Split, SplitRule, splitting
from data.tables import Table, describe, row_digests
from data.tables.streams import MOST_TEXTS, ColumnFacts, Digests, Form, Smallest
from training.rows import in_words, thinned
from training.rows.again import Noted

BLOCK, MOMENT, PLACE = "\0block", "\0moment", "\0place"
"""What is kept of a row beside its cells."""


@dataclass(frozen=True)
class FirstAsked:
    """What is looked at in each row, and how many rows of each side are kept.

    Attributes
    ----------
    candidates : sequence of str
        Columns that may be features.
    """

    rule: SplitRule
    candidates: Sequence[str]
    target: str
    weight: str
    time_column: str
    most: Mapping[Side, int]


class FirstReading:
    """One reading of all rows, or of a part of them, and what it has come to.

    Attributes
    ----------
    seconds : float
        That it took by the clock; who has parts read at once says it of all of them.
    labelled : int
        Rows that have a target.
    standing, counting : dict of side to int
        Rows on each side; of these the ones that count.
    """

    def __init__(self, form: Form, asked: FirstAsked, folder: Path | None = None) -> None:
        """Begin with no rows; without a folder, memory holds what comes of them, and it may be sent."""
        self._form, self._asked = form, asked
        head = form.head
        self._facts = [
            ColumnFacts(
                name, head.kinds[name], head.readings.get(name), folder and folder / f"column-{index}"
            )
            for index, name in enumerate(asked.candidates)
        ]
        self.rows, self.blocks = Digests(folder, "rows"), Digests(folder, "blocks")
        self._samples = {side: Smallest(asked.most[side]) for side in SIDES}
        self._odd: set[str] = set()
        self._lowest, self._highest, self._counted = np.inf, -np.inf, 0
        self._weights = (np.inf, 0.0)
        self._worth = np.zeros(2)
        self.seconds = 0.0
        self.labelled = 0  # rows with a target so far, which are those above the next ones
        self.standing: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.counting: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.noted = Noted()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a part has come to, without the table."""
        return {name: value for name, value in vars(self).items() if name != "_form"}

    def close(self) -> None:
        """Let go of the files."""
        for facts in self._facts:
            facts.close()

    def read(self, tables: Iterable[Table]) -> None:
        """Look at the next rows; raises DataError."""
        began, target = time.perf_counter(), self._asked.target
        for table in tables:
            digests, has_target = row_digests(table, sorted(table.names)), ~np.isnan(table.numbers(target))
            self.rows.add(digests)
            labelled = table if has_target.all() else table.take(has_target)
            split = self._look(table, labelled, digests[has_target])
            self.noted.add(table.numbers(target), has_target, split)
        self.seconds += time.perf_counter() - began

    def add(self, part: FirstReading) -> None:
        """Join what the next rows have come to, which were read without a folder."""
        for facts, others in zip(self._facts, part._facts, strict=True):
            facts.add(others)
        self.rows.add_all(part.rows)
        self.blocks.add_all(part.blocks)
        self.noted.add_all(part.noted)
        for side in SIDES:
            self.standing[side] += part.standing[side]
            self.counting[side] += part.counting[side]
            order, kept = part._samples[side].take(part._asked.most[side])
            if len(order):
                self._samples[side].add(order, {**kept, PLACE: kept[PLACE] + self.labelled})
        self._odd |= part._odd
        self._lowest, self._highest = min(self._lowest, part._lowest), max(self._highest, part._highest)
        (least, most), (low, high) = self._weights, part._weights
        self._weights = min(least, low), max(most, high)
        self._worth += part._worth
        self._counted += part._counted
        self.labelled += part.labelled

    def refuse_odd(self) -> None:
        """Raise DataError where the target, a weight, or a number of another column cannot be used."""
        target, weight = self._asked.target, self._asked.weight
        width = self._highest - self._lowest
        if (
            self._odd
            or self._counted < trainable.FEWEST_ROWS
            or not (trainable.LEAST_RANGE <= width <= trainable.MOST_RANGE)
        ):
            names = dict.fromkeys([target, *filter(None, [weight]), *sorted(self._odd)])
            check_table(self._form.whole(list(names)), target=target, weight=weight)

    def _look(self, table: Table, labelled: Table, digests: NDArray[np.uint64]) -> Split | None:
        """Look at rows, and return where those with a target stand; None where there are none."""
        asked = self._asked
        target = labelled.numbers(asked.target)
        weights = labelled.numbers(asked.weight) if asked.weight else np.ones(len(labelled))
        self._odd |= {facts.name for facts in self._facts if _has_infinite(table, facts.name)}
        self._odd |= {asked.target} if np.isinf(target).any() else set()
        self._odd |= {asked.weight} if not (np.isfinite(weights) & (weights >= 0.0)).all() else set()
        counted = weights > 0.0
        places = np.arange(self.labelled, self.labelled + len(labelled))
        self.labelled += len(labelled)
        self._counted += int(counted.sum())
        self._lowest = min(self._lowest, target[counted].min(initial=np.inf))
        self._highest = max(self._highest, target[counted].max(initial=-np.inf))
        least, most = self._weights
        self._weights = min(least, weights[counted].min(initial=np.inf)), max(most, weights.max(initial=0.0))
        if not len(labelled):
            return None
        kept = {name: labelled.frame[name].to_numpy() for name in labelled.names} | {PLACE: places}
        return self._deal(labelled, counted, thinned.mixed(digests), kept)

    def _deal(
        self,
        table: Table,
        counted: NDArray[np.bool_],
        order: NDArray[np.uint64],
        kept: dict[str, NDArray[Any]],
    ) -> Split:
        """Put rows on their sides, and return these."""
        column = self._asked.time_column
        if column:
            kept[MOMENT] = self._or_of_whole(column, table, lambda rows: rows.moments(column))
        split: Split = self._or_of_whole(
            self._asked.rule.columns[0], table, lambda rows: splitting.sides_of(rows, self._asked.rule)
        )
        kept[BLOCK] = split.blocks
        self.blocks.add(split.blocks)
        for side, count in split.counts.items():
            self.standing[side] += count
        split = split.of_counted(counted)
        if self._asked.weight:
            learned = table.numbers(self._asked.weight)[split.mask("train")]
            self._worth += learned.sum(), np.square(learned).sum()
        for facts in self._facts:
            facts.look(table.frame[facts.name], split.mask("train"))
        for side in SIDES:
            mask = split.mask(side)
            self.counting[side] += int(mask.sum())
            self._samples[side].add(order[mask], {name: values[mask] for name, values in kept.items()})
        return split

    def _or_of_whole(self, column: str, table: Table, find: Callable[[Table], Any]) -> Any:
        """Return what is found of some rows; a fault is said as of all rows, with their numbers."""
        try:
            return find(table)
        except DataError:
            target = self._asked.target
            whole = self._form.whole(list(dict.fromkeys([target, column])))
            find(whole.take(~np.isnan(whole.numbers(target))))
            raise

    def features(self) -> tuple[list[str], list[str]]:
        """Return the columns to learn from, and a sentence for each that is left out; raises NoFeatures."""
        features, warnings = [], []
        for facts in self._facts:
            if reason := self._reason(facts):
                warnings.append(trainable.left_out(facts.name, reason))
            else:
                features.append(facts.name)
        if not features:
            head, target = self._form.head, self._asked.target
            raise NoFeatures(where=head.where, left_out=[name for name in head.names if name != target])
        return features, warnings

    def _reason(self, facts: ColumnFacts) -> str | None:
        if facts.is_empty:
            return trainable.EMPTY
        if facts.distinct > MOST_TEXTS:
            return trainable.as_names(f"more than {MOST_TEXTS:,}", self.labelled)
        if facts.kind == "category" and trainable.names_rows(facts.distinct, self.labelled):
            return trainable.as_names(facts.distinct, self.labelled)
        head = self._form.head
        return None if facts.kind == "category" else trainable.reason_by_name(head, facts.name)

    def schema(self, features: Sequence[str], units: dict[str, str]) -> tuple[Schema, list[str]]:
        """Describe what the training rows hold; a column that they all lack is no feature."""
        described = {
            facts.name: facts.described(units.get(facts.name))
            for facts in self._facts
            if facts.name in features
        }
        warnings = [
            trainable.left_out(name, trainable.UNSEEN) for name, column in described.items() if not column
        ]
        bare = describe(self._form.head, [], target=self._asked.target, units=units)
        return replace(bare, columns=tuple(filter(None, described.values()))), warnings

    def weights_in_words(self) -> str:
        """Say how far the weights reach, and what they leave of the rows; nothing without weights."""
        if not self._asked.weight:
            return ""
        total, squares = self._worth
        return in_words.weighed(
            self._asked.weight,
            self._weights,
            none=self.labelled - self._counted,
            learned=self.counting["train"],
            worth=total**2 / squares,
        )

    def is_short(self) -> bool:
        """Return whether rows were let go that fewer columns would leave room for."""
        return any(self.counting[side] > self._asked.most[side] for side in SIDES)

    def sample(self, most: Mapping[Side, int]) -> tuple[Table, Split, NDArray[np.float64] | None]:
        """Return so many rows of each side to go on with, on their sides and at their moments.

        In an order that content decides; in the table's where they are all rows, as if memory had held it.
        """
        orders: list[NDArray[np.uint64]] = []
        sides: list[NDArray[np.str_]] = []
        parts: list[dict[str, NDArray[Any]]] = []
        for side in (side for side in SIDES if self.counting[side]):
            order, taken = self._samples[side].take(most[side])
            orders.append(order)
            sides.append(np.repeat(side, len(order)))
            parts.append({**taken})
        is_whole = sum(map(len, orders)) == sum(self.counting.values())
        by = np.concatenate([part[PLACE] for part in parts] if is_whole else orders)
        indexes = np.argsort(by, kind="stable")
        names = list(parts[0])
        kept = {name: np.concatenate([part.pop(name) for part in parts])[indexes] for name in names}
        head, blocks, moments = self._form.head, kept[BLOCK], kept.get(MOMENT)
        frame = pd.DataFrame({name: pd.Series(kept[name], dtype=kept[name].dtype) for name in head.names})
        return (
            replace(head, frame=frame),
            Split(self._asked.rule, np.concatenate(sides)[indexes], blocks),
            moments,
        )


def _has_infinite(table: Table, name: str) -> bool:
    return table.kinds[name] == "number" and bool(np.isinf(table.numbers(name)).any())


def read_here(form: Form, asked: FirstAsked, folder: Path) -> FirstReading:
    """Read all rows, with a folder for what comes of them; raises DataError."""
    reading = FirstReading(form, asked, folder)
    with ExitStack() as stack:
        stack.callback(reading.close)
        reading.read(form.tables())
        stack.pop_all()
    return reading
