"""The days of a table with a column of dates: scored here, so that rows need not have been served by us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.column_names import matching
from data.tables import Table, row_digests
from serving.scorer import Scorer
from training.arrivals.day import GRACE, NO_GROUPS, Arrived, day_before
from training.commands import watches
from training.compiling import pack_frame
from training.console import Say
from training.errors import CannotScore, UsageError
from training.monitoring import Reference
from training.records import model_registry
from training.rows import open_table
from training.rows.known import how_read, learned, load_known

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TableDays:
    """A table's rows by day, in UTC.

    Attributes
    ----------
    answers : float64 array of shape (n_rows, 2)
    numbers : int64 array of shape (n_rows,)
        The day of each row, since 1970.
    """

    names: tuple[str, ...]
    matrix: Floats
    answers: Floats
    actual: Floats
    numbers: NDArray[np.int64]
    groups: NDArray[np.uint64] | None
    lacking: tuple[str, ...] = ()
    unasked: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {_label(int(number)): int(number) for number in np.unique(self.numbers)}

    @property
    def days(self) -> tuple[str, ...]:
        """ISO dates, rising."""
        return tuple(self._numbers)

    @property
    def over(self) -> str:
        """The day before this one."""
        return day_before(datetime.now(tz=UTC), GRACE)

    @property
    def matured(self) -> str:
        """The day before this one: what came later than its table does not come any more."""
        return day_before(datetime.now(tz=UTC))

    def count(self, day: str) -> int:
        """Return how many rows a day has."""
        return int((self.numbers == self._numbers[day]).sum())

    def read(self, day: str) -> Arrived:
        """Return a day's rows."""
        rows = self.numbers == self._numbers[day]
        alike = None if self.groups is None else self.groups[rows]
        return Arrived(day, self.matrix[rows], self.answers[rows], self.actual[rows], alike)


def of_table(
    config: watches.MonitorConfig, version: model_registry.Version, reference: Reference, say: Say
) -> TableDays:
    """Read a table and score it by the version's own files.

    Raises
    ------
    DataError
        The table cannot be read, or a row has no time.
    CannotScore
        It lacks a column that the version needs.
    """
    recorded = how_read.recorded_of(version)
    source = open_table(config, say, recorded)
    table = load_known(source, version.schema, version.split.kinds, how_read.again(version, recorded))
    say("read", f"{len(table):,} rows from {table.where}")
    moments = table.moments(matching(config.time_column, table.names))
    groups = _groups(config, reference, version, table)
    lacking = [name for name in version.schema.names if name not in table.frame]
    if lacking:
        raise CannotScore(name=version.name, version=version.number, column=lacking[0])
    matrix = pack_frame(table.frame, version.schema)
    answers = Scorer.load(version.scorer_folder).predict_with_scale(matrix)
    known = version.target in table.frame
    if known:
        learned.warn(version, table, say)
    actual = table.numbers(version.target) if known else np.full(len(table), np.nan)
    numbers = np.floor(moments / 86_400.0).astype(np.int64)
    unasked = {"harm": NO_GROUPS} if reference.group and groups is None else {}
    return TableDays(tuple(table.names), matrix, answers, actual, numbers, groups, unasked=unasked)


def _label(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, tz=UTC).date().isoformat()


def _groups(
    config: watches.MonitorConfig, reference: Reference, version: model_registry.Version, table: Table
) -> NDArray[np.uint64] | None:
    """Return which rows are alike, as the version's split had them.

    Raises
    ------
    UsageError
        The table does not say it, and more than one row of a day is asked for.
    """
    lacking = [name for name in reference.group if name not in table.frame]
    if lacking and config.independent:
        raise UsageError(
            message=f"{table.where} has no column {lacking[0]!r}, whose groups {version.name} version "
            f"{version.number} was split by: add it, or pass independent=false for one row of each day"
        )
    if lacking or not reference.group:
        return None
    rule = version.split
    return row_digests(table, reference.group, salt=rule.salt, kinds=rule.kinds, values=rule.values)
