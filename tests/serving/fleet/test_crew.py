"""The parent and its workers: real processes, real signals."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.serving.processes import processes_of

ROOT = Path(__file__).parents[3]


def workers_of(served):
    """Return the pids of the worker processes."""
    return [worker.pid for worker in processes_of(served)]


def until(condition, *, seconds=15.0):
    """Wait for a condition; fail with its last value."""
    stop = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < stop:
        time.sleep(0.05)
    assert found
    return found


def alive(served):
    """Return whether the server answers."""
    try:
        return served.call("/readyz")[0] == 200
    except OSError:
        return False


def test_a_killed_worker_is_replaced(start, line):
    """Kill -9 costs the requests in it; the next ones wait in the socket's queue for its successor."""
    with start("--model", str(line)) as served:
        (first,) = workers_of(served)
        os.kill(first, signal.SIGKILL)
        (second,) = until(lambda: [pid for pid in workers_of(served) if pid != first])
        assert served.call("/predict", {"x": 3})[0] == 200
        os.kill(second, signal.SIGKILL)
        assert until(lambda: alive(served))


def test_a_second_sigterm_ends_at_once(start, line):
    """The first waits for a body that never ends, the second does not."""
    with start("--model", str(line), "--drain-seconds", "60") as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
            time.sleep(0.3)
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.7)
            assert served.process.poll() is None
            served.process.send_signal(signal.SIGTERM)
            served.process.wait(5)


def test_sigterm_during_the_start_ends_the_server_and_its_workers(line):
    """Whenever it comes, nobody is left behind."""
    for pause in (0.0, 0.15, 0.3):
        command = [sys.executable, "-m", "serving", "--model", str(line), "--port", "0", "--workers", "2"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(pause)
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)
        process.stdout.close()
        until(lambda children=children: not any(child.is_running() for child in children))


def test_workers_end_with_their_parent(start, line):
    """Kill -9 of the parent leaves no process on the port."""
    with start("--model", str(line)) as served:
        (worker,) = workers_of(served)
        served.process.kill()
        served.process.wait()
        until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie")


def test_workers_get_no_credentials(start, line, monkeypatch):
    """The registry's address and keys stay in the parent."""
    for name in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "secret")
    with start("--model", str(line)) as served:
        environment = psutil.Process(workers_of(served)[0]).environ()
        assert "PATH" in environment
        assert "secret" not in environment.values()


def test_tls_is_spoken(start, line, pair):
    """A client that knows the certificate gets its answer; plain HTTP gets none."""
    cert, key = pair
    with start("--model", str(line), "--tls-cert", str(cert), "--tls-key", str(key)) as served:
        trusting = ssl.create_default_context(cafile=str(cert))
        request = urllib.request.Request(
            served.url + "/predict", json.dumps({"x": 3}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20, context=trusting) as answer:
            assert "y" in json.load(answer)
        with pytest.raises(OSError, match=r"."):
            urllib.request.urlopen(served.url.replace("https", "http") + "/ping", timeout=5)


@pytest.mark.parametrize("broken", ["cert", "key", "swapped"])
def test_a_broken_pair_is_one_line_before_any_worker(line, pair, tmp_path, broken):
    """Not a restart loop."""
    cert, key = pair
    noise = tmp_path / "noise.pem"
    noise.write_text("no PEM")
    given = {"cert": (noise, key), "key": (cert, noise), "swapped": (key, cert)}[broken]
    command = [sys.executable, "-m", "serving", "--model", str(line), "--port", "0"]
    command += ["--tls-cert", str(given[0]), "--tls-key", str(given[1])]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "no usable pair in PEM" in done.stderr
    assert len(done.stderr.splitlines()) == 1
