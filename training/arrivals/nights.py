"""The days that one call of the monitor takes: opened, seen by the watch, logged, and only then known as taken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from training import archive
from training.arrivals.day import Arrivals
from training.arrivals.from_captures import Opened, captured
from training.arrivals.from_tables import TableDays, of_table
from training.arrivals.late import Late
from training.commands import watches
from training.console import Say
from training.errors import UsageError
from training.monitoring import Reference, Watch
from training.records import MonitorRun, model_registry

KEPT_EVERY = 60.0
"""Seconds after which the state is kept, where a call takes many days."""


def opened(
    config: watches.MonitorConfig, version: model_registry.Version, reference: Reference, say: Say
) -> TableDays | Opened:
    """Return a table that was read, or captures, as Parquet."""
    if not config.captures:
        return of_table(config, version, reference, say)
    _refuse_groups(config, reference, version)
    places, before = archive.found_at(config.captures), datetime.now(tz=UTC)
    archive.compact(places, say)
    return Opened(places, before, config.mature, bool(reference.group))


def _refuse_groups(
    config: watches.MonitorConfig, reference: Reference, version: model_registry.Version
) -> None:
    """Raise UsageError where more than one row of a day is asked for, and captures do not tell groups."""
    if reference.group and config.independent:
        raise UsageError(
            message=f"captures have no column {reference.group[0]!r}, whose groups {version.name} version "
            f"{version.number} was split by: pass independent=false for one row of each day"
        )


def arrivals_of(
    found: TableDays | Opened, version: model_registry.Version, state: Mapping[str, Any], say: Say
) -> Arrivals:
    """Return the days of what was opened; raises NoCaptures."""
    arrivals = found if isinstance(found, TableDays) else captured(found, version, state, say)
    for kind, why in arrivals.unasked.items():
        say("watch", f"{kind} cannot alarm: {why}")
    return arrivals


@dataclass(frozen=True)
class Nights:
    """The days that one call takes."""

    watch: Watch
    arrivals: Arrivals
    run: MonitorRun
    version: model_registry.Version
    late: Late
    say: Say

    def take(self) -> None:
        """See the inputs of days that are over and the outcomes of days that have matured; keep what is known then."""
        watch, over = self.watch, self.arrivals.over
        new = {day for day in self.arrivals.days if watch.until < day <= over}
        ripe = {day for day in self.arrivals.days if watch.outcomes_until < day <= self.arrivals.matured}
        after = f" after {watch.until}" if watch.until else ""
        self.say("watch", f"{self.version.name} version {self.version.number}: {len(new)} new days{after}")
        self._count_late()
        kept = time.monotonic()
        for day in sorted(new | ripe):
            self._see(day, is_new=day in new, is_ripe=day in ripe)
            if time.monotonic() - kept > KEPT_EVERY:
                kept = self._keep()
        self._keep()

    def _count_late(self) -> None:
        before, result = dict(self.late.late), self.late.found(self.arrivals, self.watch.until)
        for day, rows in result.items():
            self.run.log_day(self.version.number, day, {"rows_late": float(rows)})
        if result:
            rows = sum(rows - before.get(day, 0) for day, rows in result.items())
            self.say("watch", f"{rows:,} rows came late for days already taken, and are not counted")

    def _see(self, day: str, *, is_new: bool, is_ripe: bool) -> None:
        rows = self.arrivals.read(day)
        if rows is None:
            return
        if is_new:
            self.late.taken[day] = self.arrivals.count(day)
        seen = [self.watch.see_inputs(day, rows.matrix, rows.answers, rows.groups)] if is_new else []
        seen += [self.watch.see_outcomes(day, rows.answers, rows.actual, rows.groups)] if is_ripe else []
        figures = {name: value for part in seen for name, value in part.figures.items()}
        self.run.log_day(self.version.number, day, {**figures, **(rows.of_labels if is_ripe else {})})
        for alarm in (alarm for part in seen for alarm in part.raised):
            self.say("alarm", f"{alarm.kind} since {alarm.since}: {alarm.cause}")

    def _keep(self) -> float:
        """Keep the state, and return when; before the first day there is none."""
        if self.watch.until:
            kept = [each for each in self.arrivals.names if each not in self.arrivals.lacking]
            self.run.keep(self.version.number, self.watch.as_dict() | {"kept": kept} | self.late.as_dict())
        return time.monotonic()
