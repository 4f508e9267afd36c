"""The challenger is judged on the days that came after its last row; where it is better, by the gate, and promoted.

What the shadow says decides whether it is better. The gate's other lines are taken on the same rows: the proofs of its
files, the schema, the slices, time and size. The ledger's entry names the monitor's run, where the evidence is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from data.errors import DataError
from data.tables import Table
from training.challenger import enter
from training.commands import Policy
from training.errors import TrainingError
from training.gate import Trial, deciding
from training.pages import evidence
from training.records import ledger, model_registry, tag_names
from training.retraining.asked import Asked
from training.retraining.memory import Memory, Watched
from training.retraining.rows import Day, Labelled, gather
from training.succession import Shadow, Verdict, planned

BY_HAND = "somebody named it challenger"
SHADOW = "mean gain over the champion on later rows"
MOST_ROWS = 100_000
"""Of the shadow's rows that the gate looks at, the newest."""


def judge(asked: Asked, memory: Memory) -> bool:
    """Let the shadow see what is new; return whether the challenger took the champion's place."""
    challenger = _challenger(asked, memory)
    if challenger is None or memory.watched is None:
        return False
    watched = memory.watched
    try:
        verdict = _see_days(asked, watched, challenger)
    except (
        TrainingError
    ) as error:  # its files, or columns that nobody sends: an alarm must be told all the same
        asked.say("shadow", f"version {challenger.number} cannot be judged: {error}")
        return False
    memory.keep()
    asked.say(
        "shadow", f"version {challenger.number} beside {watched.champion}: {verdict.word}: {verdict.sentence}"
    )
    if verdict.word == "not yet":
        return False
    decision = _decided(asked, watched, challenger, verdict)
    asked.say("decide", f"{decision.word}: {decision.reason}")
    model_registry.name_challenger(asked.name, "")
    memory.watched = None
    memory.keep()
    return decision.promoted


def _challenger(asked: Asked, memory: Memory) -> model_registry.Version | None:
    """Return who is judged: whom the alias names, with a shadow that fits; None where nobody is."""
    challenger = model_registry.challenger(asked.name)
    if challenger is None or challenger.number == asked.champion.number:
        model_registry.name_challenger(asked.name, "")
        memory.watched = None
        return None
    watched, pair = memory.watched, (challenger.number, asked.champion.number)
    if watched and (watched.challenger, watched.champion) == pair:
        return challenger
    if watched and watched.challenger == challenger.number:  # the champion is another one by now
        plan, until = watched.shadow.plan, watched.learned_until
    else:
        plan = planned(np.zeros(0), independent=asked.independent)
        until = challenger.tags.get(tag_names.LEARNED_UNTIL, asked.matured)
    memory.watched = Watched(*pair, until, Shadow(plan))
    memory.keep()
    return challenger


def _see_days(asked: Asked, watched: Watched, challenger: model_registry.Version) -> Verdict:
    """Let the shadow see the days that it has not seen, one after another until it is decided."""
    shadow = watched.shadow
    since = _day_after(max(watched.learned_until, shadow.until))
    for day in asked.days_until_matured(watched.champion, since):
        if shadow.verdict.word != "not yet":
            break
        known = np.isfinite(day.actual) & np.isfinite(day.predictions)
        if known.any():
            ours = challenger.predict(day.frame[known].reset_index(drop=True))
            shadow.see(day.day, day.actual[known], day.predictions[known], ours)
            asked.run.log_day(watched.champion, day.day, shadow.figures)
    return shadow.verdict


def _decided(
    asked: Asked, watched: Watched, challenger: model_registry.Version, verdict: Verdict
) -> deciding.Decision:
    """Decide, and enter it in the ledger, once: who was killed behind the entry finds it there."""
    history = ledger.settle(asked.name)
    ours = [
        entry
        for entry in history.entries
        if entry.to_version == challenger.number and entry.evidence == asked.run.run_id
    ]
    if ours:
        return deciding.Decision(promoted=history.recorded == challenger.number, reason=ours[-1].reason)
    cause = challenger.tags.get(tag_names.CAUSE, BY_HAND)
    told = f"{cause}; in the shadow of version {watched.champion} it is {verdict.word}: {verdict.sentence}"

    def decide(history: ledger.History) -> deciding.Decision:
        if verdict.word != "better":
            return deciding.Decision(promoted=False, reason=told, policy="shadow")
        decision = _by_gate(asked, watched, challenger, verdict, history)
        return replace(decision, reason=f"{told}; {decision.reason}")

    return enter(challenger, decide, run_id=asked.run.run_id, say=asked.say)


def _by_gate(
    asked: Asked,
    watched: Watched,
    challenger: model_registry.Version,
    verdict: Verdict,
    history: ledger.History,
) -> deciding.Decision:
    """Return what the gate says on the rows of the shadow."""
    champion = history.current
    if champion is None or champion.number != watched.champion:
        return deciding.cannot_tell(f"the champion is version {history.serving or 'none'} by now")
    try:
        history.check(champion)
        trial = _trial(asked, watched, challenger, champion)
        decision = trial.decision(Policy(), history)
    except (DataError, TrainingError, KeyError) as error:
        return deciding.cannot_tell(str(error))
    better = deciding.Check(SHADOW, passed=True, found=verdict.sentence, limit="above 0, at every look")
    decision = replace(decision, checks=(better, *decision.checks), policy="shadow, better")
    title = f"{challenger.name} version {challenger.number}"
    assert trial.theirs is not None
    figures = evidence.figures(decision, trial.actual, trial.ours, trial.theirs, trial.unit)
    asked.run.log_evidence(challenger.number, decision.evidence, evidence.card(title, decision, figures))
    return decision


def _trial(
    asked: Asked, watched: Watched, challenger: model_registry.Version, champion: model_registry.Version
) -> Trial:
    """Return the two on the rows of the shadow, of which neither has learned any."""
    rows = _rows(asked, watched, challenger)
    by_row, by_day = np.arange(len(rows)), rows.numbers_of_days
    kinds = {column.name: column.kind for column in challenger.schema.columns}
    return Trial(
        version=challenger,
        champion=champion,
        rows=Table("captured rows", rows.frame, kinds),
        actual=rows.actual,
        ours=challenger.predict(rows.frame),
        theirs=rows.predictions,
        clusters=by_row if watched.shadow.plan.independent else by_day,
        moments=rows.times.astype("datetime64[us]").astype(np.int64) / 1e6,
        twins=np.zeros(len(rows), dtype=np.bool_),
        training_mean=float(rows.actual.mean()),
    )


def _rows(asked: Asked, watched: Watched, challenger: model_registry.Version) -> Labelled:
    days = asked.days(watched.champion, _day_after(watched.learned_until))
    seen = ((watched.champion, day) for day in _until(days, watched.shadow.until))
    rows = gather(seen, list(challenger.schema.names))
    return rows.take(np.arange(len(rows))[-MOST_ROWS:])


def _until(days: Iterable[Day], last: str) -> Iterator[Day]:
    for day in days:
        if day.day > last:
            return
        yield day


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat() if day else ""
