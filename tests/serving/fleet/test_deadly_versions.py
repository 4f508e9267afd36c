"""Versions that kill, stall or bloat the process that loads them; the server must outlive each."""

import shutil
import subprocess
import sys
import time

import psutil
import pytest

from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.serving.fleet.followed import POLL, Load, answered, status
from tests.serving.processes import mark, processes_of, until

DEADLY = {
    "kill": ("dies (SIGFPE)", "kills its process"),
    "loop": ("too slow", "never ends loading"),
    "grow": ("too large", "takes all memory"),
    "raise": ("RuntimeError: odd", "fails in onnxruntime's own way"),
}
LIMITS = ("--load-seconds", "2")


def odd_versions(registry, folder, kinds):
    """Register and pin a copy of version 2 for each kind; return their numbers and digests."""
    document = (registry.sources[1] / "scorer" / "scorer.json").read_text()
    numbers, digests = {}, {}
    for kind in kinds:
        copy = shutil.copytree(registry.sources[1], folder / kind)
        (copy / "scorer" / "scorer.json").write_text(document.replace('"y"', f'"y_{kind}"'))
        digests[kind] = digest_in(copy / "scorer")
        tags = {PINNED_TAG: digests[kind]}
        numbers[kind] = str(registry.client.create_model_version("line", str(copy), tags=tags).version)
    return numbers, digests


@pytest.mark.soak
def test_a_deadly_version_is_refused_and_kills_no_worker(start, registry, monkeypatch, tmp_path):
    """Once: it is not tried again before the alias moves, and the way to another version is open."""
    numbers, digests = odd_versions(registry, tmp_path, DEADLY)
    mark(monkeypatch, tmp_path, **digests)
    with start(*registry.options("--workers", "2", *LIMITS)) as served:
        until(lambda: len(processes_of(served)) == 2)
        before = [worker.pid for worker in processes_of(served)]
        for what, (reason, fault) in DEADLY.items():
            with Load(served) as load:
                registry.point(numbers[what])
                until(lambda reason=reason: reason in str(status(served)))
                time.sleep(3 * POLL)
                until(lambda: status(served)["state"] == "REFUSED")  # each worker is told in its turn
                assert status(served)["version"] == numbers[what]
            assert [worker.pid for worker in processes_of(served)] == before
            assert (load.failed, load.wrong) == (0, [])
            did = "refused it with the reason in /status; served on"
            recorded("reliability", f"new version: {fault}", did, "nothing")
        registry.point(2)
        until(lambda: answered(served) == "2")


@pytest.mark.parametrize("what", DEADLY)
def test_a_deadly_model_at_the_start_is_one_line_and_exit_3(line, monkeypatch, tmp_path, what):
    """No restart loop: what cannot be loaded now cannot be loaded a second later."""
    mark(monkeypatch, tmp_path, **{what: "scorer/"})
    command = [sys.executable, "-m", "serving", "--model", str(line), "--port", "0", "--workers", "2"]
    done = subprocess.run(
        [*command, *LIMITS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 3, done.stderr
    assert DEADLY[what][0] in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.soak
def test_a_version_that_two_workers_die_of_is_refused(start, registry, monkeypatch, tmp_path):
    """What the try in a process of its own did not show: one worker dies at a time, and not for ever."""
    mark(monkeypatch, tmp_path, kill_worker=digest_in(registry.sources[1] / "scorer"))
    with start(*registry.options("--workers", "2")) as served, Load(served) as load:
        until(lambda: len(processes_of(served)) == 2)
        registry.point(2)
        until(lambda: "2 workers ended while they loaded it" in status(served).get("reason", ""))
        assert answered(served) == "1"
    assert not load.wrong


@pytest.mark.soak
def test_a_worker_that_was_too_slow_is_replaced_and_never_serves_it(
    start,
    registry,
    monkeypatch,
    tmp_path,
):
    """The version stays refused, though the worker may finish loading it; the way back is not held up."""
    mark(monkeypatch, tmp_path, slow_worker=digest_in(registry.sources[1] / "scorer"))
    with (
        start(*registry.options("--load-seconds", "1", "--hung-seconds", "2")) as served,
        Load(served) as load,
    ):
        (slow,) = processes_of(served)
        registry.point(2)
        until(lambda: "too slow" in status(served).get("reason", ""))
        until(lambda: not psutil.pid_exists(slow.pid))
        assert {answered(served) for _ in range(10)} == {"1"}
        until(lambda: status(served)["state"] == "REFUSED")
    assert (load.failed, load.wrong) == (0, [])
    recorded(
        "reliability",
        "new version: a worker has not loaded it in time",
        "refused it with the reason in /status; replaced the worker",
        "nothing",
    )


def test_the_try_has_no_credentials_and_ends_with_its_parent(start, registry, monkeypatch):
    """It runs what a stranger may have written."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with start(*registry.options()) as served:
        until(lambda: processes_of(served, "serving.runtimes.rehearsal"))
        (canary,) = processes_of(served, "serving.runtimes.rehearsal")
        assert not {"AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"} & set(canary.environ())
        served.process.kill()
        served.process.wait()
        until(lambda: not canary.is_running() or canary.status() == psutil.STATUS_ZOMBIE)
