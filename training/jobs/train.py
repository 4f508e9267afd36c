"""The main job: a table becomes a fitted, measured, registered and, if it should be, promoted model.

Read `train` first: each line is a step, and each step has a module of its own. What the steps
say goes to the caller; nothing is printed here.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.checks.contract import Contract
from data.checks.trainable import Checked, check_table
from data.errors import DataError, FaultsFound
from data.figures import figure
from data.schema import Schema
from data.splits.splitting import Side, Split, SplitRule, repeats_in_words, split_table
from data.splits.weighting import check_sides
from data.tables.fingerprint import fingerprint
from data.tables.table import Table, describe
from serving.registry import promotions
from serving.scorer import Scorer
from training.commands.config import Policy, PromoteConfig, TrainConfig, asked_then, job_of, refuse_masked
from training.compiling import CompilingError, Verified, pack_frame, with_scale, write_scorer
from training.errors import Superseded, TrainingError, UsageError
from training.gate import deciding
from training.gate.trial import Trial
from training.jobs import check
from training.measuring import comparison, conformal, coverage
from training.measuring.assessment import Assessment, assess
from training.measuring.importance import importance
from training.measuring.scores import Evaluation, score
from training.models.families import Spec
from training.pages import card, evidence, plots, report
from training.pages.markdown import plain
from training.progress import Watch, silent
from training.records import ledger, model_registry, tracking
from training.rows.kept_split import load_split
from training.rows.known_rows import load_known
from training.rows.opened_table import open_table
from training.search import cross_validation
from training.search.candidates import Candidate
from training.search.choosing import Choice, Told, choose
from training.search.cross_validation import Folds, warm_up
from training.search.race import Budget, Standing
from training.versions import flavor
from training.weights import Weight, relative

Decide = Callable[[ledger.History], deciding.Decision]
Say = Callable[[str, str], None]
"""Told of each step: its name, and what came of it."""

FOLDS, MANY_FOLDS, FEW_ROWS = 5, 10, 1_000
"""Of cross-validation; more where rows are few."""

MODEL_SPEC = "model_spec.json"
"""The artifact with what was chosen, from which `training.models.build` makes the pipeline again."""

IMPORTANCE_SHARE, LEAST_IMPORTANCE_SECONDS = 0.05, 2.0
"""Of the time budget for measuring which columns matter, and at least."""

NO_SPLIT_BY_WEIGHT = "a changed weight would move rows; name another column, or leave weight out"

ATTEMPTS = 10
"""Other writers that may promote while this one decides, before it gives up."""


@dataclass(frozen=True)
class Job:
    """What was asked for, where it is recorded, and who is told."""

    config: TrainConfig
    run: tracking.Run
    say: Say
    watch: Watch = silent


@dataclass(frozen=True)
class Rows:
    """The rows of one training: checked, split, described."""

    checked: Checked
    split: Split
    schema: Schema
    fingerprint: str

    def frame(self, side: Side) -> pd.DataFrame:
        """Return the features of one side, shape (n_rows, n_features)."""
        return self.checked.table.frame.loc[self.split.mask(side), list(self.schema.names)]

    def folds(self) -> Folds:
        """Return (fit, validate) positions among the training rows."""
        return self.split.folds(MANY_FOLDS if self.split.counts["train"] < FEW_ROWS else FOLDS)

    def seconds_of(self, config: TrainConfig) -> float:
        """Return the time budget for so many rows."""
        return config.seconds_for(len(self.checked.table))

    def target(self, side: Side) -> NDArray[np.float64]:
        """Return the target on one side, float64 of shape (n_rows,)."""
        return self.checked.table.numbers(self.schema.target)[self.split.mask(side)]

    def weight(self, side: Side) -> Weight:
        """Return how much each row of one side counts."""
        return self.weight_at(self.split.mask(side))

    def weight_at(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Weight:
        """Return how much each of some rows counts."""
        column = self.checked.weight
        return relative(self.checked.table.numbers(column)[rows]) if column else None

    def training(self, seed: int) -> cross_validation.Rows:
        """Return the training rows as a search takes them."""
        return cross_validation.Rows(
            self.frame("train"), self.target("train"), self.folds(), self.schema, seed, self.weight("train")
        )


@dataclass(frozen=True)
class Outcome:
    """What a training or a promotion came to."""

    version: model_registry.Version
    decision: deciding.Decision
    run_id: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def train(config: TrainConfig, say: Say, watch: Watch = silent) -> Outcome:
    """Run the whole path; raises DataError or TrainingError, and then nothing is registered."""
    refuse_mistyped(config)
    warm_up()  # the search's processes import meanwhile what they need
    with tracking.open_run(config.name, job_of(config)) as run:
        config, agreed = check.with_contract(config)
        job = Job(config, run, say, watch)
        if config.promote == "auto":
            ledger.settle(config.name)  # a broken ledger is told before the work, not after it
        job, rows = prepare(job, agreed)
        choice = search(job, rows)
        evaluation = evaluate(rows, choice)
        assessment = assess(rows, choice, evaluation, seed=config.seed)
        figures = record(job, rows, choice, evaluation, assessment)
        logged, promised = log_model(job, rows, choice)
        summary = report.summary(rows.schema, choice, evaluation, assessment, rows.checked.weight)
        version = register(job, rows, logged, summary=summary)
        told = "\n\n".join([plain(summary), card.in_markdown(rows.schema, assessment, job.run.card_page)])
        outcome = conclude(job, version, lambda history: decide(job, rows, version, history), summary=told)
        made = card.Made(config, rows, choice, evaluation, assessment, outcome, figures | promised)
        job.run.log_card(card.card(made))
        return replace(outcome, figures=evaluation.as_metrics() | assessment.as_metrics())


def refuse_mistyped(config: TrainConfig) -> None:
    """Raise what is wrong with the place of the first table of a name, before an experiment is made for it."""
    tracking.check_tracking()
    if not model_registry.is_known(config.name):
        open_table(config, lambda *_: None)


def prepare(job: Job, agreed: Contract | None) -> tuple[Job, Rows]:
    """Load, check and split the table, and describe its training rows; the job's columns are named as there."""
    config, say = job.config, job.say
    job.run.log_config(config.as_params())
    started = time.perf_counter()
    asked = check.asked_of(config.asked, agreed)
    config, table, rule = load_split(config, open_table(config, say, last_params(config.name)), asked)
    say("read", f"{len(table):,} rows, {len(table.names)} columns ({time.perf_counter() - started:.1f} s)")
    check.say_readings(table, say)
    if agreed:
        check.hold(agreed, table, ignored=config.exclude)
        job.run.log_text("contract.yaml", Path(agreed.where).read_text(encoding="utf-8"))
        say("contract", f"{agreed.where}: kept")
    return replace(job, config=config), arrange(table, rule, config, say)


def last_params(name: str) -> Mapping[str, str]:
    """Return where the table of the name's last training is and how it is written; nothing for the first one."""
    made = [version for version in model_registry.versions(name) if version.run_id]
    return tracking.recorded_params(made[-1].run_id) if made else {}


def arrange(table: Table, rule: SplitRule, config: TrainConfig, say: Say) -> Rows:
    """Check and split a table by a rule, and describe its training rows."""
    checked = check_table(
        table,
        target=config.target,
        exclude=config.exclude,
        reserved={f"{rule.method} split": rule.reserved},
        mentioned={
            "unit": [column for column, _ in config.units],
            "monotonic": [column for column, _ in config.monotonic],
        },
        weight=config.weight,
    )
    split = split_of(checked, rule)
    schema, dropped = _describe_training(checked, split, config)
    suspicions = check.suspicions(
        table, checked, split, schema.names, target=config.target, ignored=config.exclude
    )
    if suspicions and config.strict:
        raise FaultsFound(where=table.where, faults=suspicions, repair=check.STRICT)
    for warning in filter(None, (*checked.warnings, *dropped, *suspicions, repeats_in_words(split))):
        say("warning", warning)
    if checked.rows_without_target:
        say("warning", f"{checked.rows_without_target:,} rows have no {config.target} and are left out")
    if checked.weight:
        say("weight", report.weights_in_words(checked, split))
    say("check", report.columns_in_words(schema))
    say("split", f"{report.sides_in_words(split)}, {rule}")
    return Rows(checked, split, schema, fingerprint(table))


def split_of(checked: Checked, rule: SplitRule) -> Split:
    """Return the sides of the rows; weights move none, and rows of weight 0 stand nowhere."""
    if checked.weight and checked.weight in rule.columns:
        raise UsageError(message=f"weight {checked.weight!r} decides the split too: {NO_SPLIT_BY_WEIGHT}")
    split = split_table(checked.table, rule)
    check_sides(split, checked.counted, checked.weight)
    return split.of_counted(checked.counted)


def _describe_training(checked: Checked, split: Split, config: TrainConfig) -> tuple[Schema, list[str]]:
    """Describe what the training rows hold; a column that they all lack is no feature."""
    training = checked.table.take(split.mask("train"))
    unseen = [name for name in checked.features if training.frame[name].isna().all()]
    features = [name for name in checked.features if name not in unseen]
    warnings = [f"column {name!r} is left out: it is missing in every training row" for name in unseen]
    return describe(training, features, target=config.target, units=dict(config.units)), warnings


def search(job: Job, rows: Rows) -> Choice:
    """Let specifications compete on the training rows; the best of each family is a nested run."""
    config, say = job.config, job.say

    def on_candidate(candidate: Candidate) -> None:
        error = figure(candidate.cv_rmse, rows.schema.target_unit, candidate.cv_rmse_se)
        say("try", f"{candidate.family}: cross-validated RMSE {error} ({candidate.fit_seconds:.1f} s)")
        job.run.log_nested(
            candidate.family,
            metrics=candidate.as_metrics(),
            params={"spec": json.dumps(candidate.spec)[:6000]},
        )

    fits = 1 if conformal.has_calibration_rows(rows) else 1 + len(rows.folds())
    budget = Budget(rows.seconds_of(config), config.trials, fits)
    if config.time_budget is None:
        say("budget", f"{budget.seconds:.0f} s by the number of rows; time_budget=SECONDS sets another")
    standings = deque([Standing(ends_after=budget.seconds)], maxlen=1)

    def how_far(seconds: float) -> str:
        return report.standing_in_words(standings[-1], seconds, rows.schema.target_unit)

    told = Told(
        standing=standings.append,
        candidate=on_candidate,
        refusal=lambda candidate, error: say("warning", f"{candidate.family} leaves the search: {error}"),
        interrupted=lambda count: say("warning", f"interrupted: the best of {count} trials is used"),
    )
    with job.watch("search", how_far):
        choice = choose(
            rows.frame("train"),
            rows.target("train"),
            rows.folds(),
            schema=rows.schema,
            seed=config.seed,
            budget=budget,
            warm=champions_spec(config.name),
            monotonic=dict(config.monotonic),
            told=told,
            storable=flavor.trusted_types,
            weight=rows.weight("train"),
        )
    say("search", f"{choice.ended} ({choice.search_seconds:.1f} s)")
    return choice


def champions_spec(name: str) -> Spec | None:
    """Return what the champion was built from, so that a retrain starts where the last one ended."""
    champion = model_registry.champion(name)
    return tracking.recorded_json(champion.run_id, MODEL_SPEC) if champion else None


def evaluate(rows: Rows, choice: Choice) -> Evaluation:
    """Measure the chosen model; the holdout is used here, once."""
    predicted, weight = choice.fitted.predict(rows.frame("holdout")), rows.weight("holdout")
    return Evaluation(
        actual=rows.target("holdout"),
        predicted=predicted,
        train=score(rows.target("train"), choice.fitted.predict(rows.frame("train")), rows.weight("train")),
        holdout=score(rows.target("holdout"), predicted, weight),
        dummy=score(rows.target("holdout"), choice.dummy.predict(rows.frame("holdout")), weight),
    )


def record(
    job: Job, rows: Rows, choice: Choice, evaluation: Evaluation, assessment: Assessment
) -> dict[str, Figure]:
    """Log figures, lineage, tables and plots; return the plots for the card."""
    unit, run, seconds = rows.schema.target_unit, job.run, rows.seconds_of(job.config)
    job.say(
        "evaluate",
        f"holdout RMSE {report.interval(assessment.holdout.figures['rmse'], unit)}, "
        f"the mean alone {figure(evaluation.dummy.rmse, unit)}",
    )
    if assessment.curve:
        job.say("learn", str(assessment.curve))
    started = time.perf_counter()
    counts = {f"rows_{side}": float(count) for side, count in rows.split.counts.items()}
    counts["time_budget_seconds"] = seconds
    counts["rows_without_target"] = float(rows.checked.rows_without_target)
    counts |= report.weights_in_figures(rows.checked, rows.split)
    run.log(
        metrics=evaluation.as_metrics()
        | assessment.as_metrics()
        | choice.as_metrics()
        | counts
        | report.line(choice, rows.schema),
        params={"family": choice.best.family, "features": ",".join(rows.schema.names)[:6000]},
        tags=model_registry.weight_tag(rows.checked.weight)
        | {"slipway.data_fingerprint": rows.fingerprint, "slipway.versions": report.versions_in_words()}
        | tracking.source_tags(job.config.as_params()),
    )
    run.log_json("schema.json", rows.schema.as_dict())
    run.log_json(MODEL_SPEC, choice.spec)
    run.log_table("trials", choice.trials)
    frame = rows.checked.table.frame
    run.log_dataset(frame, where=rows.checked.table.where, target=job.config.target, digest=rows.fingerprint)
    side: Side = "calibration" if rows.split.counts["calibration"] >= 2 else "train"
    found = importance(
        choice.compiled.graph,
        rows.frame(side),
        rows.target(side),
        rows.schema,
        seed=job.config.seed,
        seconds=max(IMPORTANCE_SHARE * seconds, LEAST_IMPORTANCE_SECONDS),
        weight=rows.weight(side),
    )
    if found.left_out:
        job.say("warning", f"importance: the time was too short for {found.left_out:,} of the columns")
    if unsliced := comparison.left_out_of_slices(len(rows.schema.columns)):
        job.say("warning", unsliced)
    run.log_table("importance", found.as_table())
    if assessment.slices:
        run.log_table("slices", assessment.slice_table())
    figures = report.figures(rows.schema, evaluation, assessment, found.drops)
    run.log_figures(figures)
    job.say("log", f"metrics, lineage and {len(figures)} plots ({time.perf_counter() - started:.1f} s)")
    return figures


def log_model(job: Job, rows: Rows, choice: Choice) -> tuple[flavor.Logged, dict[str, Figure]]:
    """Log the fitted pipeline and its scorer as an MLflow model of this run; return it and its intervals' plot."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scorer = write_version(
            Path(folder), choice.fitted, choice.spec, choice.compiled, rows, seed=job.config.seed, say=job.say
        )
        promised = promise(job, rows, scorer)
        example = rows.frame("train").head(5).reset_index(drop=True)
        logged = flavor.log_version(
            choice.fitted, schema=rows.schema, scorer_folder=Path(folder), input_example=example
        )
    row_us = report.row_microseconds(scorer)
    parity = choice.compiled.parity
    job.run.log(
        metrics={"parity_max_abs": parity.max_abs, "parity_max_rel": parity.max_rel, "scorer_row_us": row_us},
        tags={model_registry.DIGEST_TAG: scorer.digest},
    )
    job.say(
        "model",
        f"{choice.best.family} as one graph, {row_us:.0f} µs a row, within {parity.max_rel:.0e} of scikit-learn "
        f"on {parity.rows:,} rows ({time.perf_counter() - started:.1f} s)",
    )
    return logged, promised


def write_version(
    folder: Path, fitted: Any, spec: Spec, compiled: Verified, rows: Rows, *, seed: int, say: Say
) -> Scorer:
    """Write the scorer of a fitted model, with intervals where the rows can promise any."""
    residuals = conformal.residuals_of(fitted, spec, rows, seed=seed)
    found = None
    if residuals:
        found, compiled = _with_intervals(residuals, fitted, compiled, rows, seed=seed, say=say)
    return write_scorer(
        folder,
        graph=compiled.graph,
        schema=rows.schema,
        frame=rows.frame("train"),
        fingerprint=rows.fingerprint,
        parity=compiled.parity,
        intervals=found.table if found else None,
    )


def _with_intervals(
    residuals: conformal.Residuals, fitted: Any, compiled: Verified, rows: Rows, *, seed: int, say: Say
) -> tuple[conformal.Calibrated | None, Verified]:
    """Return the table and the graph that goes with it; one width for all rows where no scale model can be had."""
    try:
        found = conformal.calibrate(residuals, rows.schema, seed=seed)
        if found and found.scale is not None:
            frame = rows.frame("train")
            compiled = with_scale(compiled, fitted, found.scale, schema=rows.schema, frame=frame)
    except (CompilingError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        say(
            "warning",
            f"intervals have one width for all rows: no model of their scale could be made: {error}",
        )
        return conformal.one_width(residuals), compiled
    return found, compiled


def promise(job: Job, rows: Rows, scorer: Scorer) -> dict[str, Figure]:
    """Log which coverage the intervals reach on the holdout; return the plot."""
    if scorer.document.intervals is None:
        job.say("warning", "too few rows for prediction intervals")
        return {}
    matrix, actual = pack_frame(rows.frame("holdout"), rows.schema), rows.target("holdout")
    made_from: Side = "calibration" if scorer.document.intervals.method == "calibration" else "train"
    weighed = coverage.Weighed(rows.weight("holdout"), rows.weight(made_from))
    found = coverage.reached(scorer, matrix, actual, rows.split, weighed)
    job.run.log(metrics=coverage.as_metrics(found))
    moments = None if rows.split.moments is None else rows.split.moments[rows.split.mask("holdout")]
    slices = comparison.slices(rows.frame("holdout"), moments)
    tenths, by_slice = coverage.tables(scorer, matrix, actual, slices, rows.split, weighed=weighed)
    job.run.log_table("intervals", tenths)
    if len(by_slice):
        job.run.log_table("interval_slices", by_slice)
    figures = {"interval_coverage": plots.interval_coverage(found)}
    job.run.log_figures(figures)
    unit, column = rows.schema.target_unit, rows.checked.weight
    job.say("intervals", coverage.in_words(found, scorer.document.intervals, unit, column))
    return figures


def decide(
    job: Job, rows: Rows, version: model_registry.Version, history: ledger.History
) -> deciding.Decision:
    """Let the gate judge the new version on the rows that it, and the champion, held out."""
    if job.config.promote == "never":
        return deciding.never()
    return judge(version, rows.checked.table, history, job.config.policy, run=job.run)


def judge(
    version: model_registry.Version,
    table: Table,
    history: ledger.History,
    policy: Policy,
    *,
    run: tracking.Run | None = None,
) -> deciding.Decision:
    """Measure a version, beside the champion where there is one, and leave the evidence on the run."""
    started = time.perf_counter()
    current = history.current
    if current and version.adopted and version.adopted != current.adopted:
        return deciding.cannot_tell(
            f"nobody knows which rows version {version.number} learned from, for it was adopted; "
            "promote it with force=true and a reason"
        )
    try:
        if current:
            history.check(current)
        trial = Trial.of(version, current, table)
        if len(trial.actual) < deciding.FEWEST_ROWS:
            held = "both hold out" if current else "it holds out"
            return deciding.cannot_tell(
                f"only {len(trial.actual)} rows that {held}, {deciding.FEWEST_ROWS} are needed: pass more rows"
            )
        decision = trial.decision(policy, history)
    except (DataError, TrainingError, KeyError) as error:
        return deciding.cannot_tell(str(error))
    if run is not None:
        title = f"{version.name} version {version.number}"
        figures = (
            {}
            if trial.theirs is None
            else evidence.figures(decision, trial.actual, trial.ours, trial.theirs, trial.unit)
        )
        run.log_evidence(decision.evidence, evidence.card(title, decision, figures))
        run.log(metrics={"gate_seconds": time.perf_counter() - started})
    return decision


def register(
    job: Job, rows: Rows, logged: flavor.Logged, *, summary: str, tags: Mapping[str, str] | None = None
) -> model_registry.Version:
    """Register the version; nothing is decided about it yet."""
    return model_registry.register(
        job.config.name,
        logged,
        run_id=job.run.run_id,
        tags=model_registry.describe_rows(rows.split, rows.schema, rows.fingerprint, rows.checked.weight)
        | {model_registry.DIGEST_TAG: logged.digest, "slipway.decision": "undecided"}
        | dict(tags or {}),
        description=plain(summary),
    )


def conclude(job: Job, version: model_registry.Version, decide: Decide, *, summary: str) -> Outcome:
    """Decide, carry it out, and write it on the version and the run."""
    if job.config.promote == "never":  # nobody asked: that is no refusal, and needs no ledger
        decision = deciding.never()
        model_registry.tag(version.name, version.number, tags_of(version, decision))
    else:
        decision = enter(version, decide, run_id=job.run.run_id, say=job.say)
    text = f"{summary}\n\n{decision.word}: {plain(decision.reason)}"
    if decision.checks:
        text += f"\n\n[evidence]({job.run.evidence_page})"
    model_registry.describe(version, text)
    figures = decision.champion.as_metrics("champion_holdout") if decision.champion else {}
    tags = {"mlflow.note.content": text, "mlflow.runName": f"{version.name} {version.number}"}
    job.run.log(metrics=figures, tags=tags | tags_of(version, decision))
    job.say("register", f"{version.name} version {version.number}: {summary.splitlines()[0]}")
    _say_decision(decision, job.say)
    job.say("see", f"mlflow ui, then {job.run.page}")
    return Outcome(version, decision, job.run.run_id)


def _say_decision(decision: deciding.Decision, say: Say) -> None:
    say("decide", f"{decision.word}: {decision.reason}")
    if decision.advice:
        say("help", decision.advice)


def enter(
    version: model_registry.Version,
    decide: Decide,
    *,
    run_id: str,
    say: Say,
    kind: promotions.Kind = "promotion",
) -> deciding.Decision:
    """Decide about a version and carry it out; decide again where another writer moved the champion meanwhile."""
    for attempt in range(1, ATTEMPTS + 1):
        history = ledger.settle(version.name)
        if history.moved:
            say("warning", history.moved_in_words)
        decision = decide(history)
        kind_of = kind if decision.promoted else "refusal"
        try:
            ledger.record(
                history,
                version,
                kind=kind_of,
                reason=decision.reason,
                policy=decision.policy,
                evidence=run_id,
            )
        except Superseded as error:
            if attempt == ATTEMPTS:
                raise
            say("again", str(error))
        else:
            break
    return decision


def tags_of(version: model_registry.Version, decision: deciding.Decision) -> dict[str, str]:
    """Return the tags of a run that decided about a version."""
    return {
        "slipway.version": version.number,
        "slipway.decision": decision.word,
        "slipway.reason": decision.reason,
    }


def promote(config: PromoteConfig, say: Say) -> Outcome:
    """Promote a version by hand, through the same gate on the rows that it was trained from."""
    tracking.check_tracking(must_exist=True)
    history = ledger.settle(config.name)
    version = model_registry.version(config.name, config.version)
    history.check(version)
    if config.dry_run:
        decision = _judge_again(config, version, history, None, say)
        would = "would be promoted" if decision.promoted else "would not be promoted"
        say("dry run", f"version {version.number} {would}, nothing was changed: {decision.reason}")
        if decision.advice:
            say("help", decision.advice)
        return Outcome(version, decision)
    with tracking.open_run(config.name, job_of(config)) as run:
        decision = enter(
            version,
            lambda history: _judge_again(config, version, history, run, say),
            run_id=run.run_id,
            say=say,
            kind="forced" if config.force else "promotion",
        )
        run.log(tags=tags_of(version, decision))
        _say_decision(decision, say)
        return Outcome(version, decision, run.run_id)


def _judge_again(
    config: PromoteConfig,
    version: model_registry.Version,
    history: ledger.History,
    run: tracking.Run | None,
    say: Say,
) -> deciding.Decision:
    if history.serving == version.number:
        return deciding.Decision(promoted=False, reason=f"version {version.number} is the champion already")
    if config.force:
        return deciding.forced(config.reason)
    recorded = tracking.recorded_params(version.run_id)
    where = config.data or recorded.get("data", "")
    if not where:
        raise UsageError(
            message=f"{version.name} version {version.number} recorded no table: pass rows to judge by, data=..."
        )
    refuse_masked("" if config.data else where, "" if config.query else recorded.get("query", ""))
    source = open_table(config, say, recorded)
    table = load_known(source, version.schema, version.split.kinds, asked_then(recorded))
    table = check_table(table, target=version.target, weight=version.weight).table
    say("read", f"{len(table):,} rows from {table.where}")
    return judge(version, table, history, config.policy, run=run)
