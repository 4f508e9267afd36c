"""A version is watched: rows of later days, with outcomes or without, against what it was made from.

Rows come from captures, as they were answered, or from a table that is scored here. Each day is taken once: its inputs
when it is over, its outcomes when it has matured. What the monitor knows is kept on its run in MLflow, after the
figures that it covers, and the next call goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

from data.column_names import matching
from data.errors import MissingColumn
from training import retraining
from training.arrivals import Arrivals, Late, Nights, Opened, arrivals_of, explaining, opened
from training.commands import watches
from training.console import Say
from training.errors import CannotWatch, UsageError
from training.jobs import gauges
from training.monitoring import NO_DRIFT, Reference, Watch
from training.pages import watch_page
from training.records import MonitorRun, model_registry, monitor_run, tracking
from training.versions import flavor

History = Mapping[str, Mapping[str, float]]
"""Figures by day, by their names."""

NEXT = {
    "inputs": "look at the columns above: are they measured as before?",
    "errors": "train again, on rows of these days",
    "harm": "train again, on rows of these days",
    "coverage": "mlflow run . --env-manager local -e recalibrate -P name={name} -P data=ROWS",
}
"""What helps against an alarm."""


def monitor(config: watches.MonitorConfig, say: Say) -> bool:
    """Take the days that were not taken yet, and return whether an alarm stands.

    Raises
    ------
    NoSuchVersion, CannotWatch
        There is no version to watch, or it has no reference.
    DataError, CapturesError
        The table or the captures cannot be read, or a row has no time.
    MonitorBusy
        Another monitor is at this model.
    """
    tracking.check_tracking(must_exist=True)
    gauges.check(config.metrics)
    version = model_registry.chosen(config.name, config.version)
    reference = _reference(version)
    result = opened(config, version, reference, say)
    with monitor_run(version.name).alone() as run:
        state = run.state(version.number) or {}
        arrivals = arrivals_of(result, version, state, say)
        watch = _watch(config, reference, version, state, arrivals, say=say)
        Nights(watch, arrivals, run, version, Late.of(state), say).take()
        history = run.history(version.number)
        _conclude(run, _watched(watch, version, history, arrivals), say)
        replaced = False
        try:
            if config.retraining.retrain == "auto" and isinstance(result, Opened):
                replaced = retraining.after(
                    watch, result.places, config, version, run, reference=reference, say=say
                )
        finally:
            gauges.write(config.metrics, _latest(watch, version, history, replaced))
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
    config: watches.MonitorConfig,
    reference: Reference,
    version: model_registry.Version,
    state: Mapping[str, Any],
    arrivals: Arrivals,
    *,
    say: Say,
) -> Watch:
    """Return the watch where it was left; raises UsageError where that was another one."""
    ignored = {matching(name, list(arrivals.names)) for name in config.exclude}
    if unknown := [name for name in ignored if name not in version.schema.names]:
        columns = list(version.schema.names)
        raise MissingColumn(where=version.uri, role="excluded", column=unknown[0], columns=columns)
    watch = Watch(
        _asked(reference.of(independent=config.independent), arrivals),
        int(version.number),
        config.independent,
        tuple(sorted({*ignored, *arrivals.lacking})),
        config.tolerance,
        unit=version.schema.target_unit,
        explain=explaining(version, arrivals, say),
    )
    try:
        if state:
            watch.restore(state if "coverage" not in arrivals.unasked else {**state, "coverage": []})
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            message=f"what the monitor knows of {version.name} version {version.number} {error}: pass exclude, "
            "independent and tolerance as at first, or delete its run"
        ) from error
    return watch


def _asked(reference: Reference, arrivals: Arrivals) -> Reference:
    """Return a reference without what these rows cannot be compared with."""
    if "errors" in arrivals.unasked:
        reference = replace(reference, scores=None, levels=())
    return replace(reference, limit=None) if "harm" in arrivals.unasked else reference


def _latest(watch: Watch, version: model_registry.Version, history: History, replaced: bool) -> gauges.Latest:
    figures = {name: list(days.values())[-1] for name, days in history.items()}
    kinds = [] if replaced else [alarm.kind for alarm in watch.alarms]
    return gauges.Latest(version.name, version.number, figures, kinds, watch.until)


def _conclude(run: MonitorRun, watched: watch_page.ShownWatch, say: Say) -> None:
    """Say which alarms stand, on the run and to the caller."""
    alarms = watched.watch.alarms
    if moved := watch_page.moved_in_words(watched):
        say("moved", moved)
    sentences = [f"{alarm.kind} since {alarm.since}: {alarm.cause}" for alarm in alarms]
    run.say_alarms("\n".join([*sentences, NO_DRIFT]) if sentences else "", watched.number)
    run.log_page(watch_page.page(watched))
    run.close()
    say("see", f"mlflow ui, then {run.page}")
    say("page", run.read_page)
    if not alarms:
        say("quiet", f"no alarm stands; {NO_DRIFT}")
        return
    say("alarms", f"{', '.join(alarm.kind for alarm in alarms)} of version {watched.number}; {NO_DRIFT}")
    for step in watched.steps:
        say("next", step)


def _watched(
    watch: Watch, version: model_registry.Version, history: History, arrivals: Arrivals
) -> watch_page.ShownWatch:
    return watch_page.ShownWatch(
        name=version.name,
        number=version.number,
        unit=version.schema.target_unit,
        watch=watch,
        history=history,
        trained=tracking.recorded_metrics(version.run_id),
        steps=[step.format(name=version.name) for step in _steps({alarm.kind for alarm in watch.alarms})],
        lacking=arrivals.lacking,
        unasked=arrivals.unasked,
    )


def _steps(kinds: Set[str]) -> list[str]:
    """Return what helps: intervals are made anew where they alone fail, for a model that errs more needs another."""
    helpful = [
        kind for kind in NEXT if kind in kinds and (kind != "coverage" or not kinds & {"errors", "harm"})
    ]
    return list(dict.fromkeys(NEXT[kind] for kind in helpful))
