"""What all commands have, and what those have that read texts.

A command is a class, a parameter one of its fields. The command line is made from these classes by
`training.commands.parser`, what a run records by `as_params`; MLproject has to say the same, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from data.cells import ReadOptions
from training.commands.parameters import words_for, written


class Command:
    """What all of them have."""

    SUMMARY: ClassVar[str]

    @classmethod
    def word(cls) -> str:
        """Return what it is called on the command line."""
        return cls.__name__.removesuffix("Config").lower()

    @classmethod
    def words(cls, values: Mapping[str, Any]) -> list[str]:
        """Return the command line that says these values, as text or as Python has them."""
        return [cls.word(), *words_for(cls, values)]

    @property
    def job(self) -> str:
        """What was asked for in a few words, such as `check houses.csv` or `recalibrate houses 3`."""
        return " ".join(
            filter(None, (self.word(), *(getattr(self, name, "") for name in ("name", "version"))))
        )

    def settled(self) -> Self:
        """Return what follows from all parameters together; raises UsageError where they do not go together."""
        return self

    def as_params(self) -> dict[str, str]:
        """Return the parameters as MLproject names them, text by name, without a password."""
        return written(self)


class ReadsTexts:
    """A command that says how a table's texts are read."""

    read: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    decimal: str

    @property
    def asked(self) -> ReadOptions:
        """How the table's texts are to be read."""
        return ReadOptions(self.read, self.missing, self.decimal)
