"""What each command is asked to do: words in, a checked configuration out."""

from training.commands import registered, rereading, trainings, watches
from training.commands.checking import CheckConfig
from training.commands.command import Command
from training.commands.parameters import named_as
from training.commands.parser import parse, summaries
from training.commands.policies import Policy

__all__ = [
    "CheckConfig",
    "Command",
    "Policy",
    "named_as",
    "parse",
    "registered",
    "rereading",
    "summaries",
    "trainings",
    "watches",
]
