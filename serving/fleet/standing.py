"""What MLflow says of a version beyond its files, for people: how it was judged, the last entries, the alarms.

Nothing is served or refused by it. It is asked for where there is a page to show it, and now and then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from serving.registry import ResolvedVersion, promotions
from serving.scorer import version_files

MOST_ENTRIES, LONGEST_TEXT = 5, 400
COVERAGE = "interval_coverage_90"
Told = dict[str, Any]


def standing_of(resolved: ResolvedVersion) -> Told:
    """Return what is known of a registered version, without what is not; raises whatever MLflow's client may."""
    import mlflow  # noqa: PLC0415 - 2 s that a local folder does not need

    client = mlflow.MlflowClient()
    parts = {
        "judged": _judged(client, resolved),
        "entries": _entries(client, resolved.name),
        "monitor": _monitor(client, resolved.name),
    }
    return {name: part for name, part in parts.items() if part}


def _judged(client: Any, resolved: ResolvedVersion) -> Told:
    """Return the holdout's RMSE with its interval and rows, and the share that intervals of 90 % held."""
    version = client.get_model_version(resolved.name, resolved.version)
    metrics = _metrics(client, version.tags.get(version_files.TRAINED_IN_TAG)) | _metrics(
        client, version.run_id
    )
    names = {
        "rmse": "holdout_rmse",
        "low": "holdout_rmse_low",
        "high": "holdout_rmse_high",
        "rows": "rows_holdout",
        "coverage_90": COVERAGE,
    }
    return {short: metrics[name] for short, name in names.items() if name in metrics}


def _metrics(client: Any, run_id: str | None) -> dict[str, float]:
    return dict(client.get_run(run_id).data.metrics) if run_id else {}


def _entries(client: Any, name: str) -> list[Told]:
    """Return the ledger's last entries, the newest first."""
    run = promotions.find_run(client, name)
    entries = promotions.entries_of(name, run.data.params) if run else ()
    return [
        {
            "when": each.when,
            "kind": each.kind,
            "from": each.from_version,
            "to": each.to_version,
            "reason": each.reason[:LONGEST_TEXT],
        }
        for each in reversed(entries[-MOST_ENTRIES:])
    ]


def _monitor(client: Any, name: str) -> Told:
    """Return the alarms that stand, of which version, and when the monitor last ended; nothing where none ever ran."""
    experiment = client.get_experiment_by_name(version_files.MONITORS + name)
    if experiment is None:
        return {}
    order = ["attributes.start_time ASC"]
    for run in client.search_runs([experiment.experiment_id], order_by=order, max_results=1):
        alarms = run.data.tags.get(version_files.ALARM_TAG)
        if alarms:
            ended = datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000.0, tz=UTC)
            return {
                "alarms": "" if alarms == "none" else alarms[:LONGEST_TEXT],
                "version": run.data.tags.get(version_files.WATCHED_TAG, ""),
                "when": ended.isoformat(timespec="seconds"),
            }
    return {}
