"""Is anything wrong with a table: all of it at once, before, or instead of, a training.

Puts together what `data` finds: what keeps a training from starting (`data.checks`), how cells are
written (`data.checks.faults`), columns that know the answer (`data.checks.leakage`) and broken promises
(`data.contracts`). It fits nothing and imports neither scikit-learn nor MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from data import contracts
from data.checks import Checked, column_faults, suspect_numbers, years_in_words
from data.errors import DataError, FaultsFound, SplitError
from data.splits import SplitRule
from training.commands import CheckConfig
from training.errors import UsageError
from training.rows import as_named, contracted, open_table, parts, suspicions


def check(config: CheckConfig, say: Callable[[str, str], None]) -> None:
    """Say all that looks wrong with a table; write its contract where there is none yet.

    Raises
    ------
    FaultsFound
        A training could not start, the contract is not kept, or anything at all with `strict`.
    """
    path = Path(config.contract) if config.contract else None
    promised = contracts.read(path) if path and path.exists() else None
    asked = contracted.asked_of(config.asked, promised)
    with parts.seen(open_table(config, say), asked, config.memory) as seen:
        table = seen.table
        config = as_named(config, table.names)
        say("read", f"{len(table):,} rows, {len(table.names)} columns")
        suspicions.say_readings(table, say)
        target = config.target or (promised.target if promised else "")
        if config.weight and not target:
            raise UsageError(
                message=f"weight={config.weight} goes with target=..., which says what rows it weighs"
            )
        suspected = _suspected(seen, config, target, promised, say)
        if path and not promised:
            contracts.write(path, contracts.propose(table, target=target, units=dict(config.units)))
            say(
                "contract", f"{path}: written from this table; edit its limits, later tables are held to them"
            )
        elif promised:
            say("contract", f"{promised.where}: kept")
    say(
        "check",
        f"{len(suspected)} warning{'s' * (len(suspected) > 1)}" if suspected else "nothing looks wrong",
    )


def _suspected(
    seen: parts.Seen,
    config: CheckConfig,
    target: str,
    promised: contracts.Contract | None,
    say: Callable[[str, str], None],
) -> list[str]:
    """Say what looks wrong, and return it; raises FaultsFound for what has to be mended."""
    table = seen.table
    checked, errors = _checked(seen, config, target)
    broken = contracts.violations(promised, table, ignored=config.exclude) if promised else []
    suspected = [] if errors else _suspicious(seen, checked, config, target, say)
    for each in suspected:
        say("warning", each)
    for each in [*seen.cut_in_words, *years_in_words(table, ignored=_not_features(config, target))]:
        say("note", each)
    fatal = [*errors, *broken, *(suspected if config.strict else ())]
    if fatal:
        raise FaultsFound(where=table.where, faults=fatal)
    return suspected


def _not_features(config: CheckConfig, target: str) -> list[str]:
    return [*config.exclude, target, config.time_column]


def _checked(seen: parts.Seen, config: CheckConfig, target: str) -> tuple[Checked | None, Sequence[object]]:
    """Return what a training could use, or all that keeps it from starting; neither without a target."""
    if not target:
        return None, [doubt for name, doubt in seen.table.doubts.items() if name not in config.exclude]
    reserved = {"time": [config.time_column]} if config.time_column else {}
    mentioned = {"unit": [column for column, _ in config.units]}
    try:
        return seen.checked(
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


def _suspicious(
    seen: parts.Seen,
    checked: Checked | None,
    config: CheckConfig,
    target: str,
    say: Callable[[str, str], None],
) -> list[str]:
    table = seen.table
    if checked is None:
        return [
            str(fault)
            for find in (column_faults, suspect_numbers)
            for fault in find(table, ignored=config.exclude)
        ]
    by_time = SplitRule("time", (config.time_column,))
    columns = tuple(name for name in table.names if name not in (target, config.weight))
    rule = by_time if config.time_column else SplitRule("hash", columns)
    some = seen.some_of(checked, target)
    if some.in_words:
        say("sample", f"{some.in_words}; what tells {target} is looked for in them")
    try:
        split = seen.sides(checked, some, rule)
    except SplitError as error:
        return [*checked.warnings, str(error)]
    result = suspicions.suspicions(
        table,
        checked,
        split,
        checked.features,
        target=target,
        ignored=config.exclude,
        leaking=seen.leaks(checked, some, split, target),
    )
    return [*checked.warnings, *map(some.of_them, filter(None, [split.repeats_in_words])), *result]
