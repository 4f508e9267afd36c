"""A version is promoted by hand, through the same gate, on the rows that it was trained from."""

from __future__ import annotations

from collections.abc import Mapping

from data.checks import check_table
from data.tables import Table
from training.challenger import Outcome, enter, judge, registering
from training.commands import registered, rereading
from training.console import Say
from training.errors import UsageError
from training.gate import deciding
from training.records import ledger, model_registry, tracking
from training.rows import open_table, parts
from training.rows.known import how_read, known_parts, load_known

OTHERWISE = "pass a part of it (data=...), such as one of its files, or more memory=..."
"""What to do about a table that memory has no room for, where the split looks at all rows at once."""


def promote(config: registered.PromoteConfig, say: Say) -> Outcome:
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
    with tracking.open_run(config.name, config.job) as run:
        decision = enter(
            version,
            lambda history: _judge_again(config, version, history, run, say),
            run_id=run.run_id,
            say=say,
            kind="forced" if config.force else "promotion",
        )
        run.log(tags=registering.tags_of(version, decision))
        registering.say_decision(decision, say)
        return Outcome(version, decision, run.run_id)


def _judge_again(
    config: registered.PromoteConfig,
    version: model_registry.Version,
    history: ledger.History,
    run: tracking.Run | None,
    say: Say,
) -> deciding.Decision:
    if history.serving == version.number:
        return deciding.Decision(promoted=False, reason=f"version {version.number} is the champion already")
    if config.force:
        return deciding.forced(config.reason)
    recorded = how_read.recorded_of(version)
    where = config.data or recorded.get("data", "")
    if not where:
        raise UsageError(
            message=f"{version.name} version {version.number} recorded no table: pass rows to judge by, data=..."
        )
    rereading.refuse_masked("" if config.data else where, "" if config.query else recorded.get("query", ""))
    table = _rows_of(config, version, recorded, say)
    table = check_table(table, target=version.target, weight=version.weight).table
    say("read", f"{len(table):,} rows from {table.where}")
    return judge(version, table, history, config.policy, run=run)


def _rows_of(
    config: registered.PromoteConfig,
    version: model_registry.Version,
    recorded: Mapping[str, str],
    say: Say,
) -> Table:
    """Return the rows to judge by: all, or a sample of each side of a table that memory does not hold."""
    source, asked = open_table(config, say, recorded), how_read.again(version, recorded)
    kinds, room = version.split.kinds, parts.room_for(source, config.memory)
    if room is None:
        return load_known(source, version.schema, kinds, asked)
    form = known_parts.form_for(source, version.schema, kinds, asked, room)
    some = known_parts.judged(form, version.split, version.target, version.weight, otherwise=OTHERWISE)
    say("sample", some.in_words)
    return some.table
