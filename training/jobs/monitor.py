"""A version is watched: rows of later days, with outcomes or without, against what it was made from.

The table is scored here by the version's own files, so that rows need not have been served by us. Each day is taken
once, when it is over; what the monitor knows is kept on its run in MLflow, and the next call goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from data.column_names import matching
from data.errors import MissingColumn, UnusableColumn
from data.tables import Table, row_digests, seconds
from serving.scorer import Scorer
from training import retraining
from training.commands import configs
from training.compiling import pack_frame
from training.errors import CannotScore, CannotWatch, UsageError
from training.jobs import gauges
from training.monitoring import NO_DRIFT, Reference, Watch
from training.pages import watch_page
from training.progress import Say
from training.records import MonitorRun, model_registry, monitor_run, tracking
from training.rows import load_known, open_table
from training.versions import flavor

Floats = NDArray[np.float64]
History = Mapping[str, Mapping[str, float]]
"""Figures by day, by their names."""

NEXT = {
    "inputs": "look at the columns above: are they measured as before?",
    "errors": "train again, on rows of these days",
    "harm": "train again, on rows of these days",
    "coverage": "mlflow run . --env-manager local -e recalibrate -P name={name} -P data=ROWS",
}
"""What helps against an alarm."""


@dataclass(frozen=True)
class Rows:
    """One day's rows: packed, answered, and with their outcomes where these are known."""

    day: str
    matrix: Floats
    answers: Floats
    actual: Floats
    groups: NDArray[np.uint64] | None


def monitor(config: configs.MonitorConfig, say: Say) -> bool:
    """Take the days of a table that were not taken yet, and return whether an alarm stands.

    Raises
    ------
    NoSuchVersion, CannotWatch
        There is no version to watch, or it has no reference.
    DataError
        The table cannot be read, or a row has no time.
    """
    tracking.check_tracking(must_exist=True)
    gauges.check(config.metrics)
    version = model_registry.chosen(config.name, config.version)
    reference = _reference(version)
    table = _table(config, version, say)
    run = monitor_run(version.name)
    watch = _watch(config, reference, run, version, [matching(name, table.names) for name in config.exclude])
    today = datetime.now(tz=UTC).date().isoformat()
    groups = _groups(config, reference, version, table)
    days = [rows for rows in _days(config, version, table, groups) if watch.until < rows.day < today]
    say("watch", f"{version.name} version {version.number}: {len(days)} new days{_until(watch)}")
    for rows in days:
        day = watch.see(rows.day, rows.matrix, rows.answers, rows.actual, rows.groups)
        run.log_day(version.number, day.day, day.figures)
        for alarm in day.raised:
            say("alarm", f"{alarm.kind} since {alarm.since}: {alarm.cause}")
    run.keep(version.number, watch.as_dict())
    history = run.history(version.number)
    _conclude(run, watch, version, history, say)
    gauges.write(config.metrics, _latest(watch, version, history))
    replaced = config.retraining.retrain == "auto" and retraining.after(watch, config, version, run, say)
    return bool(watch.alarms) and not replaced


def _reference(version: model_registry.Version) -> Reference:
    path = version.folder / flavor.REFERENCE
    if not path.is_file():
        why = "it was adopted from a file" if version.adopted else "it was made before versions had one"
        raise CannotWatch(name=version.name, version=version.number, why=why)
    try:
        return Reference.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise CannotWatch(name=version.name, version=version.number, why=f"its reference {error}") from error


def _watch(
    config: configs.MonitorConfig,
    reference: Reference,
    run: MonitorRun,
    version: model_registry.Version,
    ignored: Sequence[str],
) -> Watch:
    """Return the watch where it was left; raises UsageError where that was another one."""
    if unknown := [name for name in ignored if name not in version.schema.names]:
        columns = list(version.schema.names)
        raise MissingColumn(where=version.uri, role="excluded", column=unknown[0], columns=columns)
    watch = Watch(
        reference, int(version.number), config.independent, tuple(sorted(ignored)), config.tolerance
    )
    try:
        if state := run.state(version.number):
            watch.restore(state)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            message=f"what the monitor knows of {version.name} version {version.number} {error}: pass exclude, "
            "independent and tolerance as at first, or delete its run"
        ) from error
    return watch


def _table(config: configs.MonitorConfig, version: model_registry.Version, say: Say) -> Table:
    recorded = tracking.recorded_params(version.run_id)
    source = open_table(config, say, recorded)
    table = load_known(source, version.schema, version.split.kinds, configs.asked_then(recorded))
    say("read", f"{len(table):,} rows from {table.where}")
    return table


def _groups(
    config: configs.MonitorConfig, reference: Reference, version: model_registry.Version, table: Table
) -> NDArray[np.uint64] | None:
    """Return which rows are alike, as the version's split had them.

    Raises
    ------
    UsageError
        The table does not say it, and more than one row of a day is asked for.
    """
    lacking = [name for name in reference.group if name not in table.frame]
    if lacking and config.independent:
        raise UsageError(
            message=f"{table.where} has no column {lacking[0]!r}, whose groups {version.name} version "
            f"{version.number} was split by: add it, or pass independent=false for one row of each day"
        )
    if lacking or not reference.group:
        return None
    rule = version.split
    return row_digests(table, reference.group, salt=rule.salt, kinds=rule.kinds, values=rule.values)


def _days(
    config: configs.MonitorConfig,
    version: model_registry.Version,
    table: Table,
    groups: NDArray[np.uint64] | None,
) -> Iterator[Rows]:
    """Yield the rows day by day, in UTC, oldest first."""
    moments = _moments(config, table)
    lacking = [name for name in version.schema.names if name not in table.frame]
    if lacking:
        raise CannotScore(name=version.name, version=version.number, column=lacking[0])
    matrix = pack_frame(table.frame, version.schema)
    answers = Scorer.load(version.scorer_folder).predict_with_scale(matrix)
    known = version.target in table.frame
    actual = table.numbers(version.target) if known else np.full(len(table), np.nan)
    day = np.floor(moments / 86_400.0).astype(np.int64)
    for number in np.unique(day):
        rows = day == number
        label = datetime.fromtimestamp(int(number) * 86_400, tz=UTC).date().isoformat()
        alike = None if groups is None else groups[rows]
        yield Rows(label, matrix[rows], answers[rows], actual[rows], alike)


def _moments(config: configs.MonitorConfig, table: Table) -> Floats:
    """Return when each row was, in seconds since 1970; raises MissingColumn or UnusableColumn."""
    column = matching(config.time_column, table.names)
    if column not in table.frame:
        raise MissingColumn(where=table.where, role="time", column=column, columns=table.names)
    if table.kinds[column] != "datetime":
        found = "holds no dates"
        raise UnusableColumn(column=column, row=1, found=found, repair="name the column of the rows' dates")
    moments = seconds(table.frame[column])
    if np.isnan(moments).any():
        row = int(np.flatnonzero(np.isnan(moments))[0]) + 1
        raise UnusableColumn(column=column, row=row, found="is missing", repair="leave such rows out")
    return moments


def _until(watch: Watch) -> str:
    return f" after {watch.until}" if watch.until else ""


def _latest(watch: Watch, version: model_registry.Version, history: History) -> gauges.Latest:
    figures = {name: list(days.values())[-1] for name, days in history.items()}
    kinds = [alarm.kind for alarm in watch.alarms]
    return gauges.Latest(version.name, version.number, figures, kinds, watch.until)


def _conclude(
    run: MonitorRun, watch: Watch, version: model_registry.Version, history: History, say: Say
) -> None:
    """Say which alarms stand, on the run and to the caller."""
    sentences = [f"{alarm.kind} since {alarm.since}: {alarm.cause}" for alarm in watch.alarms]
    run.say_alarms("\n".join([*sentences, NO_DRIFT]) if sentences else "")
    steps = [step.format(name=version.name) for step in _steps({alarm.kind for alarm in watch.alarms})]
    run.log_page(watch_page.page(_watched(watch, version, history, steps)))
    run.close()
    say("see", f"mlflow ui, then {run.page}")
    say("page", run.read_page)
    if not watch.alarms:
        say("quiet", f"no alarm stands; {NO_DRIFT}")
        return
    say(
        "alarms", f"{', '.join(alarm.kind for alarm in watch.alarms)} of version {version.number}; {NO_DRIFT}"
    )
    for step in steps:
        say("next", step)


def _watched(
    watch: Watch, version: model_registry.Version, history: History, steps: Sequence[str]
) -> watch_page.Watched:
    return watch_page.Watched(
        name=version.name,
        number=version.number,
        unit=version.schema.target_unit,
        watch=watch,
        history=history,
        trained=tracking.recorded_metrics(version.run_id),
        steps=steps,
    )


def _steps(kinds: Set[str]) -> list[str]:
    """Return what helps: intervals are made anew where they alone fail, for a model that errs more needs another."""
    helpful = [
        kind for kind in NEXT if kind in kinds and (kind != "coverage" or not kinds & {"errors", "harm"})
    ]
    return list(dict.fromkeys(NEXT[kind] for kind in helpful))
