"""The days that a version really answered, as it did, from a folder of captures.

The scale of an interval is computed anew where none was asked for. Columns that were not kept, or as a hash, cannot be
watched, and neither can what needs the whole row. Labels that the contract of the version's training forbids are left
out. Rows of other versions, under the same name too, are not these: the digest tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.captures import Places
from serving.scorer import Scorer
from training import captures
from training.archive.errors import NoCaptures
from training.arrivals.day import GRACE, NO_GROUPS, Arrived, day_before
from training.captures import DayOfRows, Wanted
from training.compiling import pack_frame
from training.console import Say
from training.records import model_registry, tracking

Floats = NDArray[np.float64]

NO_SCALE = "the width of an interval hangs on columns that were not kept as they were sent"


@dataclass(frozen=True)
class OutcomeLimits:
    """What a contract lets an outcome be."""

    low: float = -np.inf
    high: float = np.inf

    def forbid(self, actual: Floats) -> NDArray[np.bool_]:
        """Return which outcomes are known and cannot be true."""
        return np.isfinite(actual) & ~((actual >= self.low) & (actual <= self.high))


@dataclass(frozen=True)
class Opened:
    """A folder of captures as Parquet.

    Attributes
    ----------
    at : datetime
        When that began: what a server closed later is not in it, however long it took.
    mature : timedelta
        How long after a day its outcomes are waited for.
    grouped : bool
        Whether the version knows groups of rows, which captures do not.
    """

    places: Places
    at: datetime
    mature: timedelta
    grouped: bool = False


@dataclass(frozen=True)
class CapturedDays:
    """What servers kept of one version's predictions.

    Attributes
    ----------
    kept : tuple of str
        The columns that are there as they were sent.
    lacking : tuple of str
        What cannot be watched.
    unasked : mapping of str to str
        The kinds of alarms that cannot be raised, and why.
    """

    places: Places
    version: model_registry.Version
    scorer: Scorer
    kept: tuple[str, ...]
    lacking: tuple[str, ...]
    unasked: Mapping[str, str]
    days: tuple[str, ...]
    over: str
    matured: str
    limits: OutcomeLimits
    say: Say

    @property
    def names(self) -> tuple[str, ...]:
        """The model's columns."""
        return self.version.schema.names

    def count(self, day: str) -> int:
        """Return how many rows a day has, of files that are read."""
        return captures.captured_rows(self.places, self.version.name, self.version.number, day, self._wanted)

    @property
    def _wanted(self) -> Wanted:
        return Wanted(self.version.digest, self.kept)

    def read(self, day: str) -> Arrived | None:
        """Return a day's rows, or None where all are of another digest or lack a column that is watched."""
        (rows,) = captures.captured_days(
            self.places, self.version.name, self.version.number, since=day, until=day, wanted=self._wanted
        )
        if rows.left_out:
            why = "of another version with this number, or they lack a column that is watched"
            self.say("watch", f"{day}: {rows.left_out} files were left out: they are {why}")
        if rows.unequal:
            self.say(
                "watch",
                f"{day}: kept at different shares, so {len(rows.ids):,} of {rows.rows:,} rows were drawn",
            )
        if not len(rows.ids):
            return None
        matrix = self._packed(rows.frame)
        answers = np.column_stack([rows.predictions, self._scale(rows, matrix)])
        forbidden = self.limits.forbid(rows.actual)
        actual = np.where(forbidden, np.nan, rows.actual)
        if forbidden.any():
            self.say("watch", f"{day}: {forbidden.sum():,} labels were left out: the contract forbids them")
        figures = _of_labels(rows, actual, forbidden) | {"labels_unknown": float(self._unknown(day))}
        return Arrived(day, matrix, answers, actual, of_labels=figures)

    def _packed(self, frame: pd.DataFrame) -> Floats:
        gone = {name: np.nan for name in self.names if name not in frame or name not in self.kept}
        return pack_frame(frame.assign(**gone), self.version.schema)

    def _scale(self, rows: DayOfRows, matrix: Floats) -> Floats:
        """Return the scales as answered, and of rows without one as the version gives it.

        Where that cannot be known there are none: rows whose callers asked for intervals are no sample of all.
        """
        if "errors" in self.unasked:
            return np.full(len(rows.scale), np.nan)
        open_ones = np.isnan(rows.scale)
        if not open_ones.any():
            return rows.scale
        result = rows.scale.copy()
        result[open_ones] = self.scorer.predict_with_scale(matrix[open_ones])[:, 1]
        return result

    def _unknown(self, day: str) -> int:
        if day > self.matured:
            return 0
        count = captures.unknown_labels(self.places, self.version.name, day)
        if count:
            self.say("watch", f"{day}: {count:,} labels are of predictions that nobody kept")
        return count


def captured(
    opened: Opened, version: model_registry.Version, known: Mapping[str, object], say: Say
) -> CapturedDays:
    """Return the days that were captured of a version.

    Parameters
    ----------
    known : mapping
        The state of the watch: what was lacking when it began is not watched later either.

    Raises
    ------
    NoCaptures
        Nothing was captured of this model.
    """
    scorer, places = Scorer.load(version.scorer_folder), opened.places
    days = captures.captured_day_names(places, version.name, version.number)
    if not days:
        _say_nothing(places, version, say)
    kept = _kept(places, version, known)
    lacking = tuple(name for name in version.schema.names if name not in kept)
    if lacking and days:
        say("watch", f"not kept as they were sent, so not watched: {', '.join(lacking)}")
    return CapturedDays(
        places=places,
        version=version,
        scorer=scorer,
        kept=kept,
        lacking=(*lacking, *_of_whole_rows(scorer)) if lacking else (),
        unasked=_unasked(opened, bool(lacking) and _is_adaptive(scorer)),
        days=days,
        over=day_before(opened.at, GRACE),
        matured=day_before(opened.at, opened.mature + GRACE),
        limits=limits_of(version),
        say=say,
    )


def _of_whole_rows(scorer: Scorer) -> Sequence[str]:
    """Return what cannot be known of a row that was not kept as a whole."""
    return ("gaps", "scale") if _is_adaptive(scorer) else ("gaps",)


def _is_adaptive(scorer: Scorer) -> bool:
    intervals = scorer.document.intervals
    return intervals is not None and intervals.adaptive


def _unasked(opened: Opened, no_scale: bool) -> dict[str, str]:
    """Return which kinds of alarms cannot be raised, and why."""
    result = {"harm": NO_GROUPS} if opened.grouped else {}
    return result | (dict.fromkeys(("errors", "coverage"), NO_SCALE) if no_scale else {})


def _kept(places: Places, version: model_registry.Version, known: Mapping[str, object]) -> tuple[str, ...]:
    """Return the columns that were there when the watch began, else those of the newest file."""
    names = version.schema.names
    now = captures.kept_columns(places, version.name, version.number)
    before = known.get("kept", names if known else now or names)
    chosen = set(before) if isinstance(before, Iterable) else now
    return tuple(name for name in names if name in chosen)


def _say_nothing(places: Places, version: model_registry.Version, say: Say) -> None:
    """Say that nothing was captured yet of a version; raises NoCaptures where nothing was of its model."""
    there = captures.captured_versions(places)
    if version.name not in there:
        held = "; ".join(f"{name} {', '.join(numbers)}" for name, numbers in sorted(there.items()))
        what = f"hold no predictions of {version.name} (they hold: {held or 'none'})"
        raise NoCaptures(where=str(places.folder), what=what)
    numbers = ", ".join(there[version.name])
    say("watch", f"nothing was captured of {version.name} version {version.number} yet, but of {numbers}")


def limits_of(version: model_registry.Version) -> OutcomeLimits:
    """Return what the contract that a version's training kept says of the target; nothing without one.

    Raises
    ------
    ContractError
        What was kept is none: somebody wrote over it.
    """
    where = f"the contract of {version.name} version {version.number}"
    recorded = tracking.recorded_contract(version.trained_in, where=where)
    promise = recorded[0].columns.get(version.target) if recorded else None
    low, high = (promise.number(key) if promise else None for key in ("minimum", "maximum"))
    return OutcomeLimits(-np.inf if low is None else low, np.inf if high is None else high)


def _of_labels(rows: DayOfRows, actual: Floats, forbidden: NDArray[np.bool_]) -> dict[str, float]:
    """Return how many labels were left out, and how the predictions of labelled rows differ from the others.

    The difference of the means is in standard deviations of the day's predictions: labels of rows that end early come
    first, and errors on them are not the errors on all.
    """
    figures = {"rows_captured": float(rows.rows), "labels_forbidden": float(forbidden.sum())}
    labelled, sd = np.isfinite(actual), float(np.nanstd(rows.predictions))
    if not labelled.any() or labelled.all() or not sd > 0:
        return figures
    means = [float(np.nanmean(rows.predictions[part])) for part in (labelled, ~labelled)]
    return figures | {"labelled_prediction_shift": (means[0] - means[1]) / sd}
