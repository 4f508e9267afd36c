"""The columns that a command names, as the table writes them: see `data.column_names.matching`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from training.commands import CheckConfig, named_as, trainings

Asked = TypeVar("Asked", bound=trainings.TrainConfig | CheckConfig)


def as_named(asked: Asked, names: Iterable[str]) -> Asked:
    """Return a command with its columns' names as the table has them; those that it has not stay as they are."""
    return named_as(asked, list(names))
