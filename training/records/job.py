"""What a command was asked, where it is recorded, and who is told."""

from __future__ import annotations

from dataclasses import dataclass

from training.commands import trainings
from training.progress import Say, Watch, silent
from training.records import tracking


@dataclass(frozen=True)
class Job:
    """What was asked for, where it is recorded, and who is told."""

    config: trainings.TrainConfig
    run: tracking.Run
    say: Say
    watch: Watch = silent
