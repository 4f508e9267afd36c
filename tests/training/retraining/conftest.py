"""A village with a champion, and trainings in a moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tests.conftest import Workspace
from tests.registered import copied
from tests.training.retraining.villages import Village, promote_first, register
from training.gate import Trial
from training.retraining import process


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """Trainings in a moment, in this process; their parameters."""
    calls: list[Mapping[str, str]] = []

    def train(words: Mapping[str, str], _lock: int) -> process.TrainedApart:
        calls.append(words)
        made = register(pd.read_parquet(words["data"]), words["data"])
        return process.TrainedApart(made.number)

    monkeypatch.setattr(process, "train", train)
    return calls


@pytest.fixture(scope="module")
def first(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registered champion; tests get copies."""
    folder = tmp_path_factory.mktemp("village")
    copied(empty_store.parent, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        mlflow.set_tracking_uri(None)
        promote_first()
    mlflow.set_tracking_uri(None)
    return folder


@pytest.fixture
def village(first: Path, tracking: Workspace, monkeypatch: pytest.MonkeyPatch) -> Village:
    """A champion; the proofs of files, which take seconds, are another test's."""
    copied(first, tracking.folder)
    monkeypatch.setattr(Trial, "proofs", lambda _: [])
    return Village.of(tracking.folder / "captures")
