"""The command line of `python -m training`: words in, a checked configuration out.

MLflow hands every parameter on as text, checks none, and appends unknown ones as `--name value`:
so all checks are here and in `training.commands.words`, and a misspelt name is answered with the nearest known one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from data.cells.looks import WISHES
from data.errors import nearest
from data.sources.source import HEADERS
from data.splits.splitting import METHODS
from training.commands.config import (
    POLICIES,
    SPLIT_FLAGS,
    AdoptConfig,
    CheckConfig,
    Config,
    HistoryConfig,
    Policy,
    PromoteConfig,
    RecalibrateConfig,
    ReproduceConfig,
    RollbackConfig,
    TrainConfig,
)
from training.commands.words import (
    NAME_PATTERN,
    budget,
    columns,
    decimal,
    directions,
    margin,
    model_name,
    moment,
    one_of,
    optional,
    positive,
    readings,
    share,
    text,
    units,
    version_number,
    whole_number,
    yes_or_no,
)
from training.errors import UsageError

Made = TypeVar("Made")
Make = Callable[[argparse.Namespace, "Parser"], Config]

table = text("a path, glob, folder or SQLAlchemy URL")


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


def parse(arguments: Sequence[str] | None = None) -> Config:
    """Read a command line; raises UsageError, and SystemExit after --help."""
    parser = build_parser()
    asked = parser.parse_strictly(_with_dashes(sys.argv[1:] if arguments is None else arguments))
    config: Config = asked.make(asked, parser)
    return config


def _with_dashes(arguments: Sequence[str]) -> list[str]:
    """Tie what means a missing value to its parameter: argparse would take `-` or `--` for one of its own."""
    tied: list[str] = []
    for word in arguments:
        if tied and tied[-1] == "--missing":
            tied[-1] = f"--missing={word}"
        else:
            tied.append(word)
    return tied


def build_parser() -> Parser:
    """Return the command line's grammar."""
    parser = Parser(
        prog="python -m training", description="Train, track, register and promote.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)

    def command(name: str, summary: str, make: Make) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(name, help=summary, allow_abbrev=False)
        added.set_defaults(make=make)
        return added

    _train(command("train", "train on a table and promote if it should be", _train_config))
    summary = "register a model that was fitted elsewhere; loading a pickle runs any code in it"
    _adopt(command("adopt", summary, _adopt_config))
    _check(command("check", "say all that looks wrong with a table", partial(_made, CheckConfig)))
    _promote(command("promote", "promote a version by hand", _promote_config))
    summary = "new intervals from fresh labelled rows, the same model"
    _recalibrate(command("recalibrate", summary, partial(_made, RecalibrateConfig)))
    _reproduce(command("reproduce", "rebuild a version and compare digests", partial(_made, ReproduceConfig)))
    _rollback(command("rollback", "go back to the champion before", partial(_made, RollbackConfig)))
    _history(command("history", "who was champion, and why", _history_config))
    return parser


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("--data", type=table, required=True)
    train.add_argument("--target", type=text("a column"), required=True, help="the column to predict")
    train.add_argument(
        "--name", type=optional(model_name), default="", help="registered model; default: the file's"
    )
    train.add_argument("--query", default="", help="SQL, where data is a database")
    _add_layout(train)
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
    train.add_argument(
        "--time_budget",
        type=budget,
        default=None,
        metavar="SECONDS",
        help="for search and last fit; default: auto, by rows",
    )
    train.add_argument("--trials", type=positive, default=200, help="settings tried at most")
    train.add_argument("--strict", type=yes_or_no, default=False, help="what looks wrong is an error")
    train.add_argument("--contract", default="", help="a file that the table has to keep; see check")
    train.add_argument("--weight", default="", metavar="COLUMN", help="how much each row counts")
    train.add_argument("--monotonic", type=directions, default=(), help="such as price=+,age=-")
    _add_outcome(train)
    _add_readings(train)


def _add_readings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--read", type=readings, default=(), help=f"such as price:currency,when:date-dmy; {', '.join(WISHES)}"
    )
    command.add_argument(
        "--missing", type=columns, default=(), help="what means a missing value, such as ?,-200 or speed:none"
    )
    command.add_argument("--decimal", type=optional(decimal), default="", help="decimal mark of all columns")


def _adopt(adopt: argparse.ArgumentParser) -> None:
    adopt.add_argument("--model", type=text("a file that joblib.dump or Keras wrote"), required=True)
    adopt.add_argument("--data", type=table, required=True)
    adopt.add_argument("--target", type=text("a column"), required=True, help="what the model predicts")
    adopt.add_argument("--name", type=optional(model_name), default="", help="default: the model's file")
    adopt.add_argument("--query", default="", help="SQL, where data is a database")
    _add_layout(adopt)
    adopt.add_argument("--exclude", type=columns, default=(), help="columns that are no features, by comma")
    adopt.add_argument("--units", type=units, default=(), help="such as price=EUR,area=m²")
    _add_outcome(adopt)
    _add_readings(adopt)


def _add_outcome(command: argparse.ArgumentParser) -> None:
    command.add_argument("--result", default="", metavar="FILE", help="what came of it, as JSON for programs")
    command.add_argument(
        "--fail_if_kept", type=yes_or_no, default=False, help="exit with 4 where it is not promoted"
    )


def _check(check: argparse.ArgumentParser) -> None:
    check.add_argument("--data", type=table, required=True)
    check.add_argument(
        "--contract", default="", help="a file to hold the table to; written where there is none"
    )
    check.add_argument(
        "--target", default="", help="also look for columns that know it; default: the contract's"
    )
    check.add_argument("--query", default="", help="SQL, where data is a database")
    _add_layout(check)
    check.add_argument("--exclude", type=columns, default=(), help="columns that are not looked at, by comma")
    check.add_argument(
        "--time_column", default="", metavar="COLUMN", help="also look for what is known too late"
    )
    check.add_argument(
        "--units", type=units, default=(), help="for a new contract, such as price=EUR,area=m²"
    )
    check.add_argument("--weight", default="", metavar="COLUMN", help="also whether it can weigh rows")
    check.add_argument("--strict", type=yes_or_no, default=False, help="what looks wrong is an error")
    _add_readings(check)


def _promote(promote: argparse.ArgumentParser) -> None:
    promote.add_argument("--name", type=model_name, required=True)
    promote.add_argument("--version", type=version_number, required=True)
    promote.add_argument("--data", default="", help="rows to judge by; default: those it was trained from")
    promote.add_argument("--query", default="")
    _add_layout(promote)
    _add_policy(promote)
    promote.add_argument(
        "--dry_run", type=yes_or_no, default=False, help="say what would be decided, change nothing"
    )
    promote.add_argument("--force", type=yes_or_no, default=False, help="past the gate; needs a reason")
    promote.add_argument("--reason", default="", help="kept in the ledger")
    _add_outcome(promote)


def _recalibrate(recalibrate: argparse.ArgumentParser) -> None:
    recalibrate.add_argument("--name", type=model_name, required=True)
    recalibrate.add_argument("--data", type=table, required=True)
    recalibrate.add_argument("--version", type=optional(version_number), default="", help="default: champion")
    recalibrate.add_argument("--query", default="")
    _add_layout(recalibrate)


def _reproduce(reproduce: argparse.ArgumentParser) -> None:
    reproduce.add_argument("--name", type=model_name, required=True)
    reproduce.add_argument("--version", type=version_number, required=True)
    reproduce.add_argument("--data", default="", help="where the table is now; default: where it was")
    reproduce.add_argument("--query", default="")
    _add_layout(reproduce)


def _rollback(rollback: argparse.ArgumentParser) -> None:
    rollback.add_argument("--name", type=model_name, required=True)
    rollback.add_argument("--reason", default="", help="kept in the ledger")


def _history(history: argparse.ArgumentParser) -> None:
    history.add_argument("--name", type=model_name, required=True)
    history.add_argument("--at", type=optional(moment), default="", help="a moment in UTC: 2026-11-01T12:00")


def _add_layout(command: argparse.ArgumentParser) -> None:
    names = "whether text files begin with the columns' names: one of " + ", ".join(HEADERS)
    command.add_argument("--header", type=one_of(HEADERS), default="auto", help=names)
    command.add_argument(
        "--encoding", default="", help="of text files, such as cp1251; default: UTF-8, or found"
    )


def _add_policy(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--policy", type=one_of(POLICIES), default="better", help=f"one of {', '.join(POLICIES)}"
    )
    command.add_argument(
        "--margin", type=margin, default=0.01, help="for not-worse: a share of the champion's RMSE"
    )
    command.add_argument("--allow_schema_change", type=yes_or_no, default=False)


def _made(kind: type[Made], asked: argparse.Namespace, _parser: Parser, **others: Any) -> Made:
    """Return a configuration whose fields are the parameters of the same names, and the others."""
    given = vars(asked)
    named = {field.name: given[field.name] for field in fields(kind) if field.name in given}  # type: ignore[arg-type]
    return kind(**named | others)


def _policy(asked: argparse.Namespace) -> Policy:
    return Policy(asked.policy, asked.margin, asked.allow_schema_change)


def _history_config(asked: argparse.Namespace, parser: Parser) -> HistoryConfig:
    return _made(HistoryConfig, asked, parser, at=asked.at or None)


def _adopt_config(asked: argparse.Namespace, parser: Parser) -> AdoptConfig:
    return _made(AdoptConfig, asked, parser, name=asked.name or _name_from(asked.model, parser))


def _promote_config(asked: argparse.Namespace, parser: Parser) -> PromoteConfig:
    if asked.force and not asked.reason.strip():
        parser.error("force=true passes the gate by, so it needs reason=..., which is kept")
    if asked.reason and not asked.force:
        parser.error("reason goes with force=true")
    if asked.force and asked.dry_run:
        parser.error("dry_run=true and force=true exclude each other")
    return _made(PromoteConfig, asked, parser, policy=_policy(asked))


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
    if asked.fail_if_kept and asked.promote == "never":
        parser.error("fail_if_kept=true goes with promote=auto: promote=never promotes nothing")
    name = asked.name or _name_from(asked.data, parser)
    return _made(
        TrainConfig, asked, parser, name=name, split_by=by.get(asked.split, ""), policy=_policy(asked)
    )


def _name_from(file: str, parser: Parser) -> str:
    stem = Path(file).name.split(".")[0]
    if "://" in file or not NAME_PATTERN.fullmatch(stem):
        parser.error(
            f"name is missing and cannot be taken from {file.split('://', maxsplit=1)[0]}: pass name=..."
        )
    return stem
