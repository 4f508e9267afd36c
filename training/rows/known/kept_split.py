"""The split that the versions of a name share: what was held out once is held out of every later training.

The first training of a name chooses the rule; it is stored with each version, with the kinds of its columns, and
later trainings take it from there, as they take the column that weighs rows. It splits no rows itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from data.cells import NO_OPTIONS, ReadOptions
from data.column_names import why_no_feature
from data.errors import DataError, LacksSplitColumn
from data.sources import Source
from data.splits import SplitRule
from data.tables import Kinds, Table
from data.tables.streams import Form
from serving.errors import ServingError
from training.commands import trainings
from training.errors import SplitChanged, TrainingError, WeightChanged
from training.records import model_registry, tag_names
from training.records.errors import FilesAway
from training.rows.known import how_read, known_tables
from training.rows.named_columns import as_named


def load_split(
    config: trainings.TrainConfig, source: Source, asked: ReadOptions = NO_OPTIONS
) -> tuple[trainings.TrainConfig, Table | Form, SplitRule]:
    """Read a table for a training of a name.

    Returns
    -------
    The training with its columns as the table names them, the table, or its form where memory does not hold it, and
    the rule that its rows are split by.

    Raises
    ------
    DataError
        The table cannot be read, or not as the earlier versions of the name need it.
    SplitChanged
        They were split in another way than is asked for.
    WeightChanged
        They count rows in another way than is asked for.
    """
    versions = _split_versions(config.name)
    if not versions:
        read = known_tables.read(source, {}, asked, config.memory)
        table = known_tables.head_of(read)
        config = as_named(config, table.names)
        rule = asked_rule(config, table)
        return as_kept(config, rule), read, _with_kinds(rule, table, {}, values="alike")
    stored = versions[-1].split
    kinds = stored.kinds or _kinds_of(versions[-1])
    read = known_tables.read(source, kinds, _as_before(asked, versions[-1]), config.memory)
    table = known_tables.head_of(read)
    lacking = [column for column in stored.columns if column not in table.frame]
    if lacking:
        raise LacksSplitColumn(
            where=table.where,
            column=lacking[0],
            count=len(stored.columns),
            name=config.name,
            columns=table.names,
        )
    config = _with_weight(as_named(config, table.names), versions)
    kept = as_kept(config, stored)
    if changed := _changes(config, kept):
        wanted = str(asked_rule(replace(kept, **changed), table))
        raise SplitChanged(name=config.name, version=versions[0].number, stored=str(stored), asked=wanted)
    return kept, read, _with_kinds(stored, table, kinds, values=stored.values)


def asked_rule(config: trainings.TrainConfig, table: Table) -> SplitRule:
    """Return the rule that the parameters ask for."""
    others = (config.target, config.weight)
    everything = tuple(name for name in table.names if name not in others and not _is_index(table, name))
    if config.split == "repeat":
        everything += (config.target,)
    columns = (config.split_by,) if config.split_by else config.key or everything
    share = SplitRule.holdout if config.holdout is None else config.holdout
    return SplitRule(config.first_split, columns, share, salt=config.name, keyed=bool(config.key))


def as_kept(config: trainings.TrainConfig, rule: SplitRule) -> trainings.TrainConfig:
    """Return the training as if it had asked for a rule; versions from before keys were told apart have them, too."""
    columns: dict[str, Any] = dict.fromkeys(trainings.SPLIT_COLUMNS.values(), "")
    columns["time_column"] = config.time_column  # when rows were, under any split
    if rule.method in trainings.SPLIT_COLUMNS:
        columns[trainings.SPLIT_COLUMNS[rule.method]] = rule.columns[0]
    key = rule.columns if rule.keyed or config.key == rule.columns else ()
    return replace(config, split=rule.method, holdout=rule.holdout, key=key, **columns)


def _changes(config: trainings.TrainConfig, kept: trainings.TrainConfig) -> dict[str, Any]:
    """Return what is said of the split and is not so; what is not said asks for nothing, a key for a hash."""
    names = ("split", "holdout", "key", *trainings.SPLIT_COLUMNS.values())
    said = {name: value for name in names if (value := getattr(config, name)) not in ("", None, ())}
    said |= {"split": "hash"} if config.key else {}
    return {name: value for name, value in said.items() if value != getattr(kept, name)}


def _with_weight(
    config: trainings.TrainConfig, versions: Sequence[model_registry.Version]
) -> trainings.TrainConfig:
    """Return the training with the column that weighs the rows of earlier versions; none asked for is as before."""
    stored = versions[-1].weight
    if config.weight not in ("", stored):
        raise WeightChanged(name=config.name, version=versions[0].number, stored=stored, asked=config.weight)
    return replace(config, weight=stored)


def _split_versions(name: str) -> list[model_registry.Version]:
    """Return the versions whose rows are known, oldest first; any may be those of an adopted one."""
    made = [version for version in model_registry.versions(name) if tag_names.SPLIT in version.tags]
    return [version for version in made if not version.adopted]


def _as_before(asked: ReadOptions, version: model_registry.Version) -> ReadOptions:
    """Read all columns as the version did, unless the user or a contract says otherwise."""
    try:
        before = how_read.of_version(version).of_later_tables
    except FilesAway:
        raise  # an outage must not change how rows are read
    except (DataError, TrainingError, ServingError):
        return asked
    return asked.with_known(before)


def _kinds_of(version: model_registry.Version) -> Kinds:
    """Return the kinds of a version from before its rule kept them, as its schema has them; nothing without one."""
    try:
        return {column.name: column.kind for column in version.schema.columns}
    except FilesAway:
        raise
    except (DataError, TrainingError, ServingError):
        return {}


def _with_kinds(
    rule: SplitRule, table: Table, known: Kinds, *, values: Literal["alike", "as written"]
) -> SplitRule:
    kinds = {name: known.get(name, table.kinds.get(name)) for name in rule.columns}
    return replace(rule, kinds=kinds, values=values)


def _is_index(table: Table, name: str) -> bool:
    """Return whether a column counts the rows: one more row above would change what it says of each."""
    numbers = table.numbers(name) if table.kinds[name] == "number" else None
    return bool(why_no_feature(name, numbers))
