"""A run whose process was killed does not look at work for ever, and one that may be at work is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import mlflow

from tests.conftest import ROOT, Workspace
from tests.recorded import recorded
from training.records import tracking as module
from training.records.runs.processes import is_gone, this_process

KILLED = """
import os, signal
from training.records import tracking
with tracking.open_run("houses", "train houses") as run:
    print(run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_training_closes_the_run_of_a_killed_one(tracking: Workspace) -> None:
    """8.3: nothing else would; those of other places, of no known place and at work stay open."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", KILLED]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    killed, client = done.stdout.strip(), mlflow.MlflowClient()
    place = client.get_run(killed).info.experiment_id
    boot, space, number, started = this_process().split()
    others = {
        "this one": this_process(),
        "another boot": f"other-boot {space} {number} 1",
        "another container": f"{boot} 1 {number} 1",
        "no word": "",
        "not ours": "at work",
    }
    left = {
        each: client.create_run(place, tags={"slipway.process": process}).info.run_id
        for each, process in others.items()
    }
    plain = client.create_run(place).info.run_id
    reused = client.create_run(place, tags={"slipway.process": f"{boot} {space} {number} {int(started) - 1}"})
    with module.open_run("houses", "train houses") as run:
        state = {each: client.get_run(each) for each in (killed, reused.info.run_id, plain, *left.values())}
        assert client.get_run(run.run_id).info.status == "RUNNING"
    assert [state[each].info.status for each in (killed, reused.info.run_id)] == ["KILLED"] * 2
    assert state[killed].data.tags["slipway.reason"] == "its process was killed"
    assert {state[each].info.status for each in (plain, *left.values())} == {"RUNNING"}
    recorded(
        "reliability",
        "kill -9 of a training",
        "the next training on the same machine closes its run as KILLED, with the reason",
        "that training",
    )


def test_a_child_of_ours_that_ended_is_gone() -> None:
    """Even while its number is kept for the parent to read."""
    code = (
        "from training.records.runs.processes import this_process; print(this_process(), flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    told = child.stdout.readline().strip()
    assert not is_gone(told)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(told)
    child.communicate()
    assert is_gone(told)
