"""A monitor's latest figures as a file that Prometheus' node exporter reads (its textfile collector).

The monitor is a command that ends: nobody could ask it for its figures. The file is written whole or not at all, one
a model. A file that is no longer written says so itself: the last day in it stays behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from training.errors import UsageError

KINDS = ("inputs", "errors", "harm", "coverage")
"""Of alarms."""

EVIDENCE, COVERAGE = "evidence_", "interval_coverage_"
"""How the names of such figures begin in MLflow."""


@dataclass(frozen=True)
class Latest:
    """What is known of a version.

    Attributes
    ----------
    figures : mapping of str to float
        The last of each, by their MLflow names.
    alarms : sequence of str
        The kinds that stand.
    until : str
        The last day, an ISO date, or nothing before the first.
    """

    model: str
    version: str
    figures: Mapping[str, float]
    alarms: Sequence[str]
    until: str


def check(path: str) -> None:
    """Raise UsageError where no such file can be written: before the work, not after it."""
    folder = Path(path).parent
    if path and not folder.is_dir():
        raise UsageError(
            message=f"metrics: {path} cannot be written: there is no folder {folder}: name a file in one that exists"
        )


def write(path: str, latest: Latest) -> None:
    """Write the file; nothing without a path. Raises UsageError."""
    if not path:
        return
    try:
        write_to_textfile(path, _registry(latest))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            message=f"metrics: {path} cannot be written: {reason}: what was found is in MLflow all the same"
        ) from error


def _registry(latest: Latest) -> CollectorRegistry:
    registry, figures = CollectorRegistry(), latest.figures

    def gauge(name: str, text: str, values: Mapping[str, float], label: str = "") -> None:
        labels = ["model", "version", *([label] if label else [])]
        made = Gauge(f"slipway_monitor_{name}", text, labels, registry=registry)
        for value_of, value in values.items():
            made.labels(latest.model, latest.version, *([value_of] if label else [])).set(value)

    evidence = _named(figures, EVIDENCE)
    levels = {f"{int(level) / 100:g}": value for level, value in _named(figures, COVERAGE).items()}
    alarms = {kind: float(kind in latest.alarms) for kind in KINDS}
    gauge("evidence", "Base-10 logarithm of the wealth that bets on a change have won.", evidence, "question")
    gauge("alarm", "1 where an alarm of this kind stands.", alarms, "kind")
    gauge("rmse", "RMSE of the last day with outcomes, in the target's unit.", _only(figures, "rmse"))
    gauge("coverage", "Share of that day's outcomes inside the intervals of a level.", levels, "level")
    gauge("labelled_share", "Share of that day's rows with an outcome.", _only(figures, "labelled_share"))
    gauge("last_day_timestamp_seconds", "When the last day that was taken began.", _moment(latest.until))
    return registry


def _named(figures: Mapping[str, float], start: str) -> dict[str, float]:
    return {name.removeprefix(start): value for name, value in figures.items() if name.startswith(start)}


def _only(figures: Mapping[str, float], name: str) -> dict[str, float]:
    return {name: figures[name]} if name in figures else {}


def _moment(day: str) -> dict[str, float]:
    return {"until": datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()} if day else {}
