"""The command line of `python -m training`: words in, a checked command out.

MLflow hands every parameter on as text, checks none, and appends unknown ones as `--name value`: so a misspelt name is
answered with the nearest known one. Each command's parameters stand at its class.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from data.errors import nearest
from training.commands.checking import CheckConfig
from training.commands.command import Command
from training.commands.parameters import declared, made
from training.commands.registered import (
    CopyConfig,
    HistoryConfig,
    PromoteConfig,
    RecalibrateConfig,
    ReproduceConfig,
    RollbackConfig,
    SignConfig,
)
from training.commands.trainings import AdoptConfig, TrainConfig
from training.commands.watches import CompactConfig, FeedbackConfig, MonitorConfig
from training.errors import UsageError

COMMANDS: tuple[type[Command], ...] = (
    TrainConfig,
    AdoptConfig,
    CheckConfig,
    PromoteConfig,
    RecalibrateConfig,
    CompactConfig,
    FeedbackConfig,
    MonitorConfig,
    ReproduceConfig,
    RollbackConfig,
    CopyConfig,
    SignConfig,
    HistoryConfig,
)
"""In the order of --help."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors name the nearest known word."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's own sentence."""
        raise UsageError(message=message)

    def parse_strictly(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse, and refuse what is unknown with the nearest known name."""
        asked, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(_unknown(unknown[0], asked.command))
        return asked


def parse(arguments: Sequence[str] | None = None) -> Command:
    """Read a command line; raises UsageError, and SystemExit after --help."""
    words = _with_dashes(sys.argv[1:] if arguments is None else arguments)
    asked = build_parser().parse_strictly(words)
    return made(_named(asked.command), vars(asked)).settled()


def summaries() -> dict[str, str]:
    """Return what each command does, in the order of --help."""
    return {command.word(): command.SUMMARY for command in COMMANDS}


def build_parser() -> Parser:
    """Return the command line's grammar."""
    parser = Parser(
        prog="python -m training", description="Train, track, register and promote.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for command in COMMANDS:
        _add_parameters(
            commands.add_parser(command.word(), help=command.SUMMARY, allow_abbrev=False), command
        )
    return parser


def _add_parameters(parser: argparse.ArgumentParser, command: type[Command]) -> None:
    for each in declared(command):
        default = {} if each.is_required else {"default": each.default}
        parser.add_argument(
            f"--{each.name}",
            type=each.how.kind.read,
            help=each.help,
            metavar=each.how.metavar,
            required=each.is_required,
            **default,
        )


def _named(word: str) -> type[Command]:
    return next(command for command in COMMANDS if command.word() == word)


def _unknown(word: str, command: str) -> str:
    name = word.lstrip("-").split("=")[0]
    known = ["help", *(each.name for each in declared(_named(command)))]
    near = nearest(name, known)
    return f"unknown parameter {name!r}: " + (
        f"did you mean {near!r}?" if near else f"known are {', '.join(known)}"
    )


def _with_dashes(arguments: Sequence[str]) -> list[str]:
    """Tie what means a missing value to its parameter: argparse would take `-` or `--` for one of its own."""
    tied: list[str] = []
    for word in arguments:
        if tied and tied[-1] == "--missing":
            tied[-1] = f"--missing={word}"
        else:
            tied.append(word)
    return tied
