"""What the steps of a retraining are given: the champion that is watched, the captured rows, the wishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.commands import watches
from training.monitoring import Reference
from training.progress import Say
from training.records import MonitorRun, model_registry
from training.retraining.rows import Day

Days = Callable[[str, str], Iterable[Day]]
"""Given a version's number and an ISO date, yields what it predicted from that day on, oldest first."""


@dataclass(frozen=True)
class Asked:
    """What is watched, and what is known of it.

    Attributes
    ----------
    alarms : mapping of kind to sentence
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
    alarms: Mapping[str, str]
    matured: str
    unwatched: tuple[str, ...]
    independent: bool
    folder: Path
    days: Days
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

    def days_until_matured(self, version: str, since: str = "") -> Iterator[Day]:
        """Yield a version's days whose outcomes count."""
        for day in self.days(version, since):
            if day.day > self.matured:
                return
            yield day
