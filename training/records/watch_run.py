"""The one run in which a model's monitor keeps its figures, its alarms and its state.

It lives in an experiment of its own, so that MLflow's charts show one line a figure over the days, across versions.
The state is written after the figures that it covers: whoever is killed between the two writes them again, the same.
Two versions may be watched on the same days: a figure's time is the day's begin and as many milliseconds as the version
has for a number, which tells them apart.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import mlflow
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from serving.scorer import version_files
from training.console import interrupts
from training.errors import MonitorBusy
from training.records import tag_names, tracking
from training.records.runs import is_gone, this_process

MEMORY = "state/retraining.json"
PAGE = "monitor.html"
DAY = 86_400_000
"""Milliseconds."""
STATE = "state"
STALE = timedelta(hours=24)
"""After which a monitor of another machine is taken for dead; one of this machine is known to be."""

_ENDED: set[str] = set()
"""What tags said of monitors of this process that ended: a store that was down by then still has the tag."""

SETTLED = 0.3
"""Seconds in which two that begin at once have both said so."""


@dataclass(frozen=True)
class MonitorRun:
    """A model's run."""

    run_id: str
    experiment_id: str
    mine: str = ""
    """What its tag says as long as nobody else is at work; nothing where nobody has to be alone."""

    @property
    def page(self) -> str:
        """Its charts in MLflow's UI, which would open on its pages for agents without the last word."""
        return self._place("model-metrics")

    def state(self, version: str) -> dict[str, Any] | None:
        """Return the state of the watch over a version, or None before its first day; raises MlflowException."""
        return self._kept(_file(version))

    def keep(self, version: str, state: Mapping[str, Any]) -> None:
        """Keep the state of the watch over a version; raises MonitorBusy where another monitor has begun."""
        self._keep(_file(version), state)

    def memory(self) -> dict[str, Any]:
        """Return what is known of retrainings, across versions; nothing before the first; raises MlflowException."""
        return self._kept(MEMORY) or {}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Keep what is known of retrainings; raises MonitorBusy where another monitor has begun."""
        self._keep(MEMORY, memory)

    def _kept(self, file: str) -> dict[str, Any] | None:
        """Return a file of what is known, None where there is none yet.

        A store that does not answer must not look like a first day: what stands there would be written over.
        """
        there = {each.path for each in mlflow.MlflowClient().list_artifacts(self.run_id, STATE)}
        return dict(mlflow.artifacts.load_dict(f"runs:/{self.run_id}/{file}")) if file in there else None

    def _keep(self, file: str, content: Mapping[str, Any]) -> None:
        if self.mine:
            self._hold()
        mlflow.MlflowClient().log_dict(self.run_id, dict(content), file)

    def log_evidence(self, version: str, evidence: Mapping[str, Any], card: str) -> None:
        """Log what a challenger was judged on."""
        client, place = mlflow.MlflowClient(), f"shadow/version_{version}"
        client.log_dict(self.run_id, dict(evidence), f"{place}/evidence.json")
        client.log_text(self.run_id, card, f"{place}/card.html")

    def say_retraining(self, sentence: str) -> None:
        """Say what came of the question whether to train."""
        mlflow.MlflowClient().set_tag(self.run_id, tag_names.RETRAINING, sentence[:5000])

    @contextmanager
    def alone(self) -> Iterator[MonitorRun]:
        """Be the only monitor of the model, and keep what is known as that one; raises MonitorBusy.

        Of two that begin in the same moment the later one stays: each looks again whether the tag is its own. Where the
        store is so slow that both found theirs, the earlier one finds the other's before it keeps anything.
        """
        mine = f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S%z} {secrets.token_hex(4)} {this_process()}"
        run = replace(self, mine=mine)
        try:
            run._hold()
            yield run
        finally:
            _ENDED.add(mine)
            with suppress(MlflowException), interrupts.deferred():  # it ends, whatever became of the server
                run._let_go()

    def _hold(self) -> None:
        """Have the tag say that it is this monitor that works; raises MonitorBusy where another one does."""
        while (held := self._held()) != self.mine:
            self._refuse(held)
            try:
                with interrupts.deferred():  # a tag written after its owner's end stops others for a day
                    mlflow.MlflowClient().set_tag(self.run_id, tag_names.MONITOR, self.mine)
            except MlflowException:  # a database refuses the later one of two that write it in one moment
                if self._held() == held:
                    raise
            time.sleep(SETTLED)

    def _held(self) -> str:
        return str(mlflow.MlflowClient().get_run(self.run_id).data.tags.get(tag_names.MONITOR, ""))

    def _let_go(self) -> None:
        if self._held() == self.mine:
            mlflow.MlflowClient().delete_tag(self.run_id, tag_names.MONITOR)

    def _refuse(self, held: str) -> None:
        since, _, rest = held.partition(" ")
        process = rest.partition(" ")[2]
        if not since or held in _ENDED or is_gone(process) or _age(since) > STALE:
            return
        number = process.split()[2:3]
        raise MonitorBusy(
            since=since,
            process=f" (process {number[0]})" if number else "",
            hours=STALE // timedelta(hours=1),
            tag=tag_names.MONITOR,
            run_id=self.run_id,
        )

    def log_day(self, version: str, day: str, figures: Mapping[str, float]) -> None:
        """Log one day's figures of a version; the step is the day's number since 1970."""
        on = date.fromisoformat(day)
        moment = int(datetime(on.year, on.month, on.day, tzinfo=UTC).timestamp() * 1000) + int(version)
        step = on.toordinal() - date(1970, 1, 1).toordinal()
        metrics = [Metric(name, value, moment, step) for name, value in figures.items()]
        mlflow.MlflowClient().log_batch(self.run_id, metrics=metrics)

    def history(self, version: str) -> dict[str, dict[str, float]]:
        """Return the figures of a version by day, oldest first, by their names."""
        client = mlflow.MlflowClient()
        names = sorted(client.get_run(self.run_id).data.metrics)
        every = {name: _by_day(client.get_metric_history(self.run_id, name), int(version)) for name in names}
        return {name: days for name, days in every.items() if days}

    def log_page(self, page: str) -> None:
        """Log the page that people read as `monitor.html`."""
        mlflow.MlflowClient().log_text(self.run_id, page, PAGE)

    @property
    def read_page(self) -> str:
        """The address of that page in MLflow's UI."""
        return self._place(f"artifacts/{PAGE}")

    def _place(self, part: str) -> str:
        where = f"#/experiments/{self.experiment_id}/runs/{self.run_id}/{part}"
        return f"{tracking.ui()}/{where}?workflowType=machine_learning"

    def say_alarms(self, text: str, version: str) -> None:
        """Say which alarms of a version stand, or none, as a tag and as the run's note."""
        client = mlflow.MlflowClient()
        client.set_tag(self.run_id, tag_names.WATCHED, version)
        client.set_tag(self.run_id, tag_names.ALARM, text or "none")
        client.set_tag(self.run_id, "mlflow.note.content", text or "No alarm stands.")

    def close(self) -> None:
        """Say that nobody writes on it at the moment."""
        mlflow.MlflowClient().set_terminated(self.run_id)


def _age(since: str) -> timedelta:
    """Return how long ago a moment was; for ever where it is none."""
    try:
        return datetime.now(tz=UTC) - datetime.fromisoformat(since)
    except (ValueError, TypeError):
        return timedelta.max


def monitor_run(name: str) -> MonitorRun:
    """Return a model's run, which is made at its first day."""
    client = mlflow.MlflowClient()
    place = _experiment(client, version_files.MONITORS + name)
    result = client.search_runs([place], order_by=["attributes.start_time ASC"], max_results=1)
    if result:
        return MonitorRun(result[0].info.run_id, place)
    return MonitorRun(client.create_run(place, run_name=f"monitor {name}").info.run_id, place)


def _experiment(client: mlflow.MlflowClient, name: str) -> str:
    if (result := client.get_experiment_by_name(name)) is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another monitor was first
            if (result := client.get_experiment_by_name(name)) is None:
                raise
    return str(result.experiment_id)


def _by_day(metrics: Sequence[Metric], version: int) -> dict[str, float]:
    """Return a version's values by day; those from before times had a version's number count for each."""
    ours = [each for each in metrics if each.timestamp % DAY in (0, version)]
    ours.sort(key=lambda each: (each.step, each.timestamp, each.value))  # what is counted twice grows
    return {(date(1970, 1, 1) + timedelta(days=each.step)).isoformat(): each.value for each in ours}


def _file(version: str) -> str:
    return f"{STATE}/version_{version}.json"
