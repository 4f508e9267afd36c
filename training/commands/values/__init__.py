"""What a parameter may be: a word is read as a value, and the value written as a word.

words    each reader of a word, with what it says of one that does not fit
kinds    reading, writing, and the columns that a value names, in one
"""

from training.commands.values import kinds, words
from training.commands.values.kinds import TEXT, Kind, one_of, one_of_or_unsaid
from training.commands.values.words import MOST_MARGIN, NAME_PATTERN, columns

__all__ = [
    "Kind",
    "MOST_MARGIN",
    "NAME_PATTERN",
    "TEXT",
    "columns",
    "kinds",
    "one_of",
    "one_of_or_unsaid",
    "words",
]
