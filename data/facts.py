"""Errors as values: facts in typed fields, and one text that is made of them.

    class LongRecord(SourceError):
        template = "{where}, line {line}: begins a row of more than {megabytes} MB: check that its lines end"
        where: str
        line: int
        limit: int

        @property
        def megabytes(self) -> int:
            return self.limit // 2**20

Each class is a dataclass: its fields are keywords of the constructor and attributes of the error. The template
names them, and properties where words have to be found first. A class without a template is raised with words:
`SplitError("houses.csv: ...")`. Errors may be pickled, since processes pass them to each other.

This module knows no error by name. The serving worker imports it, so it takes the standard library alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, dataclass_transform

from data.redaction import redact


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class _Dataclasses(Exception):
    """Makes a dataclass of each class below that has fields of its own; mypy knows it by the decorator."""

    def __init_subclass__(cls) -> None:
        if "__annotations__" in vars(cls):  # the others keep their parent's constructor
            dataclass(kw_only=True, eq=False, repr=False, match_args=False)(cls)


class FactError(_Dataclasses):
    """An error that keeps its facts, and says them in one way.

    Attributes
    ----------
    words : str
        What is said where the class has no template.
    """

    template: ClassVar[str] = "{words}"
    words: str = field(default="", kw_only=False)

    def __post_init__(self) -> None:
        self.args = (self.shown(self.template.format_map(_Attributes(self))),)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (type(self), self.args), vars(self)

    @staticmethod
    def shown(text: str) -> str:
        """Return what may be seen of the text: addresses without their secrets."""
        return redact(text)


class _Attributes:
    """The attributes of an error, properties too, as `str.format_map` asks for them."""

    def __init__(self, error: FactError) -> None:
        self._error = error

    def __getitem__(self, name: str) -> Any:
        return getattr(self._error, name)


def _revived(kind: type[FactError], args: tuple[str, ...]) -> FactError:
    return kind.__new__(kind, *args)
