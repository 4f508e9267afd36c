"""One day's rows as a watch takes them, and what gives such days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Arrived:
    """One day's rows.

    Attributes
    ----------
    matrix : float64 array of shape (n_rows, n_columns)
        Packed.
    answers : float64 array of shape (n_rows, 2)
        Predictions and scales.
    actual : float64 array of shape (n_rows,)
        NaN where nobody knows yet.
    groups : uint64 array of shape (n_rows,), or None
        Rows with the same number are alike.
    of_labels : mapping of str to float
        Figures of what came back, beyond those of the watch.
    """

    day: str
    matrix: Floats
    answers: Floats
    actual: Floats
    groups: NDArray[np.uint64] | None = None
    of_labels: Mapping[str, float] = field(default_factory=dict)


class Arrivals(Protocol):
    """Days that can be read."""

    @property
    def names(self) -> Sequence[str]:
        """The columns by which one may name what is not to be watched."""

    @property
    def lacking(self) -> Sequence[str]:
        """What cannot be watched: columns that are not here, and what needs them."""

    @property
    def unasked(self) -> Mapping[str, str]:
        """The kinds of alarms that cannot be raised, and why."""

    @property
    def days(self) -> Sequence[str]:
        """ISO dates, rising."""

    @property
    def over(self) -> str:
        """The last day that is over: all its rows are here."""

    @property
    def matured(self) -> str:
        """The last day whose outcomes count: no more of them are waited for."""

    def count(self, day: str) -> int:
        """Return how many rows a day has."""

    def read(self, day: str) -> Arrived | None:
        """Return a day's rows, or None where none of them can be used."""


GRACE = timedelta(minutes=15)
"""After a day, and after its outcomes have matured: a server closes its file of the last rows within ten minutes."""

NO_GROUPS = "the rows do not say which of them are alike, and the known errors are means of such groups"


def day_before(moment: datetime, wait: timedelta = timedelta(0)) -> str:
    """Return the last day, in UTC, that had ended so long before a moment.

    >>> night = datetime(2026, 11, 28, 1, tzinfo=UTC)
    >>> day_before(night), day_before(night, timedelta(hours=2))
    ('2026-11-27', '2026-11-26')
    """
    return ((moment - wait).astimezone(UTC).date() - timedelta(days=1)).isoformat()
