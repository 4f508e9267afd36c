"""What each command of `python -m training` is asked to do, as values that `training.commands.parser` has checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from data.cells.column_readings import Asked
from data.redaction import MASK, redact, redact_address
from data.sources.source import Header
from data.splits.splitting import Method
from training.commands.words import columns, joined
from training.errors import UsageError

SPLIT_FLAGS: dict[str, str] = {"time": "time_column", "group": "group_column", "column": "split_column"}
"""The flag that names the column of a split method."""

PolicyName = Literal["better", "not-worse"]
POLICIES = ("better", "not-worse")


AUTO_BUDGETS = ((1_000, 10.0), (10_000, 30.0), (math.inf, 60.0))
"""Below so many rows, so many seconds: 200 rows gave the same ridge after 5 s as after 60."""


@dataclass(frozen=True)
class Policy:
    """What a challenger has to show.

    Attributes
    ----------
    name : {"better", "not-worse"}
        The interval of its change in RMSE lies below zero, or below `margin`.
    margin : float
        A share of the champion's RMSE.
    allow_schema_change : bool
        Whether requests that the champion accepts may be refused from now on.
    """

    name: PolicyName = "better"
    margin: float = 0.01
    allow_schema_change: bool = False

    @property
    def highest(self) -> float:
        """What the interval has to lie below."""
        return 0.0 if self.name == "better" else self.margin

    def __str__(self) -> str:
        """Name it for the ledger."""
        return self.name if self.name == "better" else f"{self.name} by {self.margin:.3g}"


@dataclass(frozen=True)
class TrainConfig:
    """One training, as asked for.

    Attributes
    ----------
    data, query, target, name : str
        The table, the SQL query where `data` is a database, the column to predict, the registered model.
    exclude, key : tuple of str
        Columns that are no features; `key` columns also decide the split.
    split : Method
        With `split_by` the column it needs.
    holdout : float
        Share of the rows to judge by.
    units : pairs of str
        Units by column, for people.
    time_budget : float or None
        Seconds for the search and the last fit; None for what the number of rows asks for.
    trials : int
        Settings tried at most.
    monotonic : pairs of column and 1 or -1
        Directions that predictions must keep.
    strict : bool
        Whether what looks wrong, or like a leak, stops the training.
    contract : str
        A file of `data.checks.contract` that the table has to keep, or nothing.
    header, encoding : str
        As in `data.sources.source.Layout`.
    weight : str
        The column that says how much each row counts, or nothing: the one that the name's versions have, if any.
    result : str
        A file for what came of it, or nothing; see `training.jobs.result`.
    fail_if_kept : bool
        Whether the exit code says that the version was not promoted.
    read, missing, decimal
        How the table's texts are read; see `data.cells.column_readings.Asked`.
    """

    data: str
    target: str
    name: str
    query: str = ""
    exclude: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    split: Method = "hash"
    split_by: str = ""
    holdout: float = 0.15
    seed: int = 0
    promote: Literal["auto", "never"] = "auto"
    policy: Policy = Policy()
    units: tuple[tuple[str, str], ...] = ()
    time_budget: float | None = None
    trials: int = 200
    monotonic: tuple[tuple[str, int], ...] = ()
    strict: bool = False
    contract: str = ""
    header: Header = "auto"
    encoding: str = ""
    weight: str = ""
    result: str = ""
    fail_if_kept: bool = False
    read: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = ""

    @property
    def asked(self) -> Asked:
        """How the table's texts are to be read."""
        return Asked(self.read, self.missing, self.decimal)

    @property
    def unit(self) -> str:
        """The target's unit, or nothing."""
        return dict(self.units).get(self.target, "")

    def seconds_for(self, rows: int) -> float:
        """Return the time budget for a table of so many rows."""
        if self.time_budget is not None:
            return self.time_budget
        return next(seconds for fewer_than, seconds in AUTO_BUDGETS if rows < fewer_than)

    def as_params(self) -> dict[str, str]:
        """Return the parameters as MLproject names them, text by name, without a password."""
        return {
            "data": redact_address(self.data),
            "query": redact(self.query),
            "header": self.header,
            "encoding": self.encoding,
            "target": self.target,
            "name": self.name,
            "exclude": joined(self.exclude),
            "key": joined(self.key),
            "split": self.split,
            **({SPLIT_FLAGS[self.split]: self.split_by} if self.split_by else {}),
            "holdout": str(self.holdout),
            "seed": str(self.seed),
            "promote": self.promote,
            "policy": self.policy.name,
            "margin": str(self.policy.margin),
            "allow_schema_change": str(self.policy.allow_schema_change).lower(),
            "units": joined([f"{column}={unit}" for column, unit in self.units]),
            "time_budget": "auto" if self.time_budget is None else f"{self.time_budget:g}",
            "trials": str(self.trials),
            "strict": str(self.strict).lower(),
            "contract": self.contract,
            "weight": self.weight,
            "result": self.result,
            "fail_if_kept": str(self.fail_if_kept).lower(),
            "read": joined([f"{column}:{words}" for column, words in self.read]),
            "missing": joined(self.missing),
            "decimal": self.decimal,
            "monotonic": joined([f"{column}={'+' if sign > 0 else '-'}" for column, sign in self.monotonic]),
        }


@dataclass(frozen=True)
class AdoptConfig(TrainConfig):
    """One model that was fitted elsewhere, in the file `model`, and rows to hold it to."""

    model: str = ""

    @property
    def path(self) -> Path:
        """The model's file."""
        return Path(self.model)

    def as_params(self) -> dict[str, str]:
        """Return the parameters as MLproject names them."""
        table = ("data", "query", "header", "encoding", "read", "missing", "decimal")
        names = (*table, "target", "name", "exclude", "units")
        return {"model": self.model} | {name: super(AdoptConfig, self).as_params()[name] for name in names}


def asked_then(recorded: Mapping[str, str]) -> Asked:
    """Return how a version's run read its table, by the parameters that it recorded."""
    read, missing = (columns(recorded.get(name, "")) for name in ("read", "missing"))
    pairs = [pair.rpartition(":") for pair in read]
    return Asked(tuple((column, words) for column, _, words in pairs), missing, recorded.get("decimal", ""))


def refuse_masked(*recorded: str) -> None:
    """Raise UsageError where a record of the table's address or query lacks the password that it was read with."""
    if any(MASK in text for text in recorded):
        raise UsageError(
            message="the table's address or query was recorded without its password: pass data=... and query=... again"
        )


@dataclass(frozen=True)
class PromoteConfig:
    """One promotion by hand."""

    name: str
    version: str
    data: str = ""
    query: str = ""
    header: Header = "auto"
    encoding: str = ""
    policy: Policy = Policy()
    dry_run: bool = False
    force: bool = False
    reason: str = ""
    result: str = ""
    fail_if_kept: bool = False


@dataclass(frozen=True)
class CheckConfig:
    """One look at a table: whether anything is wrong with it, and whether it keeps its contract."""

    data: str
    contract: str = ""
    target: str = ""
    query: str = ""
    header: Header = "auto"
    encoding: str = ""
    exclude: tuple[str, ...] = ()
    time_column: str = ""
    units: tuple[tuple[str, str], ...] = ()
    strict: bool = False
    weight: str = ""
    read: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = ""

    @property
    def asked(self) -> Asked:
        """How the table's texts are to be read."""
        return Asked(self.read, self.missing, self.decimal)


@dataclass(frozen=True)
class ReproduceConfig:
    """One rebuilding of a version; `data` and `query` where the table has moved."""

    name: str
    version: str
    data: str = ""
    query: str = ""
    header: Header = "auto"
    encoding: str = ""


@dataclass(frozen=True)
class RollbackConfig:
    """One way back to the champion before."""

    name: str
    reason: str = ""


@dataclass(frozen=True)
class HistoryConfig:
    """A question to the ledger; `at` is a moment, or None for all of it."""

    name: str
    at: datetime | None = None


@dataclass(frozen=True)
class RecalibrateConfig:
    """New intervals for a version, the champion if none is named, from fresh labelled rows."""

    name: str
    data: str
    version: str = ""
    query: str = ""
    header: Header = "auto"
    encoding: str = ""


Config = (
    TrainConfig
    | AdoptConfig
    | CheckConfig
    | PromoteConfig
    | RecalibrateConfig
    | ReproduceConfig
    | RollbackConfig
    | HistoryConfig
)


def job_of(config: Config) -> str:
    """Return what was asked for in a few words, such as `check houses.csv` or `promote houses 3`."""
    command = type(config).__name__.removesuffix("Config").lower()
    if isinstance(config, CheckConfig):
        return f"{command} {Path(redact_address(config.data)).name}"
    about = f"{command} {config.name} {getattr(config, 'version', '')}".rstrip()
    return f"{about} (dry run)" if getattr(config, "dry_run", False) else about
