"""What a training takes after its model was measured, told before the search: files, registry, gate and page.

Nobody knows yet which model that will be. So it is told by columns and by held-out rows, as they were measured on
tables of 1 to 500 columns (docs/log.md, 2026-11-29), and by how much of a core this machine gave to this process
while it arranged the rows. A graph that turns out slower than most is charged once it is compiled: what is left for
measuring is less then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from serving.scorer import Session
from training.compiling import pack_frame
from training.records import Job
from training.rows.prepared import PreparedTable
from training.time_budget import Budget

ANY_TABLE = 4.0
"""Seconds of a core: plots, MLflow's own work, and the start of a server for the gate."""

A_COLUMN, A_HELD_OUT_ROW = 0.025, 250e-6
"""Seconds of a core for each. A row is asked of the graph and counted in slices; a column has a type in MLflow, ranks
for the monitor, and cells in each of the gate's formats."""

TIMED_ROWS, USUAL, TOLD = 2_000, 20e-6, 1.0
"""Rows that a graph is timed on; what of a row's seconds is charged before; and seconds beyond that which are told."""

ASKED_ALWAYS, ASKED_OF_HELD_OUT = 40_000, 1.5
"""Rows that a graph is asked for its golden rows, reasons and intervals; and how many times the held-out ones."""

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
    return slowed * (ANY_TABLE + A_COLUMN * len(rows.schema.columns) + A_HELD_OUT_ROW * _held_out(rows))


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


def charge_graph(job: Job, rows: PreparedTable, graph: bytes) -> Job:
    """Return the job with a budget that keeps what a graph asks for that is slower than most; says so."""
    matrix = pack_frame(rows.some("train", slice(TIMED_ROWS)), rows.schema)
    session = Session(graph)
    began = time.thread_time()  # the clock's counts the neighbours, too
    session.predict(matrix)
    return with_slow_graph(job, rows, (time.thread_time() - began) / len(matrix))


def with_slow_graph(job: Job, rows: PreparedTable, seconds_a_row: float) -> Job:
    """Return the same for a graph that takes so long for a row among many."""
    asked = ASKED_ALWAYS + ASKED_OF_HELD_OUT * _held_out(rows)
    more = asked * max(seconds_a_row - USUAL, 0.0)
    if more > TOLD:
        job.say(
            "budget",
            f"this model takes {1e6 * seconds_a_row:.0f} µs a row: judging it takes {more:.0f} s more than that of "
            "others, and measuring what more rows would bring gets less",
        )
    return replace(job, budget=replace(job.budget, last=job.budget.last + more))


def _held_out(rows: PreparedTable) -> int:
    return rows.split.counts["calibration"] + rows.split.counts["holdout"]


def conclude(job: Job) -> None:
    """Record how long all took since the rows were read; says where that is more than was promised."""
    budget, seconds = job.budget, job.budget.elapsed
    job.run.log(metrics={"seconds_after_reading": seconds, "seconds_promised": budget.promised})
    if seconds > budget.promised:
        job.say(
            "budget",
            f"{seconds:.0f} s since the rows were read, time_budget={budget.seconds:g} allows {budget.promised:.0f}",
        )
