"""A challenger is trained from captured rows: their table, what holds them back, the training, what is kept of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from data import contracts
from data.contracts import Contract
from data.errors import DataError
from data.tables import Table
from data.temporary import own_folder
from training.commands import parse, registered, rereading, trainings
from training.errors import TrainingError
from training.records import model_registry, tag_names, tracking
from training.retraining import process, table
from training.retraining.asked import Asked
from training.retraining.facts import labelled_rows
from training.retraining.memory import Begun, Memory, Watched
from training.retraining.rows import Labelled, day_means
from training.retraining.table import Shape
from training.rows import load_known, open_table
from training.succession import ACTING, Decision, Plan, Shadow, gains, planned

CONTRACT = "contract.yaml"
AS_BEFORE = ("seed", "time_budget", "trials", "monotonic", "strict")
"""What a retraining takes from the training of the champion; the split and the weight the name's versions keep."""


@dataclass(frozen=True)
class Kept:
    """What captured rows are held to, and its text where it is a file."""

    contract: Contract
    text: str = ""


def teach(asked: Asked, memory: Memory, rows: Labelled, decision: Decision, lock: int) -> str:
    """Train a challenger; return why there is none, or nothing.

    What cannot be learned from, and a training that fails, is an answer and no error: it is asked again with the next
    day's rows.
    """
    try:
        shape = shape_of(asked.champion)
        first = _first_table(asked)
        captured = table.table_of(rows, shape, f"captured rows of {asked.name}")
        table.hold(captured, shape, kept_contract(asked).contract, asked.unwatched)
        whole = _joined(asked, first, captured, shape, decision.cause)
        path = (
            asked.trainings / f"{asked.name}-{asked.champion.number}-{decision.cause}-{asked.matured}.parquet"
        )
        table.write(path, whole)
    except (DataError, TrainingError, OSError) as error:
        said = "; ".join(str(error).split("\n  "))
        return f"{said}{_remedy(asked)}" if isinstance(error, DataError) else said
    asked.say("learn", f"{len(whole):,} rows, {len(rows):,} of them captured: {path}")
    address = first.get("data", "")
    memory.begun = Begun(str(path), decision.sentence, asked.matured, address, memory.trained_on)
    memory.trained_on = asked.matured
    memory.keep()
    trained = process.train(_words(asked, path, shape), lock)
    if trained.version:
        finish(asked, memory)
    else:
        memory.begun = None
        memory.keep()
    return trained.refused


def finish(asked: Asked, memory: Memory) -> None:
    """Let the version that a training made become the challenger, where it made one; else it was killed."""
    begun = memory.begun
    if begun is None:
        return
    made = next((each for each in _later(asked) if _table_of_run(each) == begun.table), None)
    memory.begun = None
    if made is None:
        memory.trained_on = begun.before
    else:
        made = _told(asked, made, begun)
        model_registry.name_challenger(asked.name, made.number)
        shadow = Shadow(_plan(asked, made))
        memory.watched = Watched(made.number, asked.champion.number, begun.until, shadow)
        asked.say(
            "challenger", f"{asked.name} version {made.number}: {begun.sentence}; judged {_how(shadow.plan)}"
        )
    memory.keep()


def shape_of(version: model_registry.Version) -> Shape:
    """Return what a table for a training of a version's name has to have; raises NotOurs."""
    return Shape(version.name, version.schema, version.split, version.weight)


def kept_contract(asked: Asked) -> Kept:
    """Return what captured rows are held to; raises ContractError where a file that was given is none."""
    if asked.wishes.contract:
        path = Path(asked.wishes.contract)
        return Kept(contracts.read(path), path.read_text(encoding="utf-8"))
    if text := tracking.recorded_text(asked.champion.run_id, CONTRACT):
        with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
            path = Path(folder) / CONTRACT
            path.write_text(text, encoding="utf-8")
            where = f"the contract of {asked.name} version {asked.champion.number}"
            return Kept(replace(contracts.read(path), where=where), text)
    where = f"the rows that {asked.name} version {asked.champion.number} was made from"
    return Kept(table.contract_of(asked.champion.schema, asked.reference, where))


def _joined(asked: Asked, first: Mapping[str, str], captured: Table, shape: Shape, cause: str) -> Table:
    """Return what is learned from: after an alarm the first table is another world's, unless it was asked for."""
    wish = asked.wishes.learn
    if wish == "captured" or (wish == "auto" and cause in ACTING):
        return captured
    rereading.refuse_masked(first.get("data", ""), first.get("query", ""))
    source = open_table(registered.RecalibrateConfig(name=asked.name, data=first["data"]), asked.say, first)
    known = load_known(source, shape.schema, shape.rule.kinds, rereading.asked_then(first))
    return table.joined(known, captured)


def _first_table(asked: Asked) -> Mapping[str, str]:
    """Return where the table is that the name was first trained from, and how it is written."""
    tags = tracking.recorded_tags(asked.champion.run_id)
    address = tags.get(tag_names.FIRST_TABLE, "")
    if not address:
        return tracking.recorded_params(asked.champion.run_id)
    runs = [each.run_id for each in model_registry.versions(asked.name) if each.run_id]
    params = (tracking.recorded_params(run_id) for run_id in runs)
    return next((each for each in params if each.get("data") == address), {"data": address})


def _words(asked: Asked, path: Path, shape: Shape) -> Mapping[str, str]:
    """Return the parameters of the training: those of the champion's, on another table."""
    recorded = tracking.recorded_command(asked.champion.run_id)
    before = [f"--{name}={recorded[name]}" for name in AS_BEFORE if recorded.get(name)]
    schema = shape.schema
    config = parse(["train", f"--data={path}", f"--target={schema.target}", f"--name={shape.name}", *before])
    assert isinstance(config, trainings.TrainConfig)
    units = {column.name: column.unit for column in schema.columns} | {schema.target: schema.target_unit}
    config = replace(
        config,
        exclude=tuple(name for name in shape.others if name not in shape.rule.reserved),
        units=tuple((name, unit) for name, unit in units.items() if unit),
    )
    return {name: word for name, word in config.as_params().items() if word}


def _told(asked: Asked, made: model_registry.Version, begun: Begun) -> model_registry.Version:
    """Return the version as it is after this: write on the version and its run why it was made and from what."""
    tags = {tag_names.CAUSE: begun.sentence[:5000], tag_names.LEARNED_UNTIL: begun.until}
    texts = {CONTRACT: text} if (text := kept_contract(asked).text) else {}
    tracking.add_to_run(made.run_id, tags | {tag_names.FIRST_TABLE: begun.first_table}, texts)
    model_registry.tag(made.name, made.number, tags)
    return model_registry.version(made.name, made.number)


def _plan(asked: Asked, made: model_registry.Version) -> Plan:
    """Return how the challenger is judged, by the rows that it held out and the champion answered."""
    rows = labelled_rows(asked)
    rows = rows.take(
        (rows.days <= made.tags[tag_names.LEARNED_UNTIL]) & (rows.versions == asked.champion.number)
    )
    rows = rows.take(made.held_out(table.table_of(rows, shape_of(made), "captured rows")))
    if not len(rows):
        return planned(rows.actual, independent=asked.independent)
    found = gains(rows.actual, rows.predictions, made.predict(rows.frame))
    draws = found if asked.independent else day_means(found, rows.numbers_of_days)
    return planned(draws, independent=asked.independent)


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
