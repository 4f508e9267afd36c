"""What a training takes after its model was measured, told before the search: files, registry, gate and page.

Nobody knows yet which model that will be. So it is told by columns and by held-out rows, as they were measured on
tables of 1 to 500 columns (docs/log.md, 2026-11-29), and by how much of a core this machine gave to this process
while it arranged the rows. A graph that is slower than most takes longer than that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from training.records import Job
from training.rows.prepared import PreparedTable
from training.time_budget import Budget

ANY_TABLE = 4.5
"""Seconds of a core: plots, MLflow's own work, and the start of a server for the gate."""

A_COLUMN, A_HELD_OUT_ROW = 0.015, 120e-6
"""Seconds of a core for each. A row is asked of the graph and counted in slices; a column has a type in MLflow, ranks
for the monitor, and cells in each of the gate's formats."""

TELLING, MOST_SLOWED = 0.5, 3.0
"""Seconds of work from which how busy the machine is can be told, and how many times as long it takes at most."""


@dataclass(frozen=True)
class Pace:
    """How much of a core this process gets, from now on: seconds on the clock for one of work."""

    began: float = field(default_factory=time.perf_counter)
    worked: float = field(default_factory=time.process_time)

    @property
    def slowed(self) -> float:
        """How many times as long work takes here as on a machine of its own."""
        worked = time.process_time() - self.worked
        if worked < TELLING:
            return 1.0
        return min(max((time.perf_counter() - self.began) / worked, 1.0), MOST_SLOWED)


def last_seconds(rows: PreparedTable, slowed: float = 1.0) -> float:
    """Return how long what comes last is likely to take."""
    held_out = rows.split.counts["calibration"] + rows.split.counts["holdout"]
    return slowed * (ANY_TABLE + A_COLUMN * len(rows.schema.columns) + A_HELD_OUT_ROW * held_out)


def budget_for(rows: PreparedTable, job: Job, pace: Pace) -> Budget:
    """Return the budget of a training, which begins now; says where it is too short for what comes last."""
    budget = Budget(rows.seconds_of(job.config), job.config.trials, last=last_seconds(rows, pace.slowed))
    if budget.is_too_short:
        job.say(
            "budget",
            f"time_budget={budget.seconds:g} is short for {len(rows.schema.columns):,} columns: whatever is chosen, "
            f"writing and judging it takes about {budget.last:.0f} s more",
        )
    return budget


def conclude(job: Job) -> None:
    """Record how long all took since the rows were read; says where that is more than was promised."""
    budget, seconds = job.budget, job.budget.elapsed
    job.run.log(metrics={"seconds_after_reading": seconds, "seconds_promised": budget.promised})
    if seconds > budget.promised:
        job.say(
            "budget",
            f"{seconds:.0f} s since the rows were read, time_budget={budget.seconds:g} allows {budget.promised:.0f}",
        )
