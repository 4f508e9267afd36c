"""The table of one training: checked, split, described. Nothing is fitted here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.checks import Checked, check_table, trainable
from data.errors import FaultsFound
from data.schema import Schema
from data.splits import Side, Split, SplitRule, split_table, weighting
from data.tables import Table, describe, fingerprint
from training.commands import trainings
from training.console import Say
from training.errors import UsageError
from training.models import AllRows
from training.rows import in_words, thinned
from training.rows.again import AllHeldOut
from training.rows.suspicions import STRICT, in_sample, suspicions
from training.search import cross_validation
from training.weights import Weight, relative

FOLDS, MANY_FOLDS, FEW_ROWS = 5, 10, 1_000
"""Of cross-validation; more where rows are few."""


AT_ONCE = 100_000
"""Training rows of a part of all of them."""

NO_SPLIT_BY_WEIGHT = "a changed weight would move rows; name another column, or leave weight out"


class Roles(TypedDict):
    """What `data.checks` is told of a table's columns."""

    target: str
    exclude: Sequence[str]
    reserved: Mapping[str, Iterable[str]]
    mentioned: Mapping[str, Iterable[str]]
    weight: str


@dataclass(frozen=True)
class PreparedTable:
    """The rows of one training: checked, split, described.

    Attributes
    ----------
    fingerprint : str
        Of the whole table.
    all_counts : mapping of side to rows, or None
        Where only a sample is gone on with (`training.rows.thinned`): how many there were on each side.
    held_by : str
        The parameter that a larger sample would need.
    repeats : str
        That most rows have an equal one in the columns that split, in words.
    everything : AllRows or None
        All training rows, where only a sample is gone on with, for models that can learn them in parts.
    held_out : AllHeldOut or None
        All held-out rows, where memory holds a sample of them.
    moments : float64 array of shape (n_rows,), or None
        When each row was, in seconds since 1970, where the training names a column of dates that says it.
    """

    checked: Checked
    split: Split
    schema: Schema
    fingerprint: str
    all_counts: Mapping[str, int] | None = None
    held_by: str = "time_budget"
    repeats: str = ""
    everything: AllRows | None = None
    held_out: AllHeldOut | None = None
    moments: NDArray[np.float64] | None = None

    @property
    def counts(self) -> Mapping[str, int]:
        """How many rows the table had on each side."""
        return self.split.counts if self.all_counts is None else self.all_counts

    @property
    def is_read_again(self) -> bool:
        """Whether all rows can be learned, and memory does not hold them: the time budget does not count that."""
        return self.everything is not None and self.everything.reading_seconds > 0.0

    @property
    def rows_in_all(self) -> int:
        """How many rows with a target the table had."""
        return len(self.checked.table) if self.all_counts is None else sum(self.all_counts.values())

    def frame(self, side: Side) -> pd.DataFrame:
        """Return the features of one side, shape (n_rows, n_features)."""
        return self.checked.table.frame.loc[self.split.mask(side), list(self.schema.names)]

    def some(self, side: Side, places: NDArray[np.integer] | slice) -> pd.DataFrame:
        """Return the features of some rows of one side, by their places in it: the others are not copied."""
        rows = np.flatnonzero(self.split.mask(side))[places]
        return self.checked.table.frame[list(self.schema.names)].iloc[rows]

    def folds(self) -> cross_validation.Folds:
        """Return (fit, validate) positions among the training rows."""
        return self.split.folds(MANY_FOLDS if self.split.counts["train"] < FEW_ROWS else FOLDS)

    def seconds_of(self, config: trainings.TrainConfig) -> float:
        """Return the time budget for so many rows."""
        return config.seconds_for(self.rows_in_all)

    def target(self, side: Side) -> NDArray[np.float64]:
        """Return the target on one side, float64 of shape (n_rows,)."""
        return self.checked.table.numbers(self.schema.target)[self.split.mask(side)]

    def weight(self, side: Side) -> Weight:
        """Return how much each row of one side counts."""
        return self.weight_at(self.split.mask(side))

    def weight_at(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Weight:
        """Return how much each of some rows counts."""
        column = self.checked.weight
        return relative(self.checked.table.numbers(column)[rows]) if column else None

    def training(self, seed: int) -> cross_validation.TrainingRows:
        """Return the training rows as a search takes them."""
        return cross_validation.TrainingRows(
            self.frame("train"), self.target("train"), self.folds(), self.schema, seed, self.weight("train")
        )


def arrange_held(table: Table, rule: SplitRule, config: trainings.TrainConfig, say: Say) -> PreparedTable:
    """Check and split a table by a rule, describe its training rows, and take a sample of a large one."""
    content = fingerprint(table)  # first: the rows that are taken of it keep their digests
    checked = check_table(table, **roles_of(config, rule))
    split = split_of(checked, rule)
    schema, dropped = _describe_training(checked, split, config)
    moments = _moments(checked.table, config, rule)
    whole = PreparedTable(checked, split, schema, content, moments=moments, repeats=split.repeats_in_words)
    rows = _within(whole, whole.seconds_of(config))
    seen = whole if split.moments is not None else rows  # what came before a row is looked at in all of them
    shown = table if seen is whole else seen.checked.table
    weights = in_words.weights_in_words(checked, split) if checked.weight else ""
    tell(rows, config, say, shown=shown, seen=seen, dropped=dropped, weights=weights)
    return rows


def roles_of(config: trainings.TrainConfig, rule: SplitRule) -> Roles:
    """Return what the columns of a table are for."""
    return {
        "target": config.target,
        "exclude": config.exclude,
        "reserved": {f"{rule.method} split": rule.reserved, "time": _of_time(config, rule)},
        "mentioned": {
            "unit": [column for column, _ in config.units],
            "monotonic": [column for column, _ in config.monotonic],
        },
        "weight": config.weight,
    }


def _of_time(config: trainings.TrainConfig, rule: SplitRule) -> list[str]:
    return [config.time_column] if config.time_column and rule.method != "time" else []


def tell(
    rows: PreparedTable,
    config: trainings.TrainConfig,
    say: Say,
    *,
    shown: Table,
    seen: PreparedTable,
    dropped: Sequence[str],
    weights: str,
) -> None:
    """Say what the rows are and what looks wrong with them; raises FaultsFound for that with `strict`.

    Parameters
    ----------
    shown, seen
        The rows that are looked at for what looks wrong, before and behind the checks.
    weights : str
        What they leave of the rows, in words; nothing without weights.
    dropped : sequence of str
        A sentence for each column that all training rows lack.
    """
    rule, checked = rows.split.rule, seen.checked
    suspected = suspicions(
        shown,
        checked,
        seen.split,
        rows.schema.names,
        target=config.target,
        ignored=[*config.exclude, *_of_time(config, rule)],
    )
    if seen is rows and rows.all_counts is not None:
        suspected = [*map(in_sample, suspected)]
    if suspected and config.strict:
        raise FaultsFound(where=shown.where, faults=suspected, repair=STRICT)
    for warning in filter(None, (*checked.warnings, *dropped, *suspected, rows.repeats)):
        say("warning", warning)
    if checked.rows_without_target:
        say("warning", f"{checked.rows_without_target:,} rows have no {config.target} and are left out")
    if weights:
        say("weight", weights)
    say("check", in_words.columns_in_words(rows.schema))
    say("split", f"{in_words.sides_in_words(rows.counts)}, {rule}")
    if sample := in_words.sample_in_words(rows.split, rows.all_counts, rows.held_by):
        say("sample", sample)


def _moments(table: Table, config: trainings.TrainConfig, rule: SplitRule) -> NDArray[np.float64] | None:
    """Return when rows were; None where nobody says it, or a split by time goes by numbers: they have no days."""
    column = config.time_column
    numbered = rule.method == "time" and table.kinds[column] != "datetime"
    return table.moments(column) if column and not numbered else None


def _within(whole: PreparedTable, seconds: float) -> PreparedTable:
    """Return the rows that a training of so many seconds goes on with: all, or a sample of a large table."""
    table, split = whole.checked.table, whole.split
    kept = thinned.kept(table, split, columns=len(whole.schema.names), seconds=seconds)
    if kept is None:
        return whole
    checked = replace(whole.checked, table=table.take(kept))
    moments = None if whole.moments is None else whole.moments[kept]
    everything = None if checked.weight else _all_rows(whole)
    sample = replace(whole, checked=checked, moments=moments, everything=everything)
    return replace(sample, split=thinned.of_kept(split, kept), all_counts=split.counts)


def _all_rows(whole: PreparedTable) -> AllRows:
    """Return the training rows of a table that memory holds."""
    table, learned = whole.checked.table, np.flatnonzero(whole.split.mask("train"))
    features, target = table.frame[list(whole.schema.names)], table.numbers(whole.schema.target)

    def parts() -> Iterator[tuple[pd.DataFrame, NDArray[np.float64]]]:
        for start in range(0, len(learned), AT_ONCE):
            rows = learned[start : start + AT_ONCE]
            yield features.iloc[rows], target[rows]

    return AllRows(len(learned), parts)


def split_of(checked: Checked, rule: SplitRule) -> Split:
    """Return the sides of the rows; weights move none, and rows of weight 0 stand nowhere."""
    refuse_split_by_weight(checked.weight, rule)
    split = split_table(checked.table, rule)
    weighting.check_sides(split, checked.counted, checked.weight)
    return split.of_counted(checked.counted)


def refuse_split_by_weight(weight: str, rule: SplitRule) -> None:
    """Raise UsageError where a column says both where a row stands and how much it counts."""
    if weight and weight in rule.columns:
        raise UsageError(message=f"weight {weight!r} decides the split too: {NO_SPLIT_BY_WEIGHT}")


def _describe_training(
    checked: Checked, split: Split, config: trainings.TrainConfig
) -> tuple[Schema, list[str]]:
    """Describe what the training rows hold; a column that they all lack is no feature."""
    training = checked.table.take(split.mask("train"))
    unseen = [name for name in checked.features if training.frame[name].isna().all()]
    features = [name for name in checked.features if name not in unseen]
    warnings = [trainable.left_out(name, trainable.UNSEEN) for name in unseen]
    return describe(training, features, target=config.target, units=dict(config.units)), warnings
