"""The search of one training, and the fit of what was chosen: budget, where it starts, what is told and logged."""

from __future__ import annotations

import json
from collections import deque

from data.figures import figure
from training.measuring import conformal
from training.models import Spec, lightgbm_loads
from training.pages import report
from training.records import Job, model_registry, tracking
from training.rows import PreparedTable
from training.search import (
    Callbacks,
    Candidate,
    Choice,
    Standing,
    Winner,
    choose,
    cross_validation,
    winner_of,
)
from training.versions import flavor

MODEL_SPEC = "model_spec.json"
"""The artifact with what was chosen, from which `training.models.families.build` makes the pipeline again."""

LEARNED = "rows"
"""In it: how many training rows were learned from, where these are a sample."""

IN_PARTS = "in_parts"
"""In it: that all rows of a large table were learned after that."""

SEARCHED = "searched"
"""In it: of how many training rows, and by how many folds, the search's own residuals made the intervals."""


def search(job: Job, rows: PreparedTable) -> Choice:
    """Let specifications compete on the training rows; the best of each family is a nested run."""
    config, say = job.config, job.say

    def on_candidate(candidate: Candidate) -> None:
        error = figure(candidate.cv_rmse, rows.schema.target_unit, candidate.cv_rmse_se)
        say("try", f"{candidate.family}: cross-validated RMSE {error} ({candidate.fit_seconds:.1f} s)")
        job.run.log_nested(
            candidate.family,
            metrics=candidate.as_metrics(),
            params={"family": candidate.family, "spec": json.dumps(candidate.spec)[:6000]},
        )

    budget = job.budget
    if config.time_budget is None:
        say("budget", f"{budget.seconds:.0f} s by the number of rows; time_budget=SECONDS sets another")
    if not lightgbm_loads():
        say(
            "warning",
            "LightGBM's library cannot be loaded, its family is not tried: apt-get install libgomp1",
        )
    standings = deque([Standing()], maxlen=1)

    def how_far(_: float) -> str:
        standing = report.standing_in_words(standings[-1], rows.schema.target_unit)
        return f"{budget.elapsed_in_words()}, {standing}"

    callbacks = Callbacks(
        standing=standings.append,
        candidate=on_candidate,
        interrupted=lambda count: say("warning", f"interrupted: the best of {count} trials is used"),
    )
    with job.watch("search", how_far):
        choice = choose(
            rows.training(config.seed),
            budget=budget,
            warm=champions_spec(config.name),
            monotonic=dict(config.monotonic),
            callbacks=callbacks,
        )
    say("search", f"{choice.ended} ({choice.seconds:.1f} s)")
    return choice


def fit_best(job: Job, rows: PreparedTable, choice: Choice) -> Winner:
    """Fit and compile the chosen specification, or the next best that can be a version; raises CompilingError."""
    training = rows.training(job.config.seed)
    fitted = deque([(choice.best, training.size)], maxlen=1)

    def how_far(_: float) -> str:
        candidate, count = fitted[-1]
        which = "all " if count == rows.counts["train"] else ""
        return f"{job.budget.elapsed_in_words()}, {candidate.family} on {which}{count:,} rows"

    def on_reading(candidate: Candidate, count: int, seconds: float) -> None:
        took = f"about {seconds:.0f} s that time_budget does not count"
        job.say("fit", f"{candidate.family} reads all {count:,} training rows once more: {took}")

    def on_refusal(candidate: Candidate, error: Exception) -> None:
        job.say("warning", f"{candidate.family} leaves the search: {error}")

    everything = rows.everything
    if everything and rows.held_out:
        everything = rows.held_out.beside(everything)
    with job.watch("fit", how_far):
        winner = winner_of(
            choice,
            training,
            budget=job.budget,
            fitting=lambda candidate, count: fitted.append((candidate, count)),
            reading=on_reading,
            refusal=on_refusal,
            storable=flavor.trusted_types,
            everything=everything,
        )
    if sample := report.sample_in_words(winner, rows):
        job.say("fit", sample)
    return winner


def champions_spec(name: str) -> Spec | None:
    """Return what the champion was built from, so that a retrain starts where the last one ended."""
    champion = model_registry.champion(name)
    recorded = tracking.recorded_json(champion.trained_in, MODEL_SPEC) if champion else None
    return recorded and without_rows(recorded)


def validated(winner: Winner, rows: PreparedTable, *, seed: int) -> cross_validation.TrainingRows | None:
    """Return the training rows and folds whose residuals in the search make the intervals, if they do."""
    if conformal.has_calibration_rows(rows):
        return None
    return conformal.validated_in_search(rows.training(seed), winner.out_of_fold)


def with_rows(
    winner: Winner, training_rows: int, searched: cross_validation.TrainingRows | None = None
) -> Spec:
    """Return what a model was built from, and how many rows it, and its intervals, learned where that differs."""
    learned = {} if winner.fitted_on == training_rows else {LEARNED: winner.fitted_on}
    in_parts = {} if winner.rows == winner.fitted_on else {IN_PARTS: True}
    validated_on = {SEARCHED: [searched.size, len(searched.folds)]} if searched else {}
    return {**winner.spec, **learned, **in_parts, **validated_on}


def without_rows(recorded: Spec) -> Spec:
    """Return what was recorded without the numbers of rows: a later training has a time of its own."""
    return {name: value for name, value in recorded.items() if name not in (LEARNED, IN_PARTS, SEARCHED)}
