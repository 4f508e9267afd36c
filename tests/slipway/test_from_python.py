"""Training from Python: values as Python has them, a table in memory, a script without a guard, a notebook's page."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

import slipway
from data.errors import SourceNotFound
from slipway.errors import NotATable
from tests.conftest import ROOT, Workspace
from training.commands import parse, trainings
from training.errors import CannotSign, UsageError
from training.jobs import train as job

LINE = ROOT / "data" / "samples" / "line.csv"


def test_parameters_are_taken_as_python_has_them() -> None:
    """And come out as if they had been typed."""
    values = {
        "data": "t.csv",
        "target": "y",
        "units": {"y": "kg", "a,b": "m"},
        "exclude": ["id", "a,b"],
        "monotonic": {"x": 1, "z": -1},
        "read": {"price": "currency"},
        "strict": True,
        "holdout": 0.2,
        "time_budget": 20,
        "key": (),
        "seed": 0,
        "contract": None,
    }
    typed = ["train", "--data", "t.csv", "--target", "y", "--units", 'y=kg,"a,b=m"', "--exclude", 'id,"a,b"']
    typed += ["--monotonic", "x=+,z=-", "--read", "price:currency", "--strict", "true", "--holdout", "0.2"]
    assert parse(trainings.TrainConfig.words(values)) == parse([*typed, "--time_budget", "20", "--seed", "0"])


def test_a_misspelt_parameter_is_answered_with_the_nearest() -> None:
    """As on the command line, and before anything is read."""
    with pytest.raises(UsageError, match="did you mean 'time_budget'"):
        slipway.train(LINE, target="y", time_bugdet=5)


def test_a_frame_needs_a_name(tracking: Workspace) -> None:
    """A file has one."""
    with pytest.raises(NotATable, match='pass name="houses"'):
        slipway.train(pd.DataFrame({"x": [1.0], "y": [2.0]}), target="y")


def test_a_file_that_is_not_there_is_refused_as_everywhere(tracking: Workspace) -> None:
    """With the data's own error, for a program to catch."""
    with pytest.raises(SourceNotFound):
        slipway.train("absent.csv", target="y", quiet=True)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Trainings that are not done: each was kept out of the champion's place."""
    version = SimpleNamespace(name="line", number="2", digest="0" * 64)
    decision = SimpleNamespace(word="kept", promoted=False, reason="no better", advice="", change=None)
    outcome = SimpleNamespace(version=version, decision=decision, figures={"holdout_rmse": 0.1}, run_id="r")
    asked: list[Any] = []
    monkeypatch.setattr(job, "train", lambda config, *_: asked.append(config) or outcome)
    return asked


def test_what_came_of_it_is_written_where_it_is_asked_for(searched: list[Any], tmp_path: Path) -> None:
    """The same file as a command's."""
    path = tmp_path / "result.json"
    path.write_text("an earlier one")
    slipway.train(LINE, target="y", quiet=True, result=path)
    assert json.loads(path.read_text())["decision"] == "kept" and len(searched) == 1


def test_what_cannot_be_done_at_the_end_is_said_before_the_search(
    searched: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training takes minutes; and a program has no exit code."""
    with pytest.raises(UsageError, match="cannot be written"):
        slipway.train(LINE, target="y", quiet=True, result=tmp_path / "absent" / "result.json")
    with pytest.raises(UsageError, match="fail_if_kept is for commands"):
        slipway.train(LINE, target="y", quiet=True, fail_if_kept=True)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(tmp_path / "absent.pem"))
    with pytest.raises(CannotSign):
        slipway.train(LINE, target="y", quiet=True)
    assert not searched


AFTER = """
model = trained.load()
print(model.predict(line.set_index("x", drop=False).head(3), coverage=0.9).to_json())
open("page.html", "w").write(trained._repr_html_())
"""


def from_the_page() -> str:
    """The script that docs/python.md prints."""
    return (ROOT / "docs" / "python.md").read_text().partition("```python\n")[2].partition("```")[0]


@pytest.mark.soak
def test_a_plain_script_trains_and_asks(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `if __name__ == "__main__"`, for the search's processes would run the script again, each of them."""
    (workspace.folder / "script.py").write_text(from_the_page() + AFTER)
    (workspace.folder / "data" / "samples").mkdir(parents=True)
    shutil.copy(LINE, workspace.folder / "data" / "samples")
    done = workspace.run(sys.executable, "script.py")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "promoted 0.09" in done.stdout and any(line.startswith("  decide    promoted") for line in said)
    answer = pd.read_json(io.StringIO(said[-1]))
    assert list(answer.columns) == ["prediction", "lower", "upper"]
    frame = pd.read_csv(LINE).head(3)
    np.testing.assert_allclose(answer["prediction"], frame["y"], atol=0.5)
    assert ((answer["lower"] < answer["prediction"]) & (answer["prediction"] < answer["upper"])).all()
    page = (workspace.folder / "page.html").read_text()
    assert page.startswith("<iframe srcdoc=") and "&lt;html" in page and "<script" not in page
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.uri)
    stock = mlflow.pyfunc.load_model("models:/line@champion").predict(frame[["x"]])
    np.testing.assert_allclose(answer["prediction"], stock, rtol=1e-9)
    assert not list(Path(workspace.folder).glob("*.parquet"))
