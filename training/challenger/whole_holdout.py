"""A new version's figures over all held-out rows of a table that memory does not hold.

They stand beside those of the sample, which the gate and the card's other figures go by. Nothing that goes wrong here
is in the version's way.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.figures import figure
from serving.scorer import Scorer
from training.compiling import pack_frame
from training.errors import Terminated
from training.measuring import comparison
from training.measuring.whole_holdout import Tally, WholeHoldout
from training.pages import report
from training.records import Job
from training.rows import PreparedTable
from training.rows.again import HeldOutRows
from training.search import Winner

TABLE = "all_holdout_slices"
"""The artifact with the slices."""

TRIED_ROWS = 20_000
"""Of the sample, to know by how long all of them will take."""


class Judged(NamedTuple):
    """The figures, None where there are none, and the seconds that they took."""

    figures: WholeHoldout | None = None
    seconds: float = 0.0


def judge(job: Job, rows: PreparedTable, winner: Winner, folder: Path, sample: comparison.Interval) -> Judged:
    """Score all held-out rows by the scorer in a folder, log what comes of it, and say it.

    Parameters
    ----------
    sample : Interval
        The RMSE on the held-out rows that are gone on with.
    """
    if rows.held_out is None:
        return Judged()
    began = time.perf_counter()
    try:
        figures = _measured(job, rows, winner, folder, sample)
    except Terminated:
        raise
    except (Exception, KeyboardInterrupt) as error:
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error).strip()
        reason = (said or type(error).__name__).splitlines()[0]
        job.say("warning", f"figures over all held-out rows are left out: {reason}")
        return Judged(seconds=time.perf_counter() - began)
    seconds = time.perf_counter() - began
    job.run.log(metrics=figures.as_metrics() | {"all_holdout_seconds": seconds})
    if len(figures.slices):
        job.run.log_table(TABLE, figures.slices)
    job.say("evaluate", f"{in_words(figures, rows)} ({seconds:.1f} s)")
    if not sample.low <= figures.rmse.value <= sample.high:
        job.say(
            "warning",
            "the RMSE over all held-out rows lies outside the 95 % interval of their sample, "
            f"{report.interval(sample)}: the gate and all other figures go by the sample (chance alone does that "
            "once in twenty)",
        )
    return Judged(figures, seconds)


def _measured(
    job: Job, rows: PreparedTable, winner: Winner, folder: Path, sample: comparison.Interval
) -> WholeHoldout:
    assert rows.held_out is not None
    scorer = Scorer.load(folder, threads=os.cpu_count() or 1, same_bits=True)
    mean = float(winner.baseline.predict(rows.some("holdout", slice(1)))[0])
    count, reading = rows.held_out.count, rows.held_out.reading_seconds
    trial, tally = (Tally(scorer, rows, rmse=sample.value, mean=mean) for _ in range(2))
    seconds = reading + count * _seconds_a_row(trial, rows)
    read = "read and scored" if reading else "scored"
    job.say(
        "evaluate",
        f"all {count:,} held-out rows are {read}: about {seconds:.0f} s that time_budget does not count",
    )
    with job.watch("evaluate", lambda _: f"{tally.rows:,} of {count:,} held-out rows"):
        for block in rows.held_out.blocks():
            tally.add(block)
    return tally.figures()


def _seconds_a_row(trial: Tally, rows: PreparedTable) -> float:
    """Return how long a row takes among many: those tried first pay for what is made once."""
    frame, target = rows.some("holdout", slice(TRIED_ROWS)), rows.target("holdout")[:TRIED_ROWS]
    drawn = np.zeros(len(target), dtype=np.uint16)
    some = HeldOutRows(pack_frame(frame, rows.schema), target, None, drawn)
    trial.add(some)
    began = time.perf_counter()
    trial.add(some)
    return (time.perf_counter() - began) / len(target)


def in_words(figures: WholeHoldout, rows: PreparedTable) -> str:
    """Say in one line what the figures are."""
    unit, inside = rows.schema.target_unit, figures.coverage.get(0.9)
    held = "" if inside is None else f"; {inside:.1%} inside at 90%"
    weighted = report.weighted_by(rows.checked.weight)
    return (
        f"all {figures.scores.rows:,} held-out rows: RMSE{weighted} {report.interval(figures.rmse, unit)}, "
        f"the mean alone {figure(figures.baseline_rmse, unit)}{held}"
    )
