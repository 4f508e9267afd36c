"""What a contract promises about a training's table: its units, how its texts are read, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from data import contracts
from data.cells import ReadOptions
from data.errors import ContractError, FaultsFound
from data.tables import Table
from data.tables.streams import Form, filed
from training.commands import trainings
from training.rows.named_columns import as_named


def asked_of(asked: ReadOptions, promised: contracts.Contract | None) -> ReadOptions:
    """Return how texts are read: as a contract promises, and as the user says of the other columns."""
    if promised is None:
        return asked
    return asked.with_known(promised.readings)


def with_contract(config: trainings.TrainConfig) -> tuple[trainings.TrainConfig, contracts.Contract | None]:
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
    promised = contracts.read(path)
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


def hold(promised: contracts.Contract, table: Table | Form, *, ignored: Sequence[str] = ()) -> None:
    """Raise FaultsFound with every promise that a table does not keep."""
    with filed.opened(table) if isinstance(table, Form) else nullcontext(table) as rows:
        broken = contracts.violations(promised, rows, ignored=tuple(ignored))
        if broken:
            raise FaultsFound(where=rows.where, faults=broken, repair=f" against {promised.where}")
