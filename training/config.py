"""What the user asks of a training, checked value by value.

MLflow hands every parameter on as text, checks none, and appends unknown ones as `--name value`:
so all checks are here and in `training.words`, and a misspelt name is answered with the nearest known one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

from data.errors import nearest
from data.sources import without_password
from data.splits import METHODS, Method
from training.errors import UsageError
from training.words import (
    NAME_PATTERN,
    columns,
    directions,
    joined,
    margin,
    model_name,
    moment,
    one_of,
    optional,
    positive,
    seconds,
    share,
    text,
    units,
    version_number,
    whole_number,
    yes_or_no,
)

SPLIT_FLAGS: dict[str, str] = {"time": "time_column", "group": "group_column", "column": "split_column"}
"""The flag that names the column of a split method."""

PolicyName = Literal["better", "not-worse"]
POLICIES = ("better", "not-worse")


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
    time_budget : float
        Seconds for the search and the last fit.
    trials : int
        Settings tried at most.
    monotonic : pairs of column and 1 or -1
        Directions that predictions must keep.
    strict : bool
        Whether what looks wrong, or like a leak, stops the training.
    contract : str
        A file of `data.contract` that the table has to keep, or nothing.
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
    time_budget: float = 60.0
    trials: int = 200
    monotonic: tuple[tuple[str, int], ...] = ()
    strict: bool = False
    contract: str = ""

    @property
    def unit(self) -> str:
        """The target's unit, or nothing."""
        return dict(self.units).get(self.target, "")

    def as_params(self) -> dict[str, str]:
        """Return the parameters as MLproject names them, text by name, without a password."""
        return {
            "data": without_password(self.data),
            "query": self.query,
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
            "time_budget": f"{self.time_budget:g}",
            "trials": str(self.trials),
            "strict": str(self.strict).lower(),
            "contract": self.contract,
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
        names = ("data", "query", "target", "name", "exclude", "units")
        return {"model": self.model} | {name: super(AdoptConfig, self).as_params()[name] for name in names}


@dataclass(frozen=True)
class PromoteConfig:
    """One promotion by hand."""

    name: str
    version: str
    data: str = ""
    query: str = ""
    policy: Policy = Policy()
    dry_run: bool = False
    force: bool = False
    reason: str = ""


@dataclass(frozen=True)
class CheckConfig:
    """One look at a table: whether anything is wrong with it, and whether it keeps its contract."""

    data: str
    contract: str = ""
    target: str = ""
    query: str = ""
    exclude: tuple[str, ...] = ()
    time_column: str = ""
    units: tuple[tuple[str, str], ...] = ()
    strict: bool = False


@dataclass(frozen=True)
class ReproduceConfig:
    """One rebuilding of a version; `data` and `query` where the table has moved."""

    name: str
    version: str
    data: str = ""
    query: str = ""


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


Commands = Any
"""What argparse adds a command to; its type has no public name."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors name the nearest known word."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's own sentence."""
        raise UsageError(message=message)

    def parse_strictly(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse, and refuse what is unknown with the nearest known name."""
        asked, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(self._unknown(unknown[0], str(getattr(asked, "command", ""))))
        return asked

    def _unknown(self, word: str, command: str) -> str:
        name = word.lstrip("-").split("=")[0]
        known = [option.lstrip("-") for option in self._options(command)]
        near = nearest(name, known)
        return f"unknown parameter {name!r}: " + (
            f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
        )

    def _options(self, command: str) -> list[str]:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and command in action.choices:
                return [
                    word for word in action.choices[command]._option_string_actions if word.startswith("--")
                ]
        return [word for word in self._option_string_actions if word.startswith("--")]


def build_parser() -> Parser:
    """Return the command line of `python -m training`."""
    parser = Parser(
        prog="python -m training", description="Train, track, register and promote.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    _add_train(commands)
    _add_adopt(commands)
    _add_check(commands)
    _add_promote(commands)
    _add_others(commands)
    return parser


def _add_train(commands: Commands) -> None:
    train = commands.add_parser(
        "train", help="train on a table and promote if it should be", allow_abbrev=False
    )
    train.add_argument("--data", type=text("a path, glob, folder or SQLAlchemy URL"), required=True)
    train.add_argument("--target", type=text("a column"), required=True, help="the column to predict")
    train.add_argument(
        "--name", type=optional(model_name), default="", help="registered model; default: the file's"
    )
    train.add_argument("--query", default="", help="SQL, where data is a database")
    train.add_argument("--exclude", type=columns, default=(), help="columns that are no features, by comma")
    train.add_argument("--key", type=columns, default=(), help="columns that identify a row, by comma")
    train.add_argument("--split", type=one_of(METHODS), default="hash", help=f"one of {', '.join(METHODS)}")
    for method, flag in SPLIT_FLAGS.items():
        train.add_argument(f"--{flag}", default="", metavar="COLUMN", help=f"for split={method}")
    train.add_argument("--holdout", type=share, default=0.15, help="share of the rows to judge by")
    train.add_argument("--seed", type=whole_number, default=0)
    train.add_argument("--promote", type=one_of(("auto", "never")), default="auto")
    _add_policy(train)
    train.add_argument("--units", type=units, default=(), help="such as price=EUR,area=m²")
    train.add_argument("--time_budget", type=seconds, default=60.0, help="seconds for search and last fit")
    train.add_argument("--trials", type=positive, default=200, help="settings tried at most")
    train.add_argument("--strict", type=yes_or_no, default=False, help="what looks wrong is an error")
    train.add_argument("--contract", default="", help="a file that the table has to keep; see check")
    train.add_argument("--monotonic", type=directions, default=(), help="such as price=+,age=-")
    train.set_defaults(config=_train_config)


def _add_adopt(commands: Commands) -> None:
    adopt = commands.add_parser(
        "adopt",
        help="register a model that was fitted elsewhere; loading a pickle runs any code in it",
        allow_abbrev=False,
    )
    adopt.add_argument("--model", type=text("a file that joblib.dump or Keras wrote"), required=True)
    adopt.add_argument("--data", type=text("a path, glob, folder or SQLAlchemy URL"), required=True)
    adopt.add_argument("--target", type=text("a column"), required=True, help="what the model predicts")
    adopt.add_argument("--name", type=optional(model_name), default="", help="default: the model's file")
    adopt.add_argument("--query", default="", help="SQL, where data is a database")
    adopt.add_argument("--exclude", type=columns, default=(), help="columns that are no features, by comma")
    adopt.add_argument("--units", type=units, default=(), help="such as price=EUR,area=m²")
    adopt.set_defaults(config=_adopt_config)


def _add_check(commands: Commands) -> None:
    check = commands.add_parser("check", help="say all that looks wrong with a table", allow_abbrev=False)
    check.add_argument("--data", type=text("a path, glob, folder or SQLAlchemy URL"), required=True)
    check.add_argument(
        "--contract", default="", help="a file to hold the table to; written where there is none"
    )
    check.add_argument(
        "--target", default="", help="also look for columns that know it; default: the contract's"
    )
    check.add_argument("--query", default="", help="SQL, where data is a database")
    check.add_argument("--exclude", type=columns, default=(), help="columns that are not looked at, by comma")
    check.add_argument(
        "--time_column", default="", metavar="COLUMN", help="also look for what is known too late"
    )
    check.add_argument(
        "--units", type=units, default=(), help="for a new contract, such as price=EUR,area=m²"
    )
    check.add_argument("--strict", type=yes_or_no, default=False, help="what looks wrong is an error")
    check.set_defaults(config=_check_config)


def _add_promote(commands: Commands) -> None:
    promote = commands.add_parser("promote", help="promote a version by hand", allow_abbrev=False)
    promote.add_argument("--name", type=model_name, required=True)
    promote.add_argument("--version", type=version_number, required=True)
    promote.add_argument("--data", default="", help="rows to judge by; default: those it was trained from")
    promote.add_argument("--query", default="")
    _add_policy(promote)
    promote.add_argument(
        "--dry_run", type=yes_or_no, default=False, help="say what would be decided, change nothing"
    )
    promote.add_argument("--force", type=yes_or_no, default=False, help="past the gate; needs a reason")
    promote.add_argument("--reason", default="", help="kept in the ledger")
    promote.set_defaults(config=_promote_config)


def _add_others(commands: Commands) -> None:
    recalibrate = commands.add_parser(
        "recalibrate", help="new intervals from fresh labelled rows, the same model", allow_abbrev=False
    )
    recalibrate.add_argument("--name", type=model_name, required=True)
    recalibrate.add_argument("--data", type=text("a path, glob, folder or SQLAlchemy URL"), required=True)
    recalibrate.add_argument("--version", type=optional(version_number), default="", help="default: champion")
    recalibrate.add_argument("--query", default="")
    reproduce = commands.add_parser(
        "reproduce", help="rebuild a version and compare digests", allow_abbrev=False
    )
    reproduce.add_argument("--name", type=model_name, required=True)
    reproduce.add_argument("--version", type=version_number, required=True)
    reproduce.add_argument("--data", default="", help="where the table is now; default: where it was")
    reproduce.add_argument("--query", default="")
    rollback = commands.add_parser("rollback", help="go back to the champion before", allow_abbrev=False)
    rollback.add_argument("--name", type=model_name, required=True)
    rollback.add_argument("--reason", default="", help="kept in the ledger")
    history = commands.add_parser("history", help="who was champion, and why", allow_abbrev=False)
    history.add_argument("--name", type=model_name, required=True)
    history.add_argument("--at", type=optional(moment), default="", help="a moment in UTC: 2026-11-01T12:00")
    recalibrate.set_defaults(
        config=lambda asked, _: RecalibrateConfig(asked.name, asked.data, asked.version, asked.query)
    )
    reproduce.set_defaults(
        config=lambda asked, _: ReproduceConfig(asked.name, asked.version, asked.data, asked.query)
    )
    rollback.set_defaults(config=lambda asked, _: RollbackConfig(asked.name, asked.reason))
    history.set_defaults(config=lambda asked, _: HistoryConfig(asked.name, asked.at or None))


def _add_policy(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--policy", type=one_of(POLICIES), default="better", help=f"one of {', '.join(POLICIES)}"
    )
    command.add_argument(
        "--margin", type=margin, default=0.01, help="for not-worse: a share of the champion's RMSE"
    )
    command.add_argument("--allow_schema_change", type=yes_or_no, default=False)


def parse(arguments: Sequence[str] | None = None) -> Config:
    """Read a command line; raises UsageError, and SystemExit after --help."""
    parser = build_parser()
    asked = parser.parse_strictly(arguments)
    config: Config = asked.config(asked, parser)
    return config


def _adopt_config(asked: argparse.Namespace, parser: Parser) -> AdoptConfig:
    return AdoptConfig(
        data=asked.data,
        target=asked.target,
        name=asked.name or _name_from(asked.model, parser),
        query=asked.query,
        exclude=asked.exclude,
        units=asked.units,
        model=asked.model,
    )


def _check_config(asked: argparse.Namespace, _parser: Parser) -> CheckConfig:
    return CheckConfig(
        asked.data,
        asked.contract,
        asked.target,
        asked.query,
        asked.exclude,
        asked.time_column,
        asked.units,
        asked.strict,
    )


def _promote_config(asked: argparse.Namespace, parser: Parser) -> PromoteConfig:
    if asked.force and not asked.reason.strip():
        parser.error("force=true passes the gate by, so it needs reason=..., which is kept")
    if asked.reason and not asked.force:
        parser.error("reason goes with force=true")
    if asked.force and asked.dry_run:
        parser.error("dry_run=true and force=true exclude each other")
    return PromoteConfig(
        asked.name,
        asked.version,
        asked.data,
        asked.query,
        policy=_policy(asked),
        dry_run=asked.dry_run,
        force=asked.force,
        reason=asked.reason,
    )


def _policy(asked: argparse.Namespace) -> Policy:
    return Policy(asked.policy, asked.margin, asked.allow_schema_change)


def _train_config(asked: argparse.Namespace, parser: Parser) -> TrainConfig:
    by = {method: getattr(asked, flag) for method, flag in SPLIT_FLAGS.items()}
    for method, column in by.items():
        flag = SPLIT_FLAGS[method]
        if column and asked.split != method:
            parser.error(f"{flag}={column} goes with split={method}, found split={asked.split}")
        if asked.split == method and not column:
            parser.error(f"split={method} needs {flag}")
    if asked.key and asked.split != "hash":
        parser.error(f"key goes with split=hash, found split={asked.split}")
    return TrainConfig(
        data=asked.data,
        target=asked.target,
        name=asked.name or _name_from(asked.data, parser),
        query=asked.query,
        exclude=asked.exclude,
        key=asked.key,
        split=asked.split,
        split_by=by.get(asked.split, ""),
        holdout=asked.holdout,
        seed=asked.seed,
        promote=asked.promote,
        policy=_policy(asked),
        units=asked.units,
        time_budget=asked.time_budget,
        trials=asked.trials,
        monotonic=asked.monotonic,
        strict=asked.strict,
        contract=asked.contract,
    )


def _name_from(file: str, parser: Parser) -> str:
    stem = Path(file).name.split(".")[0]
    if "://" in file or not NAME_PATTERN.fullmatch(stem):
        parser.error(
            f"name is missing and cannot be taken from {file.split('://', maxsplit=1)[0]}: pass name=..."
        )
    return stem
