"""Is anything wrong with a table: all of it at once, before, or instead of, a training.

Puts together what `data` finds: what keeps a training from starting (`data.checks`), how cells are
written (`data.checks.faults`), columns that know the answer (`data.checks.leakage`) and broken promises
(`data.contracts`). It fits nothing and imports neither scikit-learn nor MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from data import contracts
from data.checks import Checked, check_table, column_faults, suspect_numbers, years_in_words
from data.errors import DataError, FaultsFound, SplitError, UnusableWeight
from data.splits import SplitRule, split_table, weighting
from data.tables import Table, load_table
from training.commands import CheckConfig
from training.errors import UsageError
from training.rows import as_named, contracted, open_table, suspicions

IF_TOO_LARGE = "check a part of it, such as one of its files; a training reads it in parts and checks it, too"
"""What to do about a table that memory has no room for."""


def check(config: CheckConfig, say: Callable[[str, str], None]) -> None:
    """Say all that looks wrong with a table; write its contract where there is none yet.

    Raises
    ------
    FaultsFound
        A training could not start, the contract is not kept, or anything at all with `strict`.
    """
    path = Path(config.contract) if config.contract else None
    promised = contracts.read(path) if path and path.exists() else None
    table = load_table(
        open_table(config, say, otherwise=IF_TOO_LARGE), contracted.asked_of(config.asked, promised)
    )
    config = as_named(config, table.names)
    say("read", f"{len(table):,} rows, {len(table.names)} columns")
    suspicions.say_readings(table, say)
    target = config.target or (promised.target if promised else "")
    if config.weight and not target:
        raise UsageError(
            message=f"weight={config.weight} goes with target=..., which says what rows it weighs"
        )
    checked, errors = _checked(table, config, target)
    broken = contracts.violations(promised, table, ignored=config.exclude) if promised else []
    suspected = [] if errors else _suspected(table, checked, config, target)
    for each in suspected:
        say("warning", each)
    for each in years_in_words(table, ignored=[*config.exclude, target, config.time_column]):
        say("note", each)
    fatal = [*errors, *broken, *(suspected if config.strict else ())]
    if fatal:
        raise FaultsFound(where=table.where, faults=fatal)
    if path and not promised:
        contracts.write(path, contracts.propose(table, target=target, units=dict(config.units)))
        say("contract", f"{path}: written from this table; edit its limits, later tables are held to them")
    elif promised:
        say("contract", f"{promised.where}: kept")
    say(
        "check",
        f"{len(suspected)} warning{'s' * (len(suspected) > 1)}" if suspected else "nothing looks wrong",
    )


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
        return [
            str(fault)
            for find in (column_faults, suspect_numbers)
            for fault in find(table, ignored=config.exclude)
        ]
    by_time = SplitRule("time", (config.time_column,))
    columns = tuple(name for name in table.names if name not in (target, config.weight))
    rule = by_time if config.time_column else SplitRule("hash", columns)
    try:
        split = split_table(checked.table, rule)
        weighting.check_sides(split, checked.counted, checked.weight)
    except (SplitError, UnusableWeight) as error:
        return [*checked.warnings, str(error)]
    split = split.of_counted(checked.counted)
    result = suspicions.suspicions(
        table, checked, split, checked.features, target=target, ignored=config.exclude
    )
    return [*checked.warnings, *filter(None, [split.repeats_in_words]), *result]
