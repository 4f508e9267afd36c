"""A challenger is trained from captured rows: their table, what holds them back, the training, what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError
from data.tables import Table
from training import lessons
from training.commands import parse, registered, rereading, trainings
from training.errors import TrainingError, UsageError
from training.lessons import Labelled, Shape, day_means, gather
from training.records import ledger, model_registry, tag_names, tracking
from training.records.errors import FilesAway
from training.retraining import contract, process, verdicts
from training.retraining.asked import Asked
from training.retraining.memory import BegunTraining, Memory, Shadowed
from training.rows import open_table, parts
from training.rows.known import how_read, load_known
from training.succession import ACTING, Plan, RetrainDecision, Shadow, gains, planned

AS_BEFORE = ("seed", "time_budget", "memory", "trials", "monotonic", "strict", "explain")
"""What a retraining takes from the training of the champion; the split and the weight the name's versions keep.

An engine is not: its cluster may be gone, and captured rows seldom need one.
"""

FIRST_READ = "first_table.json"
"""Of a run that learned from captured rows: what was recorded of the table that its name was first trained from."""


@dataclass(frozen=True)
class Lesson:
    """The captured rows that are learned from, which they are in words, and the first day where they are not all."""

    rows: Labelled
    which: str
    since: str = ""


def teach(asked: Asked, memory: Memory, rows: Labelled, decision: RetrainDecision, lock: int) -> str:
    """Train a challenger; return why there is none, or nothing.

    What cannot be learned from, and a training that fails, is an answer and no error: it is asked again with the next
    day's rows.
    """
    try:
        shape = shape_of(asked.champion)
        first = _first_table(asked)
        lesson = _lesson(asked, rows, decision.cause)
        captured = lessons.table_of(lesson.rows, shape, f"captured rows of {asked.name}")
        kept = contract.kept_contract(asked)
        lessons.hold(captured, lesson.rows.days, shape, kept.contract, asked.unwatched)
        whole = _joined(asked, first, captured, shape, decision.cause)
        path = (
            asked.trainings / f"{asked.name}-{asked.champion.number}-{decision.cause}-{asked.matured}.parquet"
        )
        lessons.write(path, whole)
    except (DataError, TrainingError, OSError) as error:
        said = "; ".join(str(error).split("\n  "))
        return f"{said}{_remedy(asked)}" if isinstance(error, DataError) else said
    asked.say("learn", f"{len(whole):,} rows, {len(captured):,} of them captured ({lesson.which}): {path}")
    memory.begun = BegunTraining(
        table=str(path),
        sentence=decision.sentence,
        until=asked.matured,
        first_table=first.get("data", ""),
        first_read=first,
        before=memory.trained_on,
        since=lesson.since,
        contract=kept.text,
    )
    memory.trained_on = asked.matured
    memory.keep()
    trained = process.train(_words(asked, path, shape), lock)
    if not trained.version:
        memory.begun = None
        memory.keep()
    elif away := finish(asked, memory):
        asked.say("challenger", away)
    return trained.refused


def finish(asked: Asked, memory: Memory) -> str:
    """Let the version that a training made become the challenger, where it made one; else it was killed.

    Returns
    -------
    What has to be there before that can be done, where the store is away: all is left to the next call. Or nothing.
    """
    begun = memory.begun
    if begun is None:
        return ""
    made = next((each for each in _later(asked) if _table_of_run(each) == begun.table), None)
    if made is None:
        memory.trained_on = begun.before
    else:
        try:
            _name(asked, memory, _told(made, begun), begun)
        except FilesAway as error:
            return f"version {made.number} waits to be judged: {error}; delete it if they will not come back"
        memory.challenged_on = begun.until
    memory.begun = None
    memory.keep()
    return ""


def _name(asked: Asked, memory: Memory, made: model_registry.Version, begun: BegunTraining) -> None:
    """Let a version be the challenger, in the place of one that was judged, unless a person named another meanwhile."""
    bearer, champion = model_registry.challenger(asked.name), model_registry.champion(asked.name)
    others = bearer is not None and bearer.number not in (made.number, champion and champion.number)
    other, old = bearer if others else None, memory.watched
    if other and (old is None or other.number != old.challenger):
        asked.say(
            "challenger", f"{asked.name} version {made.number} is not: version {other.number} was named"
        )
        return
    shadow, entries = Shadow(_plan(asked, made, begun)), len(ledger.read(asked.name).entries)
    if other and old:
        verdicts.retire(asked, old, other, made)
    model_registry.name_challenger(asked.name, made.number)
    pair = made.number, asked.champion.number
    memory.watched = Shadowed(*pair, begun.until, shadow, entries, since=begun.since)
    asked.say(
        "challenger", f"{asked.name} version {made.number}: {begun.sentence}; judged {_how(shadow.plan)}"
    )


def shape_of(version: model_registry.Version) -> Shape:
    """Return what a table for a training of a version's name has to have; raises NotOurs."""
    return Shape(version.name, version.schema, version.split, version.weight, version.time_column)


def _lesson(asked: Asked, rows: Labelled, cause: str) -> Lesson:
    """Return what is learned from: after an alarm what came before it is another world's, if enough came since."""
    if asked.wishes.learn != "auto" or cause not in ACTING:
        return Lesson(rows, "all of them")
    since = asked.changed_on
    new = rows.take(rows.days >= since)
    if len(new) >= min(asked.enough, len(rows)):
        return Lesson(new, f"those since the alarm of {since}", since)
    return Lesson(
        rows, f"all of them: {len(new):,} came since the alarm of {since}, {asked.enough:,} are enough alone"
    )


def _joined(asked: Asked, first: Mapping[str, str], captured: Table, shape: Shape, cause: str) -> Table:
    """Return what is learned from: after an alarm the first table is another world's, unless it was asked for."""
    wish = asked.wishes.learn
    if wish == "captured" or (wish == "auto" and cause in ACTING):
        return captured
    if not first.get("data"):
        raise UsageError(
            message=f"nobody wrote down what {asked.name} was first trained from: pass learn=captured"
        )
    rereading.refuse_masked(first["data"], first.get("query", ""))
    memory = tracking.recorded_command(asked.champion.trained_in).get("memory") or "auto"
    config = parse(["recalibrate", f"--name={asked.name}", f"--data={first['data']}", f"--memory={memory}"])
    assert isinstance(config, registered.RecalibrateConfig)
    source = open_table(config, asked.say, first)
    if any(parts.room_for(source, most) is not None for most in (None, config.memory)):
        raise UsageError(
            message=f"{source.where}, from which {asked.name} was first trained, takes more memory than there is: "
            "pass learn=captured"
        )
    known = load_known(source, shape.schema, shape.rule.kinds, how_read.again(asked.champion, first))
    return lessons.joined(known, captured)


def _first_table(asked: Asked) -> Mapping[str, str]:
    """Return where the table is that the name was first trained from, and how it is written."""
    training = asked.champion.trained_in
    if kept := tracking.recorded_json(training, FIRST_READ):
        return kept
    address = tracking.recorded_tags(training).get(tag_names.FIRST_TABLE, "")
    if not address:
        return how_read.recorded_of(asked.champion)
    runs = [each.run_id for each in model_registry.versions(asked.name) if each.run_id]
    params = (tracking.recorded_params(run_id) for run_id in runs)
    return next((each for each in params if each.get("data") == address), {"data": address})


def _words(asked: Asked, path: Path, shape: Shape) -> Mapping[str, str]:
    """Return the parameters of the training: those of the champion's, on another table."""
    recorded = tracking.recorded_command(asked.champion.trained_in)
    before = [f"--{name}={recorded[name]}" for name in AS_BEFORE if recorded.get(name)]
    schema = shape.schema
    config = parse(["train", f"--data={path}", f"--target={schema.target}", f"--name={shape.name}", *before])
    assert isinstance(config, trainings.TrainConfig)
    units = {column.name: column.unit for column in schema.columns} | {schema.target: schema.target_unit}
    reserved = (*shape.rule.reserved, shape.time_column)
    config = replace(
        config,
        exclude=tuple(name for name in shape.others if name not in reserved),
        units=tuple((name, unit) for name, unit in units.items() if unit),
    )
    if shape.time_column:  # which goes with a split that is said; others than these were refused
        config = replace(config, split=shape.rule.method, time_column=shape.time_column)
    return {name: word for name, word in config.as_params().items() if word}


def _told(made: model_registry.Version, begun: BegunTraining) -> model_registry.Version:
    """Return the version as it is after this: write on the version and its run why it was made and from what."""
    tags = {tag_names.CAUSE: begun.sentence[:5000], tag_names.LEARNED_UNTIL: begun.until}
    texts = {tracking.CONTRACT: begun.contract} if begun.contract else {}
    texts |= {FIRST_READ: json.dumps(dict(begun.first_read))} if begun.first_read else {}
    tracking.add_to_run(made.run_id, tags | {tag_names.FIRST_TABLE: begun.first_table}, texts)
    model_registry.tag(made.name, made.number, tags)
    return model_registry.version(made.name, made.number)


def _plan(asked: Asked, made: model_registry.Version, begun: BegunTraining) -> Plan:
    """Return how the challenger is judged, by the rows that it held out and the champion answered.

    One that cannot be asked is planned as one that shows no gain: the shadow will say what is wrong with it. Raises
    FilesAway where the store does not answer, for nothing is known then.
    """
    try:
        draws = _held_out_gains(asked, made, begun)
    except FilesAway:
        raise  # an outage is no gain of zero
    except (DataError, TrainingError):
        draws = np.zeros(0)
    return planned(draws, independent=asked.independent)


def _held_out_gains(asked: Asked, made: model_registry.Version, begun: BegunTraining) -> NDArray[np.float64]:
    days = asked.newest_first([asked.champion], begun.since, begun.until)
    rows = gather(days, list(asked.champion.schema.names))
    rows = rows.take(made.held_out(lessons.table_of(rows, shape_of(made), "captured rows")))
    if not len(rows):
        return rows.actual
    result = gains(rows.actual, rows.predictions, made.predict(rows.frame))
    return result if asked.independent else day_means(result, rows.numbers_of_days)


def _later(asked: Asked) -> list[model_registry.Version]:
    """Return the versions after the champion, the newest first."""
    number = int(asked.champion.number)
    return [each for each in model_registry.versions(asked.name)[::-1] if int(each.number) > number]


def _table_of_run(version: model_registry.Version) -> str:
    return tracking.recorded_params(version.run_id).get("data", "") if version.run_id else ""


def _how(plan: Plan) -> str:
    return f"on {plan.draws:,} later {plan.unit} or so"


def _remedy(asked: Asked) -> str:
    if asked.wishes.contract:
        return ""
    return "; mend what measures them, withdraw the outcomes of such rows, or pass contract=FILE that allows them"
