"""A version is judged beside the champion, and the judgement carried out."""

from __future__ import annotations

import time
from collections.abc import Callable

from data.errors import DataError
from data.tables import Table
from serving.registry import promotions
from training.commands import Policy
from training.console import Say
from training.errors import TrainingError
from training.gate import Answered, Trial, deciding
from training.pages import evidence
from training.records import ledger, model_registry, tracking
from training.records.errors import FilesAway, Superseded

ATTEMPTS = 10
"""Other writers that may promote while this one decides, before it gives up."""


Decide = Callable[[ledger.History], deciding.Decision]
"""Judges a version, given who is champion by now."""


def judge(
    version: model_registry.Version,
    table: Table,
    history: ledger.History,
    policy: Policy,
    *,
    run: tracking.Run | None = None,
    answered: Answered | None = None,
) -> deciding.Decision:
    """Measure a version, beside the champion where there is one, and leave the evidence on the run.

    What its graph has answered of the table's rows it is not asked again.
    """
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
        trial = Trial.of(version, current, table, answered)
        if len(trial.actual) < deciding.FEWEST_ROWS:
            held = "both hold out" if current else "it holds out"
            return deciding.cannot_tell(
                f"only {len(trial.actual)} rows that {held}, {deciding.FEWEST_ROWS} are needed: pass more rows"
            )
        decision = trial.decision(policy, history)
    except FilesAway:
        raise  # an outage is no judgement
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
