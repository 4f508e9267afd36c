"""A version that was registered under one Python is served, and scored, under another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serving.running import await_port, free_port, started
from tests.conftest import ROOT, Workspace

VERSIONS = ["3.13", "3.12", "3.11"]
ROWS = 400
PINS = ROOT / "pyproject.toml"

STOCK = """
import json, mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/curve@champion")
print(json.dumps(list(map(float, model.predict(pd.read_csv("rows.csv"))))))
"""

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def other(environment_of: Callable[..., Path]) -> Path:
    """The Python of an environment with Slipway's requirements, of another version than this one's."""
    ours = "{}.{}".format(*sys.version_info[:2])
    found = [python for version in VERSIONS if version != ours and (python := python_of(version))]
    if not found:
        pytest.skip(f"Python {ours} is the only one on this machine that Slipway runs on")
    made = [ROOT / f".venv-{version}" for version in VERSIONS if version != ours]
    for folder in made:  # CI has made them, to run the unit tests on each
        if (folder / "installed").is_file() and (folder / "installed").stat().st_mtime > PINS.stat().st_mtime:
            return folder / "bin" / "python"
    requirements = tomllib.loads(PINS.read_text())["project"]["dependencies"]
    return environment_of(*requirements, python=found[0]) / "python"


def python_of(version: str) -> str:
    """Return this machine's Python of a version, or nothing."""
    asked = [str(ROOT / ".ci" / "python"), version]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def under(python: Path, workspace: Workspace, *words: str) -> str:
    """Run a module under a Python, as somebody does who has activated its environment; return what it said."""
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    done = workspace.run(str(python), *words, timeout=240, PATH=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def served(python: Path, workspace: Workspace, frame: pd.DataFrame) -> list[float]:
    """Ask a server under a Python for predictions."""
    port = free_port()
    words = ["-m", "serving", "--model", "models:/curve@champion", "--port", str(port)]
    opened = {"cwd": workspace.folder, "env": workspace.environment, "stdout": subprocess.DEVNULL}
    with started([str(python), *words], **opened):
        await_port(port)
        body = json.dumps({"dataframe_split": frame.to_dict(orient="split", index=False)}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["predictions"]


def test_a_version_of_one_python_is_served_and_scored_under_another(
    other: Path, workspace: Workspace
) -> None:
    """The machine that trains and the one that answers are seldom renewed on one day."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.uniform(-2, 2, (ROWS, 2)).round(3), columns=["a", "b"])
    frame["shop"] = random.choice(["Köln", "Ulm"], ROWS)
    frame.assign(y=frame["a"] * frame["b"] + (frame["shop"] == "Ulm")).to_csv(
        workspace.folder / "curve.csv", index=False
    )
    frame.to_csv(workspace.folder / "rows.csv", index=False)
    first, second = other, Path(sys.executable)  # make unit and make run register and serve under each
    training = ["-m", "training", "train", "--data", "curve.csv", "--target", "y"]
    under(first, workspace, *training, "--trials", "2")
    scoring = ["-m", "serving.batch", "--name", "curve", "--input", "rows.csv", "--output"]
    under(first, workspace, *scoring, "first.csv")
    under(second, workspace, *scoring, "second.csv")
    expected = pd.read_csv(workspace.folder / "first.csv")["prediction"]
    assert expected.nunique() > ROWS / 2
    np.testing.assert_array_equal(pd.read_csv(workspace.folder / "second.csv")["prediction"], expected)
    np.testing.assert_allclose(served(second, workspace, frame), expected, rtol=1e-12, atol=1e-12)
    stock = json.loads(under(second, workspace, "-c", STOCK))
    np.testing.assert_allclose(stock, expected, rtol=1e-9, atol=1e-9)
