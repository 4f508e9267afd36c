"""Is anything wrong with a table: all of it at once, before, or instead of, a training.

Puts together what `data` finds: what keeps a training from starting (`data.checks`), how cells are
written (`data.checks.faults`), columns that know the answer (`data.checks.leakage`) and broken promises
(`data.checks.contract`). It fits nothing and imports neither scikit-learn nor MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from data.cells import column_readings
from data.cells.column_readings import Asked
from data.checks import contract
from data.checks.faults import faults
from data.checks.leakage import leaks
from data.checks.trainable import Checked, check_table
from data.checks.wild import wild, years
from data.errors import ContractError, DataError, FaultsFound, SplitError, UnusableWeight
from data.splits.splitting import Split, SplitRule, repeats_in_words, split_table
from data.splits.weighting import check_sides, heavy_in_words
from data.tables.table import Table, load_table
from training.commands.config import CheckConfig, TrainConfig
from training.errors import UsageError
from training.rows.named_columns import as_named
from training.rows.opened_table import open_table

STRICT = " (exclude what is not known when you predict, or pass strict=false)"


def check(config: CheckConfig, say: Callable[[str, str], None]) -> None:
    """Say all that looks wrong with a table; write its contract where there is none yet.

    Raises
    ------
    FaultsFound
        A training could not start, the contract is not kept, or anything at all with `strict`.
    """
    path = Path(config.contract) if config.contract else None
    promised = contract.read(path) if path and path.exists() else None
    table = load_table(open_table(config, say), asked_of(config.asked, promised))
    config = as_named(config, table.names)
    say("read", f"{len(table):,} rows, {len(table.names)} columns")
    say_readings(table, say)
    target = config.target or (promised.target if promised else "")
    if config.weight and not target:
        raise UsageError(
            message=f"weight={config.weight} goes with target=..., which says what rows it weighs"
        )
    checked, errors = _checked(table, config, target)
    broken = contract.violations(promised, table, ignored=config.exclude) if promised else []
    suspected = [] if errors else _suspected(table, checked, config, target)
    for each in suspected:
        say("warning", each)
    for each in years(table, ignored=[*config.exclude, target, config.time_column]):
        say("note", each)
    fatal = [*errors, *broken, *(suspected if config.strict else ())]
    if fatal:
        raise FaultsFound(where=table.where, faults=fatal)
    if path and not promised:
        contract.write(path, contract.propose(table, target=target, units=dict(config.units)))
        say("contract", f"{path}: written from this table; edit its limits, later tables are held to them")
    elif promised:
        say("contract", f"{promised.where}: kept")
    say(
        "check",
        f"{len(suspected)} warning{'s' * (len(suspected) > 1)}" if suspected else "nothing looks wrong",
    )


def asked_of(asked: Asked, promised: contract.Contract | None) -> Asked:
    """Return how texts are read: as a contract promises, and as the user says of the other columns."""
    if promised is None:
        return asked
    named = {column for column, _ in asked.read}
    known = {name: reading for name, reading in promised.readings.items() if name not in named}
    return replace(asked, known=known)


def say_readings(table: Table, say: Callable[[str, str], None]) -> None:
    """Say of each reading which columns have it."""
    for line in column_readings.in_words(table.readings):
        say("read", line)


def _checked(table: Table, config: CheckConfig, target: str) -> tuple[Checked | None, Sequence[object]]:
    """Return what a training could use, or all that keeps it from starting; neither without a target."""
    if not target:
        return None, [doubt for name, doubt in table.doubts.items() if name not in config.exclude]
    reserved = {"time": [config.time_column]} if config.time_column else {}
    mentioned = {"unit": [column for column, _ in config.units]}
    try:
        return check_table(
            table,
            target=target,
            exclude=config.exclude,
            reserved=reserved,
            mentioned=mentioned,
            weight=config.weight,
        ), []
    except FaultsFound as error:
        return None, error.faults
    except DataError as error:
        return None, [error]


def _suspected(table: Table, checked: Checked | None, config: CheckConfig, target: str) -> list[str]:
    if checked is None:
        return [str(fault) for find in (faults, wild) for fault in find(table, ignored=config.exclude)]
    by_time = SplitRule("time", (config.time_column,))
    columns = tuple(name for name in table.names if name not in (target, config.weight))
    rule = by_time if config.time_column else SplitRule("hash", columns)
    try:
        split = split_table(checked.table, rule)
        check_sides(split, checked.counted, checked.weight)
    except (SplitError, UnusableWeight) as error:
        return [*checked.warnings, str(error)]
    split = split.of_counted(checked.counted)
    found = suspicions(table, checked, split, checked.features, target=target, ignored=config.exclude)
    return [*checked.warnings, *filter(None, [repeats_in_words(split)]), *found]


def suspicions(
    table: Table,
    checked: Checked,
    split: Split,
    features: Sequence[str],
    *,
    target: str,
    ignored: Sequence[str] = (),
) -> list[str]:
    """Return one line for each thing that looks wrong, or as if it knew the target."""
    weights = [checked.weight] if checked.weight else []
    unused = [*ignored, *split.rule.reserved, *weights]
    left_out = [name for name in table.names if name not in (target, *features)]
    odd = wild(table, ignored=[*unused, *left_out], target=target)
    heavy = heavy_in_words(table, checked.weight, target) if checked.weight else ""
    return [
        *map(str, [*faults(table, ignored=unused), *odd]),
        *leaks(checked.table.without(weights), features, target=target, split=split),
        *filter(None, [heavy]),
    ]


def with_contract(config: TrainConfig) -> tuple[TrainConfig, contract.Contract | None]:
    """Return the training with the contract's units, and the contract where there is one.

    Raises
    ------
    ContractError
        The file is missing or broken, or is about another target.
    """
    if not config.contract:
        return config, None
    path = Path(config.contract)
    if not path.is_file():
        raise ContractError(
            where=config.contract,
            found="there is no such file",
            repair="write one with `mlflow run . --env-manager local -e check -P data=... -P contract="
            f"{config.contract}`",
        )
    promised = contract.read(path)
    config = as_named(config, promised.columns)
    if promised.target not in ("", config.target):
        raise ContractError(
            where=promised.where,
            found=f"its target is {promised.target!r}, asked for is {config.target!r}",
            repair="name the same in both",
        )
    units = {name: unit for name, unit in promised.units.items() if not promised.columns[name].optional}
    units |= dict(config.units)
    return replace(config, units=tuple(units.items())), promised


def hold(promised: contract.Contract, table: Table, *, ignored: Sequence[str] = ()) -> None:
    """Raise FaultsFound with every promise that a table does not keep."""
    broken = contract.violations(promised, table, ignored=tuple(ignored))
    if broken:
        raise FaultsFound(where=table.where, faults=broken, repair=f" against {promised.where}")
