"""A fitted model becomes the files of a version: its graph, its intervals and what they promise."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.own_files import own_folder
from data.splits import SIDES, Side, Split
from serving.scorer import Scorer
from training.challenger import columns, whole_holdout
from training.compiling import (
    Verified,
    cost,
    pack_frame,
    with_scale,
    write_scorer,
)
from training.compiling.errors import CompilingError
from training.console import Say
from training.gate import Answered
from training.measuring import comparison, conformal, coverage, importance
from training.models import Spec
from training.monitoring import Groups, Known, Moments, Reference, reference_of
from training.pages.drawings import plots
from training.records import Job, tag_names
from training.rows import PreparedTable
from training.rows.known import how_read, learned
from training.search import Winner, cross_validation
from training.versions import flavor

MOST_COMPARED, MOST_DESCRIBED = 10_000, 200_000
"""Training rows on which the graph with a scale is held against its models, and those that a monitor compares with."""


class MadeVersion(NamedTuple):
    """A logged version, the plots of its intervals and columns, what its columns add where that is known, what it
    answers on the holdout, and its figures over all held-out rows where the holdout is a sample of these.
    """

    logged: flavor.Logged
    figures: dict[str, Figure]
    contributions: importance.Contributions | None
    answered: Answered
    whole: whole_holdout.Judged


def log_model(job: Job, rows: PreparedTable, winner: Winner, rmse: comparison.Interval) -> MadeVersion:
    """Log the fitted pipeline, whose RMSE on the holdout is known, and its scorer as an MLflow model of this run."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        written = write_version(
            Path(folder),
            winner.fitted,
            winner.spec,
            winner.compiled,
            rows,
            seed=job.config.seed,
            say=job.say,
            explain=job.config.explain,
            searched=winner.out_of_fold,
        )
        scorer = written.scorer
        held_out = HeldOut.of(rows, scorer)
        promised = promise(job, rows, scorer, held_out)
        known = columns.measure(job, rows, winner, scorer, held_out.matrix[held_out.judged])
        example = rows.some("train", slice(5)).reset_index(drop=True)
        logged = flavor.log_version(
            winner.fitted,
            schema=rows.schema,
            scorer_folder=Path(folder),
            input_example=example,
            reference=reference(written, rows, held_out, known.contributions, seed=job.config.seed).as_dict(),
            learned=learned_by(rows, winner.rows).as_dict(),
            read=how_read.of_table(rows.checked.table).as_dict(),
        )
        made_in = time.perf_counter() - started
        whole = whole_holdout.judge(job, rows, winner, Path(folder), rmse)
    job.run.has_model(logged.model_id)
    row_us = cost.row_microseconds(scorer.predict, scorer.golden.matrix[:1])
    parity = winner.compiled.parity
    job.run.log(
        metrics={"parity_max_abs": parity.max_abs, "parity_max_rel": parity.max_rel, "scorer_row_us": row_us},
        tags={tag_names.DIGEST: scorer.digest},
    )
    job.say(
        "model",
        f"{winner.family} as one graph, {row_us:.0f} µs a row, within {parity.max_rel:.0e} of scikit-learn "
        f"on {parity.rows:,} rows ({made_in:.1f} s)",
    )
    answered = Answered(scorer.digest, rows.split.mask("holdout"), held_out.answers[held_out.judged, 0])
    return MadeVersion(logged, promised | known.figures, known.contributions, answered, whole)


@dataclass(frozen=True)
class Written:
    """A scorer that was written, and the scores, |residual| / scale, that its intervals were made from, if any.

    `blocks` are those of the scores' rows, `moments` their times where the training knows them.
    """

    scorer: Scorer
    scores: NDArray[np.float64] | None
    blocks: NDArray[np.uint64] | None = None
    moments: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class HeldOut:
    """The rows that the model was not fitted on, those of the holdout last, and what its graph answers: asked once.

    Attributes
    ----------
    matrix : float64 array of shape (n_rows, n_columns)
        Packed.
    answers : float64 array of shape (n_rows, 2)
        Predictions and scales.
    judged : slice
        Where those of the holdout are.
    """

    matrix: NDArray[np.float64]
    answers: NDArray[np.float64]
    judged: slice

    @classmethod
    def of(cls, rows: PreparedTable, scorer: Scorer) -> HeldOut:
        """Ask a scorer of both sides: of the holdout as the gate would, whose rows then have the same bits."""
        sides = [pack_frame(rows.frame(side), rows.schema) for side in ("calibration", "holdout")]
        matrix, predictions = np.vstack(sides), np.concatenate([scorer.predict(side) for side in sides])
        answers = np.column_stack([predictions, scorer.scales(matrix)])
        return cls(matrix, answers, slice(len(sides[0]), None))


def write_version(
    folder: Path,
    fitted: Any,
    spec: Spec,
    compiled: Verified,
    rows: PreparedTable,
    *,
    seed: int,
    say: Say,
    explain: bool = True,
    searched: NDArray[np.float64] | None = None,
) -> Written:
    """Write the scorer of a fitted model, with intervals where the rows can promise any, and what explains it."""
    residuals = conformal.residuals_of(fitted, spec, rows, seed=seed, searched=searched)
    result = None
    if residuals:
        result, compiled = _with_intervals(residuals, compiled, rows, seed=seed, say=say)
    scorer = write_scorer(
        folder,
        graph=compiled.graph,
        schema=rows.schema,
        frame=rows.frame("train"),
        fingerprint=rows.fingerprint,
        parity=compiled.parity,
        intervals=result.table if result else None,
        explain=explain,
        trees=compiled.trees,
    )
    if result is None or residuals is None:
        return Written(scorer, None)
    moments = None if rows.moments is None else rows.moments[residuals.places]
    return Written(scorer, result.scores, residuals.blocks, moments)


def reference(
    written: Written,
    rows: PreparedTable,
    held_out: HeldOut,
    added: importance.Contributions | None = None,
    *,
    seed: int,
) -> Reference:
    """Return what a monitor will compare later rows with: weighted scores have no exact ranks, and are left out."""
    absolute = np.abs(rows.target("holdout") - held_out.answers[held_out.judged, 0])
    finite = np.isfinite(absolute)
    known = Known(
        training=pack_frame(rows.some("train", _described(rows.split)), rows.schema),
        held_out=held_out.matrix,
        answers=held_out.answers,
        absolute=absolute[finite],
        scores=None if rows.checked.weight else written.scores,
        groups=groups_of(rows.split, finite, written.blocks),
        moments=moments_of(rows.split, rows.moments, finite, written.moments),
    )
    made = reference_of(known, rows.schema, written.scorer.document.intervals, seed=seed)
    return made.with_contributions(added.means if added else {})


def _described(split: Split) -> NDArray[np.intp]:
    """Return the places of the training rows that later ones are compared with."""
    return cross_validation.sampled(split.counts["train"], MOST_DESCRIBED)


def learned_by(rows: PreparedTable, count: int) -> learned.Sketch:
    """Return by what the rows are known again that a model learned, so many: beyond those at hand, all of a table's."""
    training = np.flatnonzero(rows.split.mask("train"))
    places = training[cross_validation.sampled(len(training), count)]
    return learned.sketch_of(rows.checked.table, rows.schema, places, salt=rows.fingerprint, of=count)


def groups_of(split: Split, finite: NDArray[np.bool_], scores: NDArray[np.uint64] | None) -> Groups | None:
    """Return which rows are alike, where the split said so and a group has more than one."""
    if not split.rule.grouping or len(np.unique(split.blocks)) == len(split.blocks):
        return None
    training, calibration, holdout = (split.blocks[split.mask(side)] for side in SIDES)
    training, held_out = training[_described(split)], np.concatenate([calibration, holdout])
    return Groups(split.rule.grouping, training, held_out, holdout[finite], scores)


def moments_of(
    split: Split,
    moments: NDArray[np.float64] | None,
    finite: NDArray[np.bool_],
    scores: NDArray[np.float64] | None,
) -> Moments | None:
    """Return when the rows of each side were, where the training knows it."""
    if moments is None:
        return None
    training, calibration, holdout = (moments[split.mask(side)] for side in SIDES)
    return Moments(
        training[_described(split)], np.concatenate([calibration, holdout]), holdout[finite], scores
    )


def _with_intervals(
    residuals: conformal.Residuals,
    compiled: Verified,
    rows: PreparedTable,
    *,
    seed: int,
    say: Say,
) -> tuple[conformal.Calibrated | None, Verified]:
    """Return the table and the graph that goes with it; one width for all rows where no scale model can be had."""
    try:
        result = conformal.calibrate(residuals, rows.schema, seed=seed)
        if result and result.scale is not None:
            frame = rows.frame("train")
            some = frame.iloc[cross_validation.sampled(len(frame), MOST_COMPARED)]
            compiled = with_scale(compiled, result.scale, frame=some)
    except (CompilingError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        say(
            "warning",
            f"intervals have one width for all rows: no model of their scale could be made: {error}",
        )
        return conformal.one_width(residuals), compiled
    return result, compiled


def promise(job: Job, rows: PreparedTable, scorer: Scorer, held_out: HeldOut) -> dict[str, Figure]:
    """Log which coverage the intervals reach on the holdout; return the plot."""
    if scorer.document.intervals is None:
        job.say("warning", "too few rows for prediction intervals")
        return {}
    answers, actual = held_out.answers[held_out.judged], rows.target("holdout")
    made_from: Side = "calibration" if scorer.document.intervals.method == "calibration" else "train"
    weighed = coverage.Weighed(rows.weight("holdout"), rows.weight(made_from))
    result = coverage.reached(scorer, answers, actual, rows.split, weighed)
    job.run.log(metrics=coverage.as_metrics(result))
    moments = None if rows.split.moments is None else rows.split.moments[rows.split.mask("holdout")]
    slices = comparison.slices(rows.frame("holdout"), moments)
    tenths, by_slice = coverage.tables(scorer, answers, actual, slices, rows.split, weighed=weighed)
    job.run.log_table("intervals", tenths)
    if len(by_slice):
        job.run.log_table("interval_slices", by_slice)
    figures = {"interval_coverage": plots.interval_coverage(result)}
    job.run.log_figures(figures)
    unit, column = rows.schema.target_unit, rows.checked.weight
    job.say("intervals", coverage.in_words(result, scorer.document.intervals, unit, column))
    return figures
