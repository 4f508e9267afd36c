"""The monitor on captures, killed for real at any moment: the next call comes to the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import mlflow
import numpy as np
import pytest

from tests.conftest import ROOT, Workspace
from tests.training.monitoring.test_captured_monitor import Served, history, season
from tests.training.monitoring.test_monitor import monitor_run, register
from training.records import monitor_run as run_of


@pytest.mark.soak
def test_kill_at_twenty_random_moments_comes_to_the_same_numbers(tracking: Workspace) -> None:
    """The real signal to real processes, while days are compacted, seen, logged and kept."""
    register(tracking.folder, watched=True)
    served = Served.of(tracking.folder)
    season(served, 40)
    kept = tracking.folder / "as_served"
    shutil.copytree(served.places.folder, kept)
    command = [
        sys.executable,
        "-m",
        "training",
        "monitor",
        "--name",
        "houses",
        "--independent",
        "true",
        "--captures",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def look_at(folder: Path, seconds: float | None) -> None:
        with subprocess.Popen([*command, str(folder)], env=environment, stdout=subprocess.DEVNULL) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            process.kill()

    look_at(kept, None)
    names = (
        "rows",
        "rmse",
        "evidence_inputs",
        "evidence_errors",
        "evidence_harm",
        "labelled_share",
        "alarms",
    )
    expected, state = {name: history(name) for name in names}, run_of("houses").state("1")
    assert len(expected["rmse"]) == 40
    mlflow.MlflowClient().delete_run(monitor_run().info.run_id)
    random = np.random.default_rng(0)
    for _ in range(20):
        look_at(Path("captures"), float(random.uniform(2.0, 8.0)))
    look_at(Path("captures"), None)
    assert {name: history(name) for name in names} == expected
    assert run_of("houses").state("1") == state
