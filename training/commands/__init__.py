"""What each command is asked to do: words in, a checked configuration out."""

from training.commands import configs
from training.commands.parameters import named_as
from training.commands.parser import parse
from training.commands.words import MOST_MARGIN

__all__ = ["MOST_MARGIN", "configs", "named_as", "parse"]
