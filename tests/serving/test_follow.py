"""The follower with a real registry, real workers, and the faults that it must live through."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from serving.store import PINNED_TAG, digest_in
from tests.conftest import ROOT

STEP = 1000.0
"""Version n predicts n times so much more than version 0 would: each answer proves its version."""
POLL = 0.25


class Registry:
    """A registry of one model, `line`, on SQLite, whose versions are a constant apart."""

    def __init__(self, workspace, sources, monkeypatch) -> None:
        import mlflow

        self.folder = workspace.folder
        self.sources = sources
        self.uri = workspace.uri
        self.cache = workspace.folder / "cache"
        self.client = mlflow.MlflowClient(workspace.uri)
        self.client.create_registered_model("line")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.uri)
        for number in range(len(sources)):
            self.add(number)
        self.point(1)

    def add(self, number, *, pinned=True, source=None):
        """Register a version; return its number."""
        source = source or self.sources[number]
        tags = {PINNED_TAG: digest_in(self.sources[number] / "scorer")} if pinned else {}
        return self.client.create_model_version("line", str(source), tags=tags).version

    def point(self, number):
        """Move the alias."""
        self.client.set_registered_model_alias("line", "champion", str(number))

    def options(self, *more):
        """The options of a server that follows the alias."""
        return ["--model", "models:/line@champion", "--poll-seconds", str(POLL), "--cache", str(self.cache), *more]


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Folders of versions 1 and 2 (and 3, which is 1 again in other words): y is STEP apart."""
    import pandas as pd

    from benchmarks.models import build_table

    frame = pd.read_csv(ROOT / "data" / "samples" / "line.csv")
    folders = []
    for number in (1, 2):
        folder = tmp_path_factory.mktemp(f"version{number}")
        frame.assign(y=frame["y"] + number * STEP).to_csv(folder / "line.csv", index=False)
        folders.append(build_table(folder, path=folder / "line.csv", target="y", family="ridge"))
    return folders


@pytest.fixture
def registry(workspace, sources, monkeypatch):
    """Versions 1 and 2, promoted; the alias is at 1."""
    return Registry(workspace, sources, monkeypatch)


def answered(served, path="/predict"):
    """Return which version answers by its header; its prediction must be that version's."""
    status, body, headers = served.call(path, {"x": 3})
    assert status == 200, body
    version = headers["X-Model-Version"]
    assert round((body["y"] - 11) / STEP) == int(version), (body, version)
    return version


def until(condition, *, seconds=20.0):
    """Return the seconds until a condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def status(served, key="line"):
    """Return the model's part of /status."""
    return served.call("/status")[1]["models"][key]


def test_a_moved_alias_is_served_and_a_rollback_is_quicker(start, registry):
    """Poll + 1 s to a new version, poll + 0.1 s back to a warm one; /status and the metrics say so."""
    with start(*registry.options("--workers", "2")) as served:
        assert answered(served) == "1"
        registry.point(2)
        assert until(lambda: answered(served) == "2") < POLL + 1
        time.sleep(0.1)
        assert {answered(served) for _ in range(20)} == {"2"}
        until(lambda: status(served)["state"] == "READY" and status(served)["version"] == "2")
        registry.point(1)
        assert until(lambda: answered(served) == "1") < POLL + 0.1 + 0.1  # the client's own steps
        metrics = served.call("/metrics")[1]
        assert 'slipway_answers_total{model="line",version="2"}' in metrics
        assert 'slipway_state{model="line",state="READY"} 1.0' in metrics
        assert 'slipway_registry_stale_seconds{model="line"}' in metrics
