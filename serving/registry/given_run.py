"""The run that `mlflow run` opens before a command begins: named after what came of it, and gone where nothing did.

MLflow opens one for every entry point, in the experiment "Default" where nobody named another. A command that only
reads has nothing to record, and `train` has a run of its own in the model's experiment: theirs is closed, and deleted
by a later command, since `mlflow run` writes on it once more after the command has ended. MLflow's UI hides what is
deleted, `mlflow gc` removes it. What was refused stays, with the reason; in an experiment that somebody named, every
run does. It decides nothing, and no command fails because of it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from data.redaction import addresses_around, redact

DEFAULT_EXPERIMENT = "0"
JOB_TAG = "slipway.job"
"""Of a run: what was asked for, in words, such as `check houses.csv`."""

REASON_TAG = "slipway.reason"
EMPTY_TAG = "slipway.empty"
"""Of a run that a later command deletes: it holds nothing."""

PATIENCE_MS = 60_000
"""After its end, in which `mlflow run` writes on it."""

BEGINS_WITHIN_MS = 3_600_000
"""The longest that `mlflow run` may take for an environment; a run whose command has not begun by then never will."""

logger = logging.getLogger(__name__)


def run_id() -> str:
    """Return the run's id, or nothing where `mlflow run` has opened none, or the command took it for its own."""
    return os.environ.get("MLFLOW_RUN_ID", "")


def is_chosen(experiment_id: str) -> bool:
    """Return whether somebody named the experiment that MLflow has opened a run in."""
    return experiment_id != DEFAULT_EXPERIMENT or bool(os.environ.get("MLFLOW_EXPERIMENT_NAME"))


def load() -> None:
    """Import MLflow where `mlflow run` has started the command, so that its caller can have a signal wait meanwhile."""
    if run_id():
        import mlflow  # noqa: F401, PLC0415 - 2 s, for those whom `mlflow run` has started


def began(job: str) -> None:
    """Name the run after what it is for, delete the empty ones, and close those whose commands never began."""
    _try(lambda client: _begin(client, run_id(), job))


def done(job: str) -> None:
    """Close the run of a command that has nothing to record."""
    _try(lambda client: close_empty(client, run_id(), "FINISHED", tags_of(job)))


def refused(job: str, reason: str) -> None:
    """Write what was asked for, and why nothing came of it; `mlflow run` itself closes the run."""
    shown = redact(reason, *addresses_around())[:5000]
    _try(lambda client: _tag(client, run_id(), tags_of(job) | {REASON_TAG: shown}))


def tags_of(job: str) -> dict[str, str]:
    """Return the tags of a run that a job was asked for in, its name among them."""
    return {"mlflow.runName": job, JOB_TAG: job} if job else {}


def close_empty(client: Any, given: str, status: str, tags: Mapping[str, str]) -> None:
    """Close a run that holds nothing, to be deleted where nobody named its experiment."""
    chosen = is_chosen(client.get_run(given).info.experiment_id)
    _tag(client, given, tags if chosen else {**tags, EMPTY_TAG: "true"})
    client.set_terminated(given, status)


def delete_empty(client: Any) -> None:
    """Delete the empty runs of commands that have ended."""
    words = f"tags.`{EMPTY_TAG}` = 'true' AND attributes.status != 'RUNNING'"
    latest = int(time.time() * 1000) - PATIENCE_MS
    for run in client.search_runs([DEFAULT_EXPERIMENT], words, max_results=100):
        if (run.info.end_time or latest) < latest:
            client.delete_run(run.info.run_id)


def _begin(client: Any, given: str, job: str) -> None:
    _tag(client, given, tags_of(job))
    delete_empty(client)
    opened = client.get_run(given)
    source, latest = opened.data.tags.get("mlflow.source.name"), opened.info.start_time - BEGINS_WITHIN_MS
    for run in client.search_runs([opened.info.experiment_id], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        is_ours = "mlflow.project.entryPoint" in tags and tags.get("mlflow.source.name") == source
        if is_ours and JOB_TAG not in tags and run.info.start_time < latest:
            reason = "its command never began: mlflow run could not make the environment, or was stopped"
            client.set_tag(run.info.run_id, REASON_TAG, reason)
            client.set_terminated(run.info.run_id, "FAILED")


def _tag(client: Any, given: str, tags: Mapping[str, str]) -> None:
    for name, value in tags.items():
        client.set_tag(given, name, value)


def _try(write: Callable[[Any], None]) -> None:
    if not run_id():
        return
    import mlflow  # noqa: PLC0415 - 2 s, for those whom `mlflow run` has started

    try:
        write(mlflow.MlflowClient())
    except (mlflow.exceptions.MlflowException, OSError) as error:
        logger.warning("run %s could not be written: %s", run_id(), redact(str(error), *addresses_around()))
