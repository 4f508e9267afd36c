"""What a column is called that has no name, and which columns only count the rows.

A table that pandas, R or Excel wrote may begin with the rows' numbers under an empty header, or end in separators, and
MLflow scores no column without a name. Such columns get a name by their position, so that they can be talked about;
whether they hold anything is for `data.checks`. The names that people write are found here, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.long_arrays import blocks

QUOTES = "'\"`"

PANDAS_INDEX = re.compile(r"__index_level_\d+__")
NUMBERED = re.compile(r"column \d+_*|Unnamed: \d+(_level_\d+)?|\.\.\.\d+|X\.?\d*")
"""Names that Slipway, pandas and R give to columns that had none, by their position."""


def named(header: Sequence[str]) -> list[str]:
    """Return a header in which each column has a name: `column 3` for the third, if it had none.

    >>> named(["", "x", " "])
    ['column 1', 'x', 'column 3']
    """
    taken, names = set(header), []
    for position, name in enumerate(header, start=1):
        if not name.strip():
            name = f"column {position}"  # noqa: PLW2901 - it has none of its own
            while name in taken:
                name += "_"  # noqa: PLW2901
            taken.add(name)
        names.append(name)
    return names


def matching(word: str, names: Iterable[str]) -> str:
    """Return the column that a person means, where one name is left.

    Quotes and blanks at the ends do not count, nor the Unicode form: some programs write é as two characters.

    >>> matching("'Sale Price'", ["Lot", "Sale Price "]), matching("lot", ["Lot"]), matching("a", ["a ", " a"])
    ('Sale Price ', 'lot', 'a')
    """
    known = list(names)
    bare = word.strip()
    bare = bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in QUOTES else bare
    for meant in (word, word.strip(), bare):
        if meant in known:
            return meant
    matches = [name for name in known if _bare(name) == _bare(bare)]
    return matches[0] if len(matches) == 1 else word


def _bare(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def matching_owner(word: str, names: Sequence[str]) -> str:
    """Return what means a missing value, `column:word` with the column's name as the table writes it.

    >>> matching_owner("speed:none", ["speed "]), matching_owner("-200", ["speed "])
    ('speed :none', '-200')
    """
    for at, mark in enumerate(word):
        if mark == ":" and (owner := matching(word[:at], names)) in names:
            return owner + word[at:]
    return word


def are_numbered(names: Sequence[str]) -> bool:
    """Return whether columns are called by their places, as those of a table without a header are."""
    return all(re.fullmatch(r"column_\d+", name) for name in names)


def why_no_feature(name: str, numbers: NDArray[np.float64] | None) -> str:
    """Return why a column describes no row, by its name and its numbers; nothing where it may.

    Parameters
    ----------
    numbers : float64 array of shape (n_rows,), or None
        Of a column of numbers.
    """
    if PANDAS_INDEX.fullmatch(name):
        return "it is the index that pandas wrote; give it a name to use it"
    if NUMBERED.fullmatch(name) and numbers is not None and _counts(numbers):
        return "it has no name and counts the rows; give it one to use it"
    return ""


def _counts(numbers: NDArray[np.float64]) -> bool:
    """Return whether whole numbers go up by one from 0 or 1, with gaps where rows were left out."""
    whole = all((numbers[part] % 1 == 0).all() for part in blocks(len(numbers)))
    steps = (np.diff(numbers[part.start : part.stop + 1]) for part in blocks(len(numbers)))
    ones = sum(np.count_nonzero(each == 1) if (each > 0).all() else -np.inf for each in steps)
    return whole and len(numbers) > 1 and 2 * ones > len(numbers) - 1  # more than half: the median is 1
