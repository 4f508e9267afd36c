"""Versions are tried by forks of one process, which outlives each of them and not its parent."""

import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from serving.fleet.canary import Canary
from serving.settings import Model, Settings
from tests.conftest import ROOT
from tests.serving.processes import ODD, until

KIND = "serving.runtimes.rehearsal"


def running(parent):
    """Return the processes below one that try versions."""
    return [each for each in psutil.Process(parent).children(recursive=True) if tries(each)]


def tries(process):
    """Return whether a process is alive and tries versions."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and KIND in process.cmdline()
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def environment(tmp_path):
    """Where a version whose path has the name of what it does, does it."""
    (tmp_path / "sitecustomize.py").write_text(ODD)
    odd = ",".join(f"/{what}/={what}" for what in ("kill", "loop", "grow", "raise"))
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHON_ODD_VERSION": odd, "PATH": os.environ["PATH"]}


@pytest.fixture
def version(line, tmp_path):
    """Make a copy of a version that does something odd, or nothing."""

    def make(what):
        return Model(
            str(shutil.copytree(line / "scorer", tmp_path / what / "scorer")), name="line", version="1"
        )

    return make


@pytest.fixture
def canary(environment):
    """One that ends with the test."""
    canary = Canary(environment)
    yield canary
    if canary._process:
        canary._process.end()


def test_one_process_tries_many_versions(canary, version):
    """Importing takes a quarter of a second of the processor, which a swap under load would have to share."""
    settings = Settings(models=(), load_seconds=2)
    canary.hatch()
    (process,) = running(os.getpid())
    for what, reason in (
        ("kill", "SIGFPE"),
        ("raise", "RuntimeError"),
        ("grow", "too large"),
    ):
        assert reason in canary.refusal(version(what), settings)
    sound = version("sound")
    before = process.cpu_times()
    assert [canary.refusal(sound, settings) for _ in range(20)] == [None] * 20
    assert running(os.getpid()) == [process]
    after = process.cpu_times()
    spent = after.user + after.system + after.children_user + after.children_system
    spent -= before.user + before.system + before.children_user + before.children_system
    assert spent / 20 < 0.1
    assert process.num_threads() == 1
    # On a machine so busy that the clock ends it before its processor time does, the process goes with it.
    assert "too slow" in canary.refusal(version("loop"), settings)
    canary.hatch()
    (process,) = running(os.getpid())
    process.kill()
    until(lambda: not tries(process))
    assert canary.refusal(sound, settings) is None


def test_a_try_ends_with_the_server(environment, version):
    """However it ended, and whatever the version is at: nobody is left who waits for the verdict."""
    code = """if True:
        import json, sys
        from serving.fleet.canary import Canary
        from serving.settings import Model, Settings
        Canary(json.loads(sys.argv[1])).refusal(Model(sys.argv[2]), Settings(models=(), load_seconds=60))
    """
    words = [sys.executable, "-c", code, json.dumps(environment), version("loop").folder]
    with subprocess.Popen(words, cwd=ROOT) as server:
        until(lambda: len(running(server.pid)) == 2)
        left = running(server.pid)
        server.send_signal(signal.SIGKILL)
    until(lambda: not any(map(tries, left)))
