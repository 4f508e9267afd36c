"""What the steps of a retraining are given: the champion that is watched, the captured rows, the wishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.commands import watches
from training.console import Say
from training.lessons import PredictedDay
from training.monitoring import Reference
from training.records import MonitorRun, model_registry
from training.succession import ACTING

ENOUGH_ROWS, ENOUGH_OF_EACH_FEATURE = 500, 10
"""Rows since an alarm from which alone a model can be made: at least, and for each feature."""

DayNames = Callable[[model_registry.Version], Sequence[str]]
"""Given a version, returns the days on which it predicted: ISO dates, rising."""

Read = Callable[[model_registry.Version, str], PredictedDay]
"""Given a version and one of its days, returns what it predicted on that day."""


class StandingAlarm(Protocol):
    """One that stands."""

    @property
    def since(self) -> str:
        """An ISO date."""

    @property
    def cause(self) -> str:
        """What was found, in words."""


@dataclass(frozen=True)
class Asked:
    """What is watched, and what is known of it.

    Attributes
    ----------
    alarms : mapping of kind to Alarm
        Those that stand over the champion.
    matured : str
        The last day whose outcomes count, an ISO date, or nothing.
    unwatched : tuple of str
        Columns that only say when a row was: their values are new each month, and no sensor is broken.
    independent : bool
        Whether rows of a day have nothing in common that other days have not.
    folder : Path
        Of the captures; tables for trainings are kept in it.
    """

    champion: model_registry.Version
    reference: Reference
    alarms: Mapping[str, StandingAlarm]
    matured: str
    unwatched: tuple[str, ...]
    independent: bool
    folder: Path
    day_names: DayNames
    read: Read
    wishes: watches.Retraining
    run: MonitorRun
    say: Say

    @property
    def name(self) -> str:
        """The model's."""
        return self.champion.name

    @property
    def trainings(self) -> Path:
        """Where the tables are that challengers were trained from."""
        return self.folder / "trainings"

    def champions_days(self, since: str) -> Iterator[PredictedDay]:
        """Yield the champion's days whose outcomes count, from one on, oldest first."""
        for day in self.day_names(self.champion):
            if since <= day <= self.matured:
                yield self.read(self.champion, day)

    def newest_first(
        self, versions: Sequence[model_registry.Version], since: str = "", until: str = ""
    ) -> Iterator[tuple[str, PredictedDay]]:
        """Yield days of some versions whose outcomes count, from one on until another, with the versions' numbers."""
        last = until or self.matured
        named = [
            (day, index)
            for index, each in enumerate(versions)
            for day in self.day_names(each)
            if since <= day <= last
        ]
        for day, index in sorted(named, reverse=True):
            yield versions[index].number, self.read(versions[index], day)

    @property
    def changed_on(self) -> str:
        """The day of the first alarm on which a training follows: older rows are another world's. Or nothing."""
        return min((alarm.since for kind, alarm in self.alarms.items() if kind in ACTING), default="")

    @property
    def enough(self) -> int:
        """The rows from which alone a model can be made."""
        return max(ENOUGH_ROWS, ENOUGH_OF_EACH_FEATURE * len(self.champion.schema.names))

    @property
    def last_day(self) -> str:
        """The last day of which any row was captured, whether its outcomes count or not."""
        every = [day for each in model_registry.versions(self.name) for day in self.day_names(each)]
        return max([self.matured, *every])
