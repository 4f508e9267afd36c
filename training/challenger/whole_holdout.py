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
"""Of the sample, over and over, to know by how long all of them will take."""


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
    scoring, most = count * _seconds_a_row(trial, rows), job.budget.seconds + rows.held_out.first_seconds
    if scoring > most:
        raise TimeoutError(
            f"to score {count:,} rows takes this model {scoring:.0f} s, and {most:.0f} s are allowed: time_budget and "
            "one reading of the table"
        )
    how = f"read and scored: at most {reading + scoring:.0f}" if reading else f"scored: about {scoring:.0f}"
    job.say("evaluate", f"all {count:,} held-out rows are {how} s that time_budget does not count")
    with job.watch("evaluate", lambda _: f"{tally.rows:,} of {count:,} held-out rows"):
        for block in rows.held_out.blocks():
            tally.add(block)
    return tally.figures()


def _seconds_a_row(trial: Tally, rows: PreparedTable) -> float:
    """Return how long a row takes among many: those tried first pay for what is made once."""
    matrix, target = pack_frame(rows.frame("holdout"), rows.schema), rows.target("holdout")
    matrix, target = np.resize(matrix, (TRIED_ROWS, matrix.shape[1])), np.resize(target, TRIED_ROWS)
    some = HeldOutRows(matrix, target, None, np.zeros(TRIED_ROWS, dtype=np.uint16))
    trial.add(some)
    began = time.perf_counter()
    trial.add(some)
    return (time.perf_counter() - began) / TRIED_ROWS


def in_words(figures: WholeHoldout, rows: PreparedTable) -> str:
    """Say in one line what the figures are."""
    unit, inside = rows.schema.target_unit, figures.coverage.get(0.9)
    held = "" if inside is None else f"; {inside:.1%} inside at 90%"
    weighted = report.weighted_by(rows.checked.weight)
    return (
        f"all {figures.scores.rows:,} held-out rows: RMSE{weighted} {report.interval(figures.rmse, unit)}, "
        f"the mean alone {figure(figures.baseline_rmse, unit)}{held}"
    )
