"""The monitor and a real `mlflow server` that stops answering: within a call, and while it follows a champion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.conftest import ROOT, Workspace
from tests.tracking_server import TrackingServer, tracking_server
from tests.training.arrivals.served_houses import Look, Served, history, season
from tests.training.arrivals.test_monitor import monitor_run
from tests.training.arrivals.watched_houses import houses, register
from training.records import monitor_run as run_of
from training.records.watch_run import MonitorRun

NAMES = ("rows", "rmse", "evidence_inputs", "evidence_errors", "evidence_harm", "labelled_share", "alarms")
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "4", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture
def server(tracking: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackingServer]:
    """The registered houses behind a server."""
    with tracking_server(tracking.folder) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        mlflow.create_experiment("houses", artifact_location="mlflow-artifacts:/houses")
        mlflow.set_experiment("houses")
        register(tracking.folder, watched=True)
        yield server
        mlflow.set_experiment(experiment_id="0")


def figures() -> dict[str, list[float]]:
    """By their names."""
    return {name: history(name) for name in NAMES}


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("way", "moments"),
    [("stops", {"log_day": 2, "say_alarms": 1, "close": 1}), ("dies", {"keep": 1, "log_page": 1})],
)
def test_a_store_that_goes_down_within_a_call_costs_nothing(
    way: str, moments: dict[str, int], server: TrackingServer, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between days, at the state, the page, the very end: one line and code 2, and the next call makes it good."""
    season(Served.of(server.folder), 3)
    assert look()[0] == 0
    expected, state = figures(), run_of("houses").state("1")
    mlflow.MlflowClient().delete_run(monitor_run().info.run_id)
    for name, call in moments.items():
        with monkeypatch.context() as patch:
            for each, value in IMPATIENT.items():
                patch.setenv(each, value)
            patch.setattr(MonitorRun, name, going_down(server, way, getattr(MonitorRun, name), call))
            code, said = look()
        assert (code, "slipway: tracking or registry cannot be used: the server did not answer" in said) == (
            2,
            True,
        ), said
        server.go_on() if way == "stops" else server.start()
    code, said = look()
    assert (code, "0 new days" in said) == (0, True), said
    assert figures() == expected
    assert run_of("houses").state("1") == state


def going_down(server: TrackingServer, way: str, real: Callable[..., Any], number: int) -> Callable[..., Any]:
    """A call before which, the so-maniest time, the server goes down."""
    calls = []

    def call(*words: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            server.stop() if way == "stops" else server.kill()
        return real(*words, **named)

    return call


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_monitor_that_follows_outlives_its_store_and_takes_up_a_new_champion(
    server: TrackingServer, tmp_path: Path
) -> None:
    """Days as they come, a server that stops and one that is started again, a promotion, and SIGTERM at the end."""
    served = Served.of(server.folder)
    season(served, 2)
    words = [
        "--name",
        "houses",
        "--captures",
        "captures",
        "--independent",
        "true",
        "--follow",
        "true",
        "--every",
        "2s",
    ]
    said = tmp_path / "said"
    with (
        said.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-u", "-m", "training", "monitor", *words],
            env=os.environ | IMPATIENT | {"PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=out,
        ) as process,
    ):
        try:
            awaited(said, "houses version 1: 2 new days")
            served.answers(houses(30, "2024-07-01", 1, seed=9), 2)
            awaited(said, "houses version 1: 1 new days after 2024-07-02")
            server.stop()
            awaited(said, "failed ")
            server.go_on()
            awaited(said, "houses version 1: 0 new days after 2024-07-03")
            server.kill()
            awaited(said, "failed ")
            server.start()
            awaited(said, "houses version 1: 0 new days after 2024-07-03")
            register(tmp_path, watched=True)
            mlflow.MlflowClient().set_registered_model_alias("houses", "champion", "2")
            awaited(said, "nothing was captured of houses version 2 yet, but of 1")
            state = run_of("houses").state("1")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, said.read_text()
        finally:
            process.kill()
    assert "stop      asked to" in said.read_text().splitlines()[-1]
    assert run_of("houses").state("1") == state
    assert state is not None
    assert (state["until"], state["outcomes_until"]) == ("2024-07-03", "2024-07-03")
    assert len(history("rows")) == 3
    assert "slipway.monitor" not in monitor_run().data.tags


def awaited(said: Path, sentence: str, seconds: float = 120.0) -> None:
    """Return once a sentence was said that was not there before."""
    begin, until = len(said.read_text()), time.monotonic() + seconds
    while sentence not in said.read_text()[begin:]:
        assert time.monotonic() < until, said.read_text()
        time.sleep(0.1)
