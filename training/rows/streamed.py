"""The table of one training that memory does not hold: read in parts, and gone on with by a sample.

A first reading says what the columns are (`data.tables.streams`). The second puts each row on its side, counts,
describes the training rows, and keeps those rows of each side whose content has the smallest hash: the rows that
`training.rows.thinned` takes of a table that memory holds, in the same order, which is the table's where they are all
of its rows. What is said of a fault is found by the
checks of whole tables in the columns concerned, which are read whole for that alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.checks import Checked, check_table, trainable
from data.errors import DataError, NoFeatures
from data.own_files import own_folder
from data.schema import Schema
from data.splits import SIDES, Side, Split, SplitRule, splitting, weighting
from data.tables import Table, describe, row_digests
from data.tables.streams import MOST_TEXTS, ColumnFacts, Digests, Form, Smallest
from training.commands import trainings
from training.console import Say
from training.errors import UsageError
from training.models import AllRows
from training.rows import in_words, thinned
from training.rows.again import AllHeldOut, Noted, RowsAgain
from training.rows.parts import BYTES_A_CELL, cells_in
from training.rows.prepared import PreparedTable, refuse_split_by_weight, roles_of, tell

MOST_BLOCKS = 1_000_000
"""Different rows or groups among which the sides are dealt, where chance does not serve each."""

BLOCK, MOMENT, PLACE = "\0block", "\0moment", "\0place"
"""What is kept of a row beside its cells."""


def arrange_streamed(form: Form, rule: SplitRule, config: trainings.TrainConfig, say: Say) -> PreparedTable:
    """Do what `training.rows.arrange` does, for a table of which memory holds a part.

    Raises
    ------
    DataError, UsageError
        As `training.rows.arrange` does; or the rule has to see all rows at once.
    """
    if rule.method in ("time", "repeat"):
        raise UsageError(
            message=f"split={rule.method} looks at all rows at once, and {form.head.where} takes more than memory="
            f"{config.as_params()['memory']}: pass more memory=..., or train another name=... under another split"
        )
    refuse_split_by_weight(config.weight, rule)
    candidates = _candidates(form, rule, config)
    splitting.refuse_columns(form.head, rule)
    likely = replace(rule, cuts=rule.cuts or rule.usual_cuts)
    useful = [name for name in candidates if trainable.reason_to_leave_out(form.head, name) is None]
    columns, cells = max(len(useful), 1), cells_in(form.most_bytes)
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder, ExitStack() as stack:
        while True:  # once, but for few groups, or columns that only all rows show to be of no use
            most = thinned.most(columns, config.seconds_for(form.rows), cells)
            part = Path(tempfile.mkdtemp(dir=folder))
            seen = _Reading(form, likely, config, candidates, most=most, folder=part)
            stack.callback(seen.close)
            began = time.perf_counter()
            seen.read()
            took = time.perf_counter() - began
            distinct, blocks, counts = seen.blocks.distinct(MOST_BLOCKS)
            if rule.cuts is None and rule.method != "column" and len(blocks):
                served = splitting.dealt(rule, blocks, counts)
                if served != likely:
                    likely = served
                    continue
            features, warnings = seen.features()
            splitting.refuse_empty(form.head.where, likely, seen.standing, seen.labelled, distinct)
            weighting.refuse_few(seen.standing, seen.counting, config.weight)
            schema, dropped = seen.schema(features)
            if len(schema.columns) < columns and seen.is_short():
                columns = len(schema.columns)
                continue
            break
        pa.default_memory_pool().release_unused()  # Arrow keeps for itself what the batches took
        table, split, moments = seen.sample(len(schema.columns), cells)
        without = form.rows - seen.labelled
        checked = Checked(table, tuple(features), without, (*form.head.noticed, *warnings), config.weight)
        fingerprint = seen.rows.fingerprint(form.head.names)
        by_time = thinned.most(columns, config.seconds_for(form.rows))
    is_whole = split.counts == seen.counting
    again = RowsAgain(form, schema, seen.noted.sides, seen.noted.mark, took)
    room = cells * BYTES_A_CELL
    learned = AllRows(seen.counting["train"], again.learned, took, room=room)
    rows = PreparedTable(
        checked,
        split,
        schema,
        fingerprint,
        all_counts=None if is_whole else seen.counting,
        held_by="time_budget" if most == by_time else "memory",
        repeats=splitting.repeats_in_words(likely, seen.labelled, distinct),
        everything=None if is_whole or config.weight else learned,
        held_out=None if is_whole else AllHeldOut(again, seen.noted.drawn, config.weight),
        moments=moments,
    )
    tell(rows, config, say, shown=table, seen=rows, dropped=dropped, weights=seen.weights_in_words())
    return rows


def _candidates(form: Form, rule: SplitRule, config: trainings.TrainConfig) -> list[str]:
    """Return the columns that may be features; raises what is in doubt or absent, or a target of no numbers."""
    candidates, faults = trainable.named_faults(form.head, **roles_of(config, rule))
    trainable.raise_all(form.head.where, faults)
    numbers = [name for name in (config.target, config.weight) if name]
    if any(form.head.kinds[name] != "number" for name in numbers):
        check_table(form.whole(numbers), target=config.target, weight=config.weight)
    return candidates


class _Reading:
    """One reading of all rows, and what it has come to.

    Attributes
    ----------
    labelled : int
        Rows that have a target.
    standing, counting : dict of side to int
        Rows on each side; of these the ones that count.
    """

    def __init__(
        self,
        form: Form,
        rule: SplitRule,
        config: trainings.TrainConfig,
        candidates: Sequence[str],
        *,
        most: dict[Side, int],
        folder: Path,
    ) -> None:
        self._form, self._rule, self._config, self._most = form, rule, config, most
        head = form.head
        self._facts = [
            ColumnFacts(name, head.kinds[name], head.readings.get(name), folder / f"column-{index}")
            for index, name in enumerate(candidates)
        ]
        self.rows, self.blocks = Digests(folder, "rows"), Digests(folder, "blocks")
        self._samples = {side: Smallest(most[side]) for side in SIDES}
        self._odd: set[str] = set()
        self._lowest, self._highest, self._counted = np.inf, -np.inf, 0
        self._weights = (np.inf, 0.0)
        self._worth = np.zeros(2)
        self.labelled = 0  # rows with a target so far, which are those above the next ones
        self.standing: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.counting: dict[str, int] = dict.fromkeys(SIDES, 0)
        self.noted = Noted()

    def close(self) -> None:
        """Let go of the files."""
        for facts in self._facts:
            facts.close()

    def read(self) -> None:
        """Look at all rows; raises DataError."""
        target, weight = self._config.target, self._config.weight
        for table in self._form.tables():
            digests, has_target = row_digests(table, sorted(table.names)), ~np.isnan(table.numbers(target))
            self.rows.add(digests)
            labelled = table if has_target.all() else table.take(has_target)
            split = self._look(table, labelled, digests[has_target])
            self.noted.add(table.numbers(target), has_target, split)
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
        config = self._config
        target = labelled.numbers(config.target)
        weights = labelled.numbers(config.weight) if config.weight else np.ones(len(labelled))
        self._odd |= {facts.name for facts in self._facts if _has_infinite(table, facts.name)}
        self._odd |= {config.target} if np.isinf(target).any() else set()
        self._odd |= {config.weight} if not (np.isfinite(weights) & (weights >= 0.0)).all() else set()
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
        column = self._config.time_column
        if column:
            kept[MOMENT] = self._or_of_whole(column, table, lambda rows: rows.moments(column))
        split: Split = self._or_of_whole(
            self._rule.columns[0], table, lambda rows: splitting.sides_of(rows, self._rule)
        )
        kept[BLOCK] = split.blocks
        self.blocks.add(split.blocks)
        for side, count in split.counts.items():
            self.standing[side] += count
        split = split.of_counted(counted)
        if self._config.weight:
            learned = table.numbers(self._config.weight)[split.mask("train")]
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
            target = self._config.target
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
            head, target = self._form.head, self._config.target
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

    def schema(self, features: Sequence[str]) -> tuple[Schema, list[str]]:
        """Describe what the training rows hold; a column that they all lack is no feature."""
        config, units = self._config, dict(self._config.units)
        described = {
            facts.name: facts.described(units.get(facts.name))
            for facts in self._facts
            if facts.name in features
        }
        warnings = [
            trainable.left_out(name, trainable.UNSEEN) for name, column in described.items() if not column
        ]
        bare = describe(self._form.head, [], target=config.target, units=units)
        return replace(bare, columns=tuple(filter(None, described.values()))), warnings

    def weights_in_words(self) -> str:
        """Say how far the weights reach, and what they leave of the rows; nothing without weights."""
        if not self._config.weight:
            return ""
        total, squares = self._worth
        return in_words.weighed(
            self._config.weight,
            self._weights,
            none=self.labelled - self._counted,
            learned=self.counting["train"],
            worth=total**2 / squares,
        )

    def is_short(self) -> bool:
        """Return whether rows were let go that fewer columns would leave room for."""
        return any(self.counting[side] > self._most[side] for side in SIDES)

    def sample(self, columns: int, cells: float) -> tuple[Table, Split, NDArray[np.float64] | None]:
        """Return the rows to go on with, on their sides and at their moments.

        In an order that content decides; in the table's where they are all rows, as if memory had held it.
        """
        most = thinned.most(columns, self._config.seconds_for(self.labelled), cells)
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
        return replace(head, frame=frame), Split(self._rule, np.concatenate(sides)[indexes], blocks), moments


def _has_infinite(table: Table, name: str) -> bool:
    return table.kinds[name] == "number" and bool(np.isinf(table.numbers(name)).any())
