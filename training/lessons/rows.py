"""Captured rows whose outcome is known: what a challenger learns from, and what judges it.

They come by days of prediction, in UTC, from whoever reads captures; this module gathers them. Rows on whose outcome
the prediction acted are no fair labels, which nobody can see here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_ROWS = 1_000_000
"""That are gathered: of more the newest days."""


ARRAYS = ("actual", "predictions", "days", "times", "ids", "versions")


class PredictedDay(Protocol):
    """The rows that one version predicted on one day, oldest day first; arrays of shape (n_rows,)."""

    @property
    def day(self) -> str:
        """An ISO date."""

    @property
    def frame(self) -> pd.DataFrame:
        """The model's columns, as in `data.tables.Table`."""

    @property
    def predictions(self) -> Floats:
        """As answered."""

    @property
    def actual(self) -> Floats:
        """NaN where nobody knows yet."""

    @property
    def ids(self) -> NDArray[np.object_]:
        """Of the predictions."""

    @property
    def times(self) -> NDArray[np.datetime64]:
        """When each row was predicted, in UTC."""

    @property
    def shares(self) -> Floats:
        """With which chance a row that was answered is here."""

    @property
    def rows(self) -> int:
        """How many there were, where not all are here."""

    @property
    def left_out(self) -> int:
        """Files that lack a column, or hold its hash."""


@dataclass(frozen=True)
class Labelled:
    """Rows with an outcome; arrays of shape (n_rows,).

    Attributes
    ----------
    frame : pandas.DataFrame of shape (n_rows, n_columns)
    days : str array
        Of the predictions, ISO dates.
    versions : str array
        Who answered.
    """

    frame: pd.DataFrame
    actual: Floats
    predictions: Floats
    days: NDArray[np.str_]
    times: NDArray[np.datetime64]
    ids: NDArray[np.object_]
    versions: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.actual)

    def take(self, rows: NDArray[Any]) -> Labelled:
        """Return the rows of a mask or of positions."""
        chosen = self.frame[rows] if rows.dtype == bool else self.frame.iloc[rows]
        arrays = {name: getattr(self, name)[rows] for name in ARRAYS}
        return Labelled(chosen.reset_index(drop=True), **arrays)

    @property
    def numbers_of_days(self) -> NDArray[np.int64]:
        """The number of each row's day."""
        return np.unique(self.days, return_inverse=True)[1].astype(np.int64)


def gather(
    days: Iterable[tuple[str, PredictedDay]], columns: list[str], *, most: int = MOST_ROWS
) -> Labelled:
    """Return the labelled rows of days, each with the version that answered it, in the order of their predictions.

    Days come the newest first, and no more of them are asked for than it takes. Those that lack a column are passed
    over: a version whose columns were others answered them.
    """
    full: list[Labelled] = []
    for version, day in days:
        if sum(map(len, full)) >= most and full[-1].days[0] != day.day:
            break
        if not {*columns} - {*day.frame.columns} and len(part := _labelled(version, day, columns)):
            full.append(part)
    full = full[::-1] or [_nothing(columns)]
    arrays = {name: np.concatenate([getattr(part, name) for part in full]) for name in ARRAYS}
    rows = Labelled(pd.concat([part.frame for part in full], ignore_index=True), **arrays)
    return rows.take(np.argsort(rows.times, kind="stable")[-most:])


def day_means(values: Floats, days: NDArray[np.int64]) -> Floats:
    """Return the mean of each day's values.

    >>> day_means(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1])).tolist()
    [2.0, 5.0]
    """
    return np.asarray(np.bincount(days, weights=values) / np.bincount(days), dtype=np.float64)


def _labelled(version: str, day: PredictedDay, columns: list[str]) -> Labelled:
    known = np.isfinite(day.actual) & np.isfinite(day.predictions)
    count = int(known.sum())
    return Labelled(
        day.frame.loc[known, columns].reset_index(drop=True),
        day.actual[known],
        day.predictions[known],
        np.full(count, day.day),
        day.times[known],
        day.ids[known],
        np.full(count, version),
    )


def _nothing(columns: list[str]) -> Labelled:
    numbers, texts = np.zeros(0), np.zeros(0, dtype=str)
    moments, ids = numbers.astype("datetime64[us]"), numbers.astype(object)
    frame = pd.DataFrame(dict.fromkeys(columns, numbers))
    return Labelled(frame, numbers, numbers, texts, moments, ids, texts)
