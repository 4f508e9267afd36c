"""The main job: a table becomes a fitted, measured, registered and, if it should be, promoted model.

Each line of `train` is a step, told by a room of its own. What the steps say goes to the caller; nothing is printed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from data.contracts import Contract
from training.challenger import Outcome, judge, log_model, record, registering, searching
from training.commands import trainings
from training.console import Say, Watch, silent
from training.gate import Answered, deciding
from training.measuring import Evaluation, assess, score
from training.pages import card, plain, report
from training.records import Job, ledger, model_registry, tag_names, tracking
from training.rows import PreparedTable, arrange, charges, contracted, suspicions
from training.rows.known import known_tables, load_split
from training.search import Winner, cross_validation, processes

MOST_LEARNED = 30_000
"""Training rows whose error is measured, at most."""


def train(config: trainings.TrainConfig, say: Say, watch: Watch = silent) -> Outcome:
    """Run the whole path; raises DataError or TrainingError, and then nothing is registered."""
    known_tables.refuse_mistyped(config)
    processes.warm_up()  # the search's processes import meanwhile what they need
    with tracking.open_run(config.name, config.job) as run:
        config, agreed = contracted.with_contract(config)
        job = Job(config, run, say, watch)
        if config.promote == "auto":
            ledger.settle(config.name)  # a broken ledger is told before the work, not after it
        job, rows = prepare(job, agreed)
        winner = searching.fit_best(job, rows, searching.search(job, rows))
        if rows.is_read_again:
            job = replace(job, budget=job.budget.without(winner.uncounted_seconds))
        job = charges.charge_graph(job, rows, winner.compiled.graph)
        evaluation = evaluate(rows, winner)
        with job.watch("measure", lambda _: f"{job.budget.elapsed_in_words()}, how sure the figures are"):
            assessment = assess(rows, winner, evaluation, seed=config.seed, seconds=job.budget.to_measure)
        with run.before_its_model() as measured:
            figures = record(replace(job, run=measured), rows, winner, evaluation, assessment)
            made = log_model(replace(job, run=measured), rows, winner, assessment.holdout.figures["rmse"])
        job = replace(job, budget=job.budget.without(made.whole.seconds))
        summary = report.summary(rows.schema, winner, evaluation, assessment, rows.checked.weight)
        version = registering.register(job, rows, made.logged, summary=summary)
        told = "\n\n".join([plain(summary), card.in_markdown(rows.schema, assessment, job.run.card_page)])
        outcome = registering.conclude(
            job, version, lambda history: decide(job, rows, version, history, made.answered), summary=told
        )
        whole = card.CardFacts(
            config,
            rows,
            winner,
            evaluation,
            assessment,
            version,
            outcome.decision,
            figures | made.figures,
            made.contributions,
            made.whole.figures,
        )
        job.run.log_card(card.card(whole))
        charges.conclude(job)
        return replace(outcome, figures=evaluation.as_metrics() | assessment.as_metrics())


def prepare(job: Job, agreed: Contract | None) -> tuple[Job, PreparedTable]:
    """Load, check and split the table, and describe its training rows; the job's columns are named as there."""
    config, say = job.config, job.say
    said = config.said_params()
    job.run.log_config(said)
    started = time.perf_counter()
    config, source = known_tables.open_again(config, say)
    if source.version:
        job.run.log(tags={tag_names.TABLE: source.version})
    config, table, rule = load_split(config, source, contracted.asked_of(config.asked, agreed))
    config, head = known_tables.with_memory(config, table), known_tables.head_of(table)
    job.run.log_config({name: word for name, word in config.as_params().items() if name not in said})
    say("read", f"{len(table):,} rows, {len(head.names)} columns ({time.perf_counter() - started:.1f} s)")
    suspicions.say_readings(head, say)
    if agreed:
        contracted.hold(agreed, table, ignored=config.exclude)
        job.run.log_text("contract.yaml", Path(agreed.where).read_text(encoding="utf-8"))
        say("contract", f"{agreed.where}: kept")
    pace, rows = charges.Pace(), arrange(table, rule, config, say)
    job = replace(job, config=config)
    return replace(job, budget=charges.budget_for(rows, job, pace)), rows


def evaluate(rows: PreparedTable, winner: Winner) -> Evaluation:
    """Measure the chosen model; the holdout is used here, once."""
    predicted = cross_validation.predicted(winner.fitted, rows.frame("holdout"))
    weight = rows.weight("holdout")
    learned = rows.training(0).sample(winner.rows).sample(MOST_LEARNED)
    return Evaluation(
        actual=rows.target("holdout"),
        predicted=predicted,
        train=score(learned.target, cross_validation.predicted(winner.fitted, learned.frame), learned.weight),
        holdout=score(rows.target("holdout"), predicted, weight),
        baseline=score(rows.target("holdout"), winner.baseline.predict(rows.frame("holdout")), weight),
    )


def decide(
    job: Job,
    rows: PreparedTable,
    version: model_registry.Version,
    history: ledger.History,
    answered: Answered | None = None,
) -> deciding.Decision:
    """Let the gate judge the new version on the rows that it, and the champion, held out."""
    if job.config.promote == "never":
        return deciding.never()
    return judge(version, rows.checked.table, history, job.config.policy, run=job.run, answered=answered)
