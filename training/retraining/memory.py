"""What is known of a model's retrainings from one call of the monitor to the next: kept on the monitor's run.

Whoever is killed finds here what was begun. A training is noted before it begins; its table leads to what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from training.errors import UsageError
from training.records import MonitorRun
from training.succession import Shadow


@dataclass(frozen=True)
class BegunTraining:
    """A training that was begun.

    Attributes
    ----------
    table : str
        Its path: the training's run records it.
    sentence : str
        Why it was begun.
    until : str
        The day of the last row in it.
    first_table : str
        Where the table is that the model was first trained from.
    first_read : dict of str
        What was recorded of that table: where it is, how it is written, and how it was read.
    before : str
        The day of the training before this one.
    since : str
        The first day of its captured rows, or nothing for all.
    contract : str
        What its rows were held to, where that is a file.
    """

    table: str
    sentence: str
    until: str
    first_table: str
    before: str = ""
    since: str = ""
    contract: str = ""
    first_read: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Shadowed:
    """A challenger in the shadow of a champion, by their numbers.

    Attributes
    ----------
    entries : int
        That the ledger had when it began: what was decided before was about other days.
    failing_since : str
        The day on which it could not be judged, as on none since; or nothing.
    by_hand : bool
        Whether a person named it.
    since : str
        The first day of the captured rows that it learned, or nothing for all.
    """

    challenger: str
    champion: str
    learned_until: str
    shadow: Shadow
    entries: int = 0
    failing_since: str = ""
    by_hand: bool = False
    since: str = ""


@dataclass
class Memory:
    """All of it.

    Attributes
    ----------
    trained_on : str
        The day up to which rows were taken when a training was last begun, or nothing.
    challenged_on : str
        The same of the last training that made a version.
    """

    run: MonitorRun
    begun: BegunTraining | None = None
    watched: Shadowed | None = None
    trained_on: str = ""
    challenged_on: str = ""

    @classmethod
    def of(cls, run: MonitorRun) -> Memory:
        """Return what a run has; raises UsageError where somebody else wrote there."""
        written = run.memory()
        try:
            return cls(
                run,
                begun=BegunTraining(**written["begun"]) if written.get("begun") else None,
                watched=_watched(written["watched"]) if written.get("watched") else None,
                trained_on=str(written.get("trained_on", "")),
                challenged_on=str(written.get("challenged_on", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                message=f"what the monitor knows of retrainings, on its run {run.run_id}, cannot be read "
                f"({error}): delete that run, and the monitor begins anew"
            ) from error

    def keep(self) -> None:
        """Write it."""
        watched = self.watched
        self.run.remember(
            {
                "begun": asdict(self.begun) if self.begun else None,
                "watched": watched
                and {
                    "challenger": watched.challenger,
                    "champion": watched.champion,
                    "learned_until": watched.learned_until,
                    "shadow": watched.shadow.as_dict(),
                    "entries": watched.entries,
                    "failing_since": watched.failing_since,
                    "by_hand": watched.by_hand,
                    "since": watched.since,
                },
                "trained_on": self.trained_on,
                "challenged_on": self.challenged_on,
            }
        )


def _watched(written: Mapping[str, Any]) -> Shadowed:
    return Shadowed(
        str(written["challenger"]),
        str(written["champion"]),
        str(written["learned_until"]),
        Shadow.from_dict(written["shadow"]),
        int(written.get("entries", 0)),
        str(written.get("failing_since", "")),
        bool(written.get("by_hand", False)),
        str(written.get("since", "")),
    )
