"""The columns that a command names, as the table writes them: see `data.text.column_names.matching`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

from data.text.column_names import matching
from training.commands.config import CheckConfig, TrainConfig

Asked = TypeVar("Asked", bound=TrainConfig | CheckConfig)

ONE = ("target", "split_by", "time_column", "weight")
SOME = ("exclude", "key")
PAIRS = ("units", "monotonic")
"""The parameters that name one column, some, and some with a word for each."""


def as_named(asked: Asked, names: Iterable[str]) -> Asked:
    """Return a command with its columns' names as the table has them; those that it has not stay as they are."""
    known = list(names)

    def meant(name: str, given: Any) -> Any:
        if name in ONE:
            return matching(given, known) if given else given
        if name in SOME:
            return tuple(matching(column, known) for column in given)
        return tuple((matching(column, known), word) for column, word in given)

    columns = [field.name for field in fields(asked) if field.name in (*ONE, *SOME, *PAIRS)]
    return replace(asked, **{name: meant(name, getattr(asked, name)) for name in columns})
