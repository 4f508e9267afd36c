"""The challenger is judged on the days that came after its last row; where it is better, by the gate, and promoted.

What the shadow says decides whether it is better, in the place of the gate's interval. The gate's other lines are taken
on the same rows: the proofs of its files, the schema, the slices, time and size. The ledger's entry names the monitor's
run, where the evidence is. A challenger that can never be judged is refused: it would stand in the way of the next.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from data.errors import DataError
from data.figures import figure, percent
from data.tables import Table
from training.challenger import Decide, enter
from training.commands import Policy
from training.errors import CannotScore, TrainingError, WeightChanged
from training.gate import Trial, check_same_weight, deciding
from training.lessons import Labelled, gather
from training.pages import evidence
from training.records import ledger, model_registry, tag_names
from training.records.errors import FilesAway, NotOurs, Superseded, Unvouched
from training.retraining.asked import Asked
from training.retraining.facts import days_between
from training.retraining.memory import Memory, Shadowed
from training.succession import Shadow, Verdict, planned
from training.versions.errors import NotLoadable

BY_HAND = "somebody named it challenger"
SHADOW = "mean gain over the champion on later rows"
MOST_ROWS = 100_000
"""Of the shadow's rows that the gate looks at, the newest."""

PERMANENT = (CannotScore, NotLoadable, NotOurs, Unvouched, WeightChanged)
"""Why a challenger can never be judged: columns that nobody sends, its weight, what its files are."""

PATIENCE = 3.0
"""Days without its files, or on which anything else fails, before it is refused: a store may be away for a night."""


def judge(asked: Asked, memory: Memory) -> str:
    """Let the shadow see what is new; return the number of the challenger if it took the champion's place."""
    challenger = _challenger(asked, memory)
    if challenger is None or memory.watched is None:
        return ""
    try:
        decision = _judged(asked, memory, memory.watched, challenger)
    except Superseded as error:  # the next call begins anew, beside the champion that stands then
        asked.say("shadow", f"version {challenger.number} was not decided about: {error}")
        return ""
    if decision is None:
        return ""
    asked.say("decide", f"{decision.word}: {decision.reason}")
    bearer = model_registry.challenger(asked.name)
    if bearer is not None and bearer.number == challenger.number:  # somebody may have named another meanwhile
        model_registry.name_challenger(asked.name, "")
    memory.watched = None
    memory.keep()
    return challenger.number if decision.promoted else ""


def retire(asked: Asked, watched: Shadowed, old: model_registry.Version, new: model_registry.Version) -> None:
    """Enter in the ledger, once, that a challenger makes room undecided for one that learned what an alarm found."""
    verdict = watched.shadow.verdict
    reason = (
        f"retired: version {new.number} takes its place ({new.tags.get(tag_names.CAUSE, '')}); "
        f"in the shadow of version {watched.champion} it was {verdict.word}: {verdict.sentence}"
    )
    retired = deciding.Decision(promoted=False, reason=reason, policy="shadow")
    decision = _decided(asked, watched, old, lambda _: retired)
    asked.say("decide", f"{decision.word}: version {old.number} {decision.reason}")


def _judged(
    asked: Asked, memory: Memory, watched: Shadowed, challenger: model_registry.Version
) -> deciding.Decision | None:
    """Return what was decided about the challenger, None where it is too early to decide."""
    try:
        decide = _seen(asked, memory, watched, challenger)
        return None if decide is None else _decided(asked, watched, challenger, decide)
    except Superseded:
        raise
    except TrainingError as error:  # an alarm must be told all the same
        if not _gives_up(asked, memory, watched, error):
            asked.say("shadow", f"version {challenger.number} cannot be judged today: {error}")
            return None
        decision = deciding.cannot_tell(str(error))
        return _decided(asked, watched, challenger, lambda _: decision)


def _gives_up(asked: Asked, memory: Memory, watched: Shadowed, error: TrainingError) -> bool:
    """Return whether a challenger that cannot be judged is to make room."""
    watched.failing_since = watched.failing_since or asked.matured
    memory.keep()
    failing = days_between(watched.failing_since, asked.matured) or 0.0
    return isinstance(error, PERMANENT) or failing >= PATIENCE


def _challenger(asked: Asked, memory: Memory) -> model_registry.Version | None:
    """Return who is judged: whom the alias names, with a shadow that fits; None where nobody is."""
    challenger = model_registry.challenger(asked.name)
    if challenger is None or challenger.number == asked.champion.number:
        model_registry.name_challenger(asked.name, "")
        if memory.watched:
            memory.watched = None
            memory.keep()
        return None
    watched, pair = memory.watched, (challenger.number, asked.champion.number)
    if watched and (watched.challenger, watched.champion) == pair:
        return challenger
    entries = len(ledger.read(asked.name).entries)
    if watched and watched.challenger == challenger.number:  # the champion is another one by now
        shadow, champion = Shadow(watched.shadow.plan), asked.champion.number
        memory.watched = replace(watched, champion=champion, shadow=shadow, entries=entries, failing_since="")
    else:
        plan = planned(np.zeros(0), independent=asked.independent)
        until = asked.last_day  # nobody knows what it has learned, but nothing that came later
        memory.watched = Shadowed(*pair, until, Shadow(plan), entries, by_hand=True)
    memory.keep()
    return challenger


def _seen(
    asked: Asked, memory: Memory, watched: Shadowed, challenger: model_registry.Version
) -> Decide | None:
    """Let the shadow see days; return how to decide about the challenger, None where it is too early."""
    if why := _never(asked, challenger):
        unknown = deciding.cannot_tell(why)
        return lambda _: unknown
    verdict = _see_days(asked, watched, challenger)
    watched.failing_since = ""
    memory.keep()
    said = f"version {challenger.number} beside {watched.champion}: {verdict.word}: {verdict.sentence}"
    asked.say("shadow", said)
    if verdict.word == "not yet":
        return None
    return lambda history: _by_verdict(asked, watched, challenger, history)


def _never(asked: Asked, challenger: model_registry.Version) -> str:
    """Return why captured rows can never judge a challenger, or nothing; raises WeightChanged, WrongFiles."""
    if challenger.weight:
        return f"rows are weighted by {challenger.weight!r}, which captured rows lack"
    check_same_weight(challenger, asked.champion)
    if challenger.target != asked.champion.target:
        return f"it predicts {challenger.target!r}, the champion {asked.champion.target!r}"
    accepts = deciding.accepts_requests(challenger.schema, asked.champion.schema, Policy())
    return "" if accepts.passed else f"it does not take the {accepts.name}: {accepts.found}"


def _see_days(asked: Asked, watched: Shadowed, challenger: model_registry.Version) -> Verdict:
    """Let the shadow see the days that it has not seen, one after another until it is decided."""
    shadow = watched.shadow
    since = _day_after(max(watched.learned_until, shadow.until))
    for day in asked.champions_days(since):
        if shadow.verdict.word != "not yet":
            break
        known = np.isfinite(day.actual) & np.isfinite(day.predictions)
        if known.any():
            ours = challenger.predict(day.frame[known].reset_index(drop=True))
            shadow.see(day.day, day.actual[known], day.predictions[known], ours)
            asked.run.log_day(watched.champion, day.day, shadow.figures)
    return shadow.verdict


def _decided(
    asked: Asked, watched: Shadowed, challenger: model_registry.Version, decide: Decide
) -> deciding.Decision:
    """Decide, and enter it in the ledger, once: who was killed behind the entry finds it there."""
    history = ledger.settle(asked.name)
    ours = [
        entry
        for entry in history.entries[watched.entries :]
        if entry.to_version == challenger.number and entry.evidence == asked.run.run_id
    ]
    if ours:
        return deciding.Decision(promoted=history.recorded == challenger.number, reason=ours[-1].reason)
    return enter(challenger, decide, run_id=asked.run.run_id, say=asked.say)


def _by_verdict(
    asked: Asked, watched: Shadowed, challenger: model_registry.Version, history: ledger.History
) -> deciding.Decision:
    """Return what the shadow says, and of a better one what the gate says; raises Superseded for another champion."""
    champion = history.current
    if champion is None or champion.number != watched.champion:
        raise Superseded(name=asked.name, champion=history.serving)
    verdict, cause = watched.shadow.verdict, challenger.tags.get(tag_names.CAUSE, BY_HAND)
    told = f"{cause}; in the shadow of version {watched.champion} it is {verdict.word}: {verdict.sentence}"
    if verdict.word != "better":
        return deciding.Decision(promoted=False, reason=told, policy="shadow")
    decision = _by_gate(asked, watched, challenger, history)
    return replace(decision, reason=f"{told}; {decision.reason}")


def _by_gate(
    asked: Asked, watched: Shadowed, challenger: model_registry.Version, history: ledger.History
) -> deciding.Decision:
    """Return what the gate's other lines say on the rows of the shadow."""
    champion = history.current
    assert champion is not None
    try:
        history.check(champion)
        trial = _trial(asked, watched, challenger, champion)
        decision = _with_shadow(trial.decision(Policy(), history), watched, trial.unit)
    except FilesAway:
        raise  # an outage is no judgement
    except (DataError, TrainingError, KeyError) as error:
        return deciding.cannot_tell(str(error))
    title = f"{challenger.name} version {challenger.number}"
    assert trial.theirs is not None
    figures = evidence.figures(decision, trial.actual, trial.ours, trial.theirs, trial.unit)
    asked.run.log_evidence(challenger.number, decision.evidence, evidence.card(title, decision, figures))
    return decision


def _with_shadow(decision: deciding.Decision, watched: Shadowed, unit: str) -> deciding.Decision:
    """Return a decision with the shadow's line for the gate's interval, which is for rows that are looked at once."""
    better = deciding.Check(
        SHADOW, passed=True, found=watched.shadow.verdict.sentence, limit="above 0, at every look"
    )
    checks = (better, *(each for each in decision.checks if each.name != deciding.BETTER))
    failed = [f"{each.name}: {each.found}, must be {each.limit}" for each in checks if not each.passed]
    change = decision.change
    assert change is not None
    figures = (
        f"RMSE {figure(change.challenger, unit)}, {percent(change.change)} of champion version {watched.champion}'s "
        f"{figure(change.champion, unit)} on {change.rows:,} captured rows"
    )
    return replace(
        decision,
        promoted=not failed,
        reason="; ".join([figures, *failed]),
        checks=checks,
        policy="shadow, better",
        notes=("these rows were captured: none of them was learned from, and none is of a holdout",),
        advice="",
    )


def _trial(
    asked: Asked, watched: Shadowed, challenger: model_registry.Version, champion: model_registry.Version
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


def _rows(asked: Asked, watched: Shadowed, challenger: model_registry.Version) -> Labelled:
    seen = asked.newest_first([asked.champion], _day_after(watched.learned_until), watched.shadow.until)
    return gather(seen, list(challenger.schema.names), most=MOST_ROWS)


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat() if day else ""
