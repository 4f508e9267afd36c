"""A server on a registry in which somebody rewrites what he can: its options, an attacker's scorer, what it answers."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def options(store, *more, model="models:/line@champion"):
    """The options of a server on the store's registry."""
    cache = str(store.workspace.folder / "cache")
    return ["--model", model, "--poll-seconds", "0.25", "--cache", cache, *more]


def made(store):
    """A scorer whose answers are an attacker's."""
    import pandas as pd

    from benchmarks.models import build_table

    folder = store.workspace.folder / "attacker"
    if not folder.exists():
        folder.mkdir()
        frame = pd.read_csv(ROOT / "data" / "samples" / "line.csv")
        frame.assign(y=frame["y"] + 1000).to_csv(folder / "line.csv", index=False)
        build_table(folder, path=folder / "line.csv", target="y", family="ridge")
    return folder / "version" / "scorer"


def answer(served):
    """What the server predicts for x = 3."""
    status, body, headers = served.call("/predict", {"x": 3})
    assert status == 200, body
    return round(body["y"]), headers["X-Model-Version"]


def refused(*words):
    """Start a server that does not start; return its exit code and its line."""
    command = [sys.executable, "-m", "serving", "--port", "0", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return done.returncode, lines
