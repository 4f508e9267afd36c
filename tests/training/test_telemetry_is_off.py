"""No command of ours goes online to count MLflow's users, `make` or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Workspace
from tests.recorded import recorded

MLFLOWS_WORD = (
    "CI",
    "PYTEST",
    "GITHUB",
    "MLFLOW_DISABLE",
    "MLFLOW_UV",
    "DO_NOT_TRACK",
    "BUILDKITE",
    "TF_BUILD",
)
"""What makes MLflow silent by itself: a test's or a CI's environment."""

AUDIT = """
import sys
def heard(event, words):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open({path!r}, "a") as log:
            log.write(f"{{event}} {{words[1:] if event == 'socket.connect' else words}}\\n")
sys.addaudithook(heard)
"""


def as_a_user() -> dict[str, str]:
    """Return the environment without what silences MLflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith(MLFLOWS_WORD)}


@pytest.mark.parametrize("module", ["training", "serving.registry"])
def test_it_is_off_before_mlflow_is_imported_unless_the_user_says_so(module: str) -> None:
    """MLflow reads it once."""
    code = f"import {module}, os, sys; print('mlflow' in sys.modules, os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    for said, expected in (({}, "False true"), ({"MLFLOW_DISABLE_TELEMETRY": "false"}, "False false")):
        words = [sys.executable, "-c", code]
        done = subprocess.run(
            words, cwd=ROOT, env=as_a_user() | said, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


@pytest.mark.soak
def test_a_training_opens_no_connection_beyond_this_machine(workspace: Workspace, tmp_path: Path) -> None:
    """Every look-up and connection of the process and of its children, heard by Python's own audit."""
    heard = tmp_path / "heard.txt"
    (tmp_path / "sitecustomize.py").write_text(AUDIT.format(path=str(heard)))
    rows = "\n".join(f"{number},{number % 7},{number * 3 + number % 5}" for number in range(60))
    (workspace.folder / "houses.csv").write_text("x,z,y\n" + rows + "\n")
    environment = as_a_user() | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "MLFLOW_TRACKING_URI": workspace.uri, "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    words = ["train", "--data", "houses.csv", "--target", "y", "--trials", "1", "--promote", "never"]
    done = subprocess.run(
        [sys.executable, "-m", "training", *words, "--time_budget", "2"],
        cwd=workspace.folder, env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heard.touch()
    beyond = [
        line
        for line in heard.read_text().splitlines()
        if not any(ours in line for ours in ("127.0.0.1", "::1", "localhost", "'/"))
    ]
    assert beyond == []
    recorded(
        "security",
        "somebody listens where MLflow's telemetry goes, while a training runs outside `make`",
        "Sets MLFLOW_DISABLE_TELEMETRY before MLflow is imported, unless the user has set it",
        "No look-up and no connection beyond this machine",
    )
