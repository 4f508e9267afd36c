"""How the user wants the texts of a table to be read: one value that travels with a command and with its contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from data.cells.hints import NO_HINT, Hint, hint_of
from data.cells.readings import Reading
from data.column_names import matching, matching_owner
from data.errors import MissingColumn


@dataclass(frozen=True)
class ReadOptions:
    """What was said of the columns of a table; what was not is found out.

    Attributes
    ----------
    read : pairs of column and words
        See `data.cells.HINTS`.
    missing : tuple of str
        Words and numbers that mean a missing value, in all columns or as `column:word` in one.
    decimal : str
        The decimal mark of all columns, or nothing.
    known : mapping of column to Reading
        What a contract promises, or an earlier reading found; these columns are read so and not otherwise.
    """

    read: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = ""
    known: Mapping[str, Reading] = field(default_factory=dict)

    def named(self, columns: Sequence[str]) -> ReadOptions:
        """Return the same with the columns' names as a table writes them."""
        read = tuple((matching(column, columns), words) for column, words in self.read)
        return replace(self, read=read, missing=tuple(matching_owner(word, columns) for word in self.missing))

    def with_known(self, known: Mapping[str, Reading]) -> ReadOptions:
        """Return the same with known readings, but for what the user says of columns or of the decimal mark.

        Another decimal mark leaves what is missing in a column as it is known.
        """
        named = {matching(column, known) for column, _ in self.read}
        others = {name: reading for name, reading in known.items() if name not in named}
        kept = {name: reading for name, reading in others.items() if not self._contradicts(reading)}
        words = [f"{name}:{word}" for name in others.keys() - kept for word in others[name].missing]
        return replace(self, known=kept | dict(self.known), missing=(*self.missing, *sorted(words)))

    def known_of(self, column: str, kind: str | None) -> Reading | None:
        """Return how a column of such cells is known to be read; None where that is to be found out.

        Plain numbers are known as such only where plain numbers stand: cells with other marks are read by these.
        """
        reading = self.known.get(column)
        return None if reading == _PLAIN_NUMBER and kind != "number" else reading

    def _contradicts(self, reading: Reading) -> bool:
        is_of_digits = reading.form in ("number", "duration")
        return bool(self.decimal) and is_of_digits and reading.decimal != self.decimal

    def hint(self, column: str) -> Hint:
        """Return what was said of a column."""
        hint = hint_of(words) if (words := dict(self.read).get(column)) else NO_HINT
        return hint if hint.decimal or not self.decimal else replace(hint, decimal=self.decimal)

    def words(self, column: str, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the words that are missing in one of the table's columns."""
        known, words = set(columns), []
        for word in self.missing:
            owner = next(
                (word[:at] for at, mark in enumerate(word) if mark == ":" and word[:at] in known), None
            )
            if owner in (None, column):
                words.append(word if owner is None else word[len(owner) + 1 :])
        return tuple(words)

    def check(self, where: str, columns: Iterable[str]) -> None:
        """Raise MissingColumn where a column is named that the table does not have."""
        names = list(columns)
        for column, _ in self.read:
            if column not in names:
                raise MissingColumn(where=where, role="read", column=column, columns=names)


NO_OPTIONS = ReadOptions()
_PLAIN_NUMBER = Reading("number")
