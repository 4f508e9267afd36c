"""What a training measured, written on its run: figures, lineage, tables and plots."""

from __future__ import annotations

import time

from matplotlib.figure import Figure

from data.figures import figure
from training.challenger.searching import MODEL_SPEC, validated, with_rows
from training.measuring import Assessment, Evaluation, comparison
from training.pages import report
from training.records import Job, model_registry, tag_names, tracking
from training.rows import PreparedTable, in_words
from training.search import Winner

MANY = 400
"""Training rows that are enough for a learning curve under any split."""


def record(
    job: Job, rows: PreparedTable, winner: Winner, evaluation: Evaluation, assessment: Assessment
) -> dict[str, Figure]:
    """Log figures, lineage, tables and plots; return the plots for the card."""
    unit, run, seconds = rows.schema.target_unit, job.run, job.budget.seconds
    job.say(
        "evaluate",
        f"holdout RMSE {report.interval(assessment.holdout.figures['rmse'], unit)}, "
        f"the mean alone {figure(evaluation.baseline.rmse, unit)}",
    )
    if assessment.curve:
        job.say("learn", str(assessment.curve))
    elif rows.split.counts["train"] >= MANY:
        job.say("learn", "the time was too short to see what more rows would bring")
    started = time.perf_counter()
    counts = {f"rows_{side}": float(count) for side, count in rows.counts.items()}
    if rows.all_counts:
        counts |= {f"rows_{side}_used": float(count) for side, count in rows.split.counts.items()}
    counts["time_budget_seconds"] = seconds
    counts["rows_without_target"] = float(rows.checked.rows_without_target)
    counts |= in_words.weights_in_figures(rows.checked, rows.split)
    run.log(
        metrics=evaluation.as_metrics()
        | assessment.as_metrics()
        | winner.as_metrics()
        | counts
        | report.line(winner, rows.schema),
        params={"family": winner.family, "features": ",".join(rows.schema.names)[:6000]},
        tags=model_registry.weight_tag(rows.checked.weight)
        | {tag_names.DATA: rows.fingerprint, tag_names.PACKAGES: report.versions_in_words()}
        | tracking.source_tags(job.config.as_params()),
    )
    run.log_json("schema.json", rows.schema.as_dict())
    searched = validated(winner, rows, seed=job.config.seed)
    run.log_json(MODEL_SPEC, with_rows(winner, rows.split.counts["train"], searched))
    run.log_table("trials", winner.choice.trials)
    frame = rows.checked.table.frame
    run.log_dataset(
        frame,
        where=rows.checked.table.where,
        target=job.config.target,
        digest=rows.fingerprint,
        rows=rows.rows_in_all,
    )
    if unsliced := comparison.left_out_of_slices(len(rows.schema.columns)):
        job.say("warning", unsliced)
    if assessment.slices:
        run.log_table("slices", assessment.slice_table())
    figures = report.figures(rows.schema, evaluation, assessment)
    run.log_figures(figures)
    job.say("log", f"metrics, lineage and {len(figures)} plots ({time.perf_counter() - started:.1f} s)")
    return figures
