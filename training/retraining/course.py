"""What a call of the monitor does about retraining: what was begun is finished, the challenger is judged, and only then
it is asked whether to train.

Each step leaves a state from which the next call goes on: kill it anywhere and call it again, and the same is decided.
"""

from __future__ import annotations

from data.captures import Places
from training import captures
from training.commands import watches
from training.console import Say
from training.lessons import PredictedDay
from training.monitoring import Reference, Watch
from training.records import MonitorRun, model_registry
from training.retraining import contract, process, teaching, verdicts
from training.retraining.asked import Asked
from training.retraining.facts import Traffic, costs_of, facts_of, facts_without_rows, labelled_rows
from training.retraining.memory import Memory
from training.succession import decide

MOST_ROWS = 20_000
"""Of a day and a version that a challenger learns from, or is judged by, at most."""


def after(
    watch: Watch,
    places: Places,
    config: watches.MonitorConfig,
    version: model_registry.Version,
    run: MonitorRun,
    *,
    reference: Reference,
    say: Say,
) -> bool:
    """Do what follows a watch over the champion, of captures as Parquet; return whether a challenger took its place.

    Raises
    ------
    ContractError, UsageError
        As `follow` does.
    """

    def read(of: model_registry.Version, day: str) -> PredictedDay:
        wanted = captures.Wanted(of.digest, version.schema.names, MOST_ROWS)
        (rows,) = captures.captured_days(places, of.name, of.number, since=day, until=day, wanted=wanted)
        return rows

    asked = Asked(
        champion=version,
        reference=reference,
        alarms={alarm.kind: alarm for alarm in watch.alarms},
        matured=watch.outcomes_until,
        unwatched=watch.ignored,
        independent=config.independent,
        folder=places.folder.resolve(),
        day_names=lambda of: captures.captured_day_names(places, of.name, of.number),
        read=read,
        wishes=config.retraining,
        run=run,
        say=say,
    )
    return follow(asked)


def follow(asked: Asked) -> bool:
    """Judge the challenger, then train one where the rule says so; say what was done and why, or why not.

    Returns
    -------
    Whether the challenger took the champion's place.

    Raises
    ------
    ContractError
        A contract was given and cannot be read.
    UsageError
        What the monitor knows was written by somebody else.
    """
    contract.kept_contract(asked)
    with process.alone(asked.trainings / f"{asked.name}.lock") as lock:
        if lock is None:
            _say(asked, f"did not retrain, because another process trains or judges {asked.name}")
            return False
        memory = Memory.of(asked.run)
        if away := teaching.finish(asked, memory):
            _say(asked, f"did not retrain, because {away}")
            return False
        promoted = verdicts.judge(asked, memory)
        if promoted:
            now = f"version {promoted} took the place of version {asked.champion.number}"
            _say(asked, f"did not retrain, because {now}")
        else:
            _say(asked, _answered(asked, memory, lock))
        return bool(promoted)


def _answered(asked: Asked, memory: Memory, lock: int) -> str:
    """Ask the rule and do what it says; return the sentence. Rows are read where they count alone."""
    costs, traffic = costs_of(asked), Traffic()
    if costs is None and (why := facts_without_rows(asked, memory).not_now):
        return f"did not retrain, because {why}"
    rows = labelled_rows(asked, traffic)
    decision = decide(facts_of(asked, memory, rows, traffic), costs)
    if decision.sum:
        asked.say("costs", decision.sum)
    if not decision.cause:
        return decision.sentence
    asked.say("retrain", decision.sentence)
    refused = teaching.teach(asked, memory, rows, decision, lock)
    return f"did not retrain, because {refused}" if refused else decision.sentence


def _say(asked: Asked, sentence: str) -> None:
    if sentence.startswith("did not"):
        asked.say("retrain", sentence)
    asked.run.say_retraining(sentence)
