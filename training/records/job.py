"""What a command was asked, where it is recorded, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.commands import trainings
from training.console import Say, Watch, silent
from training.records import tracking
from training.time_budget import Budget


@dataclass(frozen=True)
class Job:
    """What was asked for, where it is recorded, who is told, and how long it may take, once that is known."""

    config: trainings.TrainConfig
    run: tracking.Run
    say: Say
    watch: Watch = silent
    budget: Budget = field(default_factory=Budget)
