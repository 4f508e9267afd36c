"""Workers and parents that are stopped in the middle of their work, as a debugger, a frozen disk or a cgroup does."""

import os
import re
import signal
import time

import psutil
import pytest

from tests.recorded import recorded
from tests.serving.fleet.followed import Load, answered
from tests.serving.processes import processes_of, until


@pytest.mark.soak
def test_a_hung_worker_stops_no_rollout_and_is_replaced(start, registry):
    """The others swap without it; it is killed, and its successor has the new version."""
    options = registry.options("--workers", "2", "--hung-seconds", "4")
    with start(*options) as served:
        until(lambda: len(processes_of(served)) == 2)
        time.sleep(1)
        hung, other = processes_of(served)
        with Load(served) as load:
            os.kill(hung.pid, signal.SIGSTOP)
            registry.point(2)
            until(lambda: answered_in_time(served) == "2")
            until(lambda: not psutil.pid_exists(hung.pid))
            until(lambda: len(processes_of(served)) == 2)
        assert other.is_running()
        registry.point(1)
        until(lambda: {answered(served) for _ in range(20)} == {"1"})
    assert not load.wrong
    recorded(
        "reliability",
        "worker hung (kill -STOP), alias moved",
        "swapped the others; killed and replaced the hung one after --hung-seconds",
        "the requests in that worker",
    )


def answered_in_time(served):
    """Return which version answers; a request that the hung worker took is none."""
    try:
        return answered(served)
    except OSError:
        return None


@pytest.mark.soak
@pytest.mark.parametrize("with_workers", [False, True])
def test_who_was_stopped_together_with_the_parent_is_not_killed(start, line, with_workers):
    """A frozen container wakes as it was: the parent was asleep itself, so nobody was silent."""
    with start("--model", str(line), "--workers", "2", "--hung-seconds", "1") as served:
        until(lambda: len(processes_of(served)) == 2)
        time.sleep(1)
        workers = [worker.pid for worker in processes_of(served)]
        stopped = [served.process.pid, *(workers if with_workers else [])]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        time.sleep(1.5)
        assert [worker.pid for worker in processes_of(served)] == workers
        assert served.call("/predict", {"x": 3})[0] == 200
    recorded(
        "reliability",
        f"parent{' and workers' if with_workers else ''} stopped (kill -STOP), continued later",
        "went on with the same workers",
        "nothing",
    )


@pytest.mark.soak
def test_a_hung_worker_cannot_keep_the_server_from_ending(start, line):
    """SIGTERM reaches the parent alone; who does not obey is killed."""
    with start("--model", str(line), "--hung-seconds", "1") as served:
        (worker,) = processes_of(served)
        worker.suspend()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 0
    assert not worker.is_running()


@pytest.mark.soak
def test_the_times_are_said(start, line, capfd):
    """An operator finds in the log who was killed, and why."""
    with start("--model", str(line), "--hung-seconds", "1") as served:
        (worker,) = processes_of(served)
        worker.suspend()
        until(lambda: [each.pid for each in processes_of(served)] not in ([], [worker.pid]))
        until(lambda: served.call("/readyz")[0] == 200)
    said = capfd.readouterr().err
    assert re.search(rf"worker {worker.pid} gave no sign of life for 1 s and is killed", said)
