"""What a server that stops tells those who still come, and what it does for those who were there."""

import os
import signal
import socket
import threading
import time
from contextlib import closing

import psutil
import pytest

from tests.recorded import recorded

BODY = b'{"x":3}'


def connect(served, timeout=20):
    """Return a socket that closes itself."""
    connection = socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), timeout=timeout)
    return closing(connection)


def begun(connection, *, sent=3):
    """Send the head of a request and a part of its body."""
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:sent])


def rest_of(connection):
    """Read to the end."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def drains(served):
    """Return once the server says that it stops."""
    stop = time.monotonic() + 30
    while served.call("/readyz")[0] != 503:
        assert time.monotonic() < stop
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_server_that_stops_says_so_until_the_end(start, line, workers):
    """One slow upload; whoever comes meanwhile is told to go elsewhere, at once, and does not make it longer."""
    with start("--model", str(line), "--workers", str(workers)) as served, connect(served) as slow:
        begun(slow)
        with connect(served) as early, connect(served) as silent:
            early.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in early.recv(65536)
            time.sleep(0.3)
            served.process.send_signal(signal.SIGTERM)
            drains(served)
            time.sleep(1.0)  # longer than what was sent before the client could know is waited for
            for path, body in (
                ("/readyz", None),
                ("/v2/health/ready", None),
                (f"/v2/models/{next(iter(served.call('/status')[1]['models']))}/ready", None),
                ("/invocations", {"inputs": [3]}),
                ("/predict", {"x": 3}),
                ("/invocations", b"[" * 300_000),
            ):
                began = time.monotonic()
                status, _, headers = served.call(path, body)
                assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close"), path
                assert time.monotonic() - began < 10
            assert served.call("/livez")[0] == 200
            if workers == 1:  # of two, the one that had this connection may be gone
                early.sendall(
                    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n" + BODY
                )
                assert b" 503 " in rest_of(early)
            slow.sendall(BODY[3:])
            assert b" 200 " in rest_of(slow)
            assert served.process.wait(15) == 0
            assert silent.recv(1) == b""
    recorded(
        "reliability",
        f"SIGTERM with an upload under way, {workers} worker{'s' * (workers > 1)}",
        "answered 503 with Retry-After to whoever came, at once, until the upload was answered 200",
        "nothing",
    )


def test_what_was_sent_before_the_client_could_know_is_answered(start, line):
    """On a connection that was there before the signal, for half a second."""
    with start("--model", str(line)) as served, connect(served) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in connection.recv(65536)
        served.process.send_signal(signal.SIGTERM)
        begun(connection, sent=len(BODY))
        assert b" 200 " in rest_of(connection)


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGINT, signal.SIGINT),
        pytest.param((signal.SIGTERM, signal.SIGTERM), marks=pytest.mark.soak),
    ],
)
def test_a_signal_to_every_process_drains_too(start, line, signals):
    """A terminal's Ctrl-C and systemd's SIGTERM reach the workers twice: themselves, and by the parent."""
    with start("--model", str(line)) as served, connect(served) as slow:
        begun(slow)
        time.sleep(0.3)
        (worker,) = psutil.Process(served.process.pid).children()
        os.kill(worker.pid, signals[0])
        served.process.send_signal(signals[1])
        drains(served)
        time.sleep(0.5)
        slow.sendall(BODY[3:])
        assert b" 200 " in rest_of(slow)
        assert served.process.wait(15) == 0
    recorded(
        "reliability",
        f"{signals[0].name} to all processes at once, with an upload under way",
        "drained; the upload was answered 200",
        "nothing",
    )


@pytest.mark.soak
def test_a_worker_that_is_rolled_leaves_new_connections_to_the_others(start, line):
    """An upload holds the old worker; meanwhile nobody is told to come again."""
    with start("--model", str(line)) as served, connect(served) as slow:
        begun(slow)
        time.sleep(0.3)
        (old,) = psutil.Process(served.process.pid).children()
        statuses, done = [], threading.Event()

        def ask():
            while not done.is_set():
                statuses.append(served.call("/predict", {"x": 3})[0])

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            served.process.send_signal(signal.SIGHUP)
            stop = time.monotonic() + 60
            while len(psutil.Process(served.process.pid).children()) < 2 and time.monotonic() < stop:
                time.sleep(0.05)
            while old.is_running() and len(statuses) < 20 and time.monotonic() < stop:
                time.sleep(0.05)
            slow.sendall(BODY[3:])
            assert b" 200 " in rest_of(slow)
            psutil.wait_procs([old], timeout=30)
        finally:
            done.set()
            asking.join()
        assert not old.is_running() or old.status() == psutil.STATUS_ZOMBIE
        assert set(statuses) == {200}
