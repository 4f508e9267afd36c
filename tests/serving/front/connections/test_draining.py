"""What a server that stops tells those who still come, and what it does for those who were there."""

import os
import shutil
import signal
import socket
import threading
import time
from contextlib import closing

import psutil
import pytest

from tests.conftest import missing_part
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


def test_a_server_that_leaves_takes_requests_until_balancers_have_heard(start, line):
    """From the signal on it is not ready; who comes all the same, or has a connection, is answered, and not kept."""
    with start("--model", str(line), "--drain-delay", "2") as served, connect(served) as early:
        early.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in early.recv(65536)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        drains(served)
        until = began + 1.5
        while time.monotonic() < until:
            assert served.call("/predict", {"x": 3})[0] == 200
            assert served.call("/readyz")[0] == served.call("/v2/health/ready")[0] == 503
        assert served.call("/livez")[0] == 200
        assert {each["state"] for each in served.call("/status")[1]["models"].values()} == {"DRAINING"}
        early.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n" + BODY)
        said = rest_of(early)
        assert b" 200 " in said.partition(b"\r\n")[0]
        assert b"connection: close" in said.lower()
        assert served.process.wait(15) == 0
        assert 2 <= time.monotonic() - began < 12


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_waiting(start, line, second):
    """Whoever stops it by hand need not sit it out; requests under way are still answered."""
    with start("--model", str(line), "--drain-delay", "600") as served, connect(served) as slow:
        begun(slow)
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        drains(served)
        assert served.call("/predict", {"x": 3})[0] == 200
        served.process.send_signal(second)
        stop = time.monotonic() + 20
        while served.call("/predict", {"x": 3})[0] != 503:
            assert time.monotonic() < stop
        slow.sendall(BODY[3:])
        assert b" 200 " in rest_of(slow)
        assert served.process.wait(15) == 0


def test_a_signal_to_every_process_does_not_end_the_waiting(start, line):
    """A terminal and systemd signal the workers too: they leave it to the parent, which knows when."""
    with start("--model", str(line), "--drain-delay", "2", "--workers", "2") as served:
        stop = time.monotonic() + 20
        while len(psutil.Process(served.process.pid).children()) < 2:
            assert time.monotonic() < stop
            time.sleep(0.05)
        time.sleep(0.5)
        began = time.monotonic()
        for worker in psutil.Process(served.process.pid).children():
            worker.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGTERM)
        drains(served)
        while time.monotonic() < began + 1.5:
            assert served.call("/predict", {"x": 3})[0] == 200
        assert served.process.wait(15) == 0


def test_a_worker_that_starts_while_the_server_leaves_says_so_too(start, line):
    """It takes the place of one that died; a balancer must not be told that the server is ready again."""
    with start("--model", str(line), "--drain-delay", "600") as served:
        (first,) = psutil.Process(served.process.pid).children()
        served.process.send_signal(signal.SIGTERM)
        drains(served)
        first.kill()
        stop, found = time.monotonic() + 30, None
        while found is None:
            assert time.monotonic() < stop
            try:
                found = served.call("/predict", {"x": 3})[0]
            except OSError:  # it had the connection
                time.sleep(0.05)
        assert (found, served.call("/readyz")[0]) == (200, 503)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0


def test_over_grpc_a_server_that_leaves_answers_and_says_so(start, line):
    """The health service says NOT_SERVING, also to those who watch; calls are answered."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from serving.protocols.v2_messages.messages import message
    from serving.running import free_port
    from tests.serving.front.rpc.grpc_calls import Caller, one_row

    port = free_port()
    with (
        start("--model", f"line={line}", "--grpc-port", str(port), "--drain-delay", "2") as served,
        Caller(port) as caller,
    ):
        health = health_pb2_grpc.HealthStub(caller.channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        served.process.send_signal(signal.SIGTERM)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert caller.infer(one_row())[0] == "OK"
        asked = health.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert asked.status == health_pb2.HealthCheckResponse.NOT_SERVING
        ready = caller.channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"", timeout=20)
        assert message("ServerReadyResponse").FromString(ready).ready is False
        watched.cancel()
        assert served.process.wait(20) == 0


@pytest.mark.soak
def test_restarts_behind_a_balancer_that_learns_late_lose_nothing(line):
    """Nginx sends to a server for a while after it was told to stop: without the delay, into a closed door."""
    from benchmarks.restarts import rolled, said

    if not shutil.which("nginx"):
        missing_part("nginx (apt-get install nginx-light)")
    without = rolled(line, rounds=1, late=3.0, delay=0.0)
    waiting = rolled(line, rounds=1, late=3.0, delay=5.0)
    many = rolled(line, rounds=2, late=0.3, delay=1.0)
    for what, load in (("no delay", without), ("5 s, nginx 3 s late", waiting), ("4 restarts", many)):
        print(f"{what}: {load.lost} of {load.answers.total()} requests lost ({said(load)})")  # noqa: T201 - soak shows it
    assert without.lost > 0
    assert (waiting.lost, many.lost) == (0, 0)
    assert min(waiting.answers["200"], many.answers["200"]) > 100
    recorded(
        "reliability",
        "SIGTERM to two servers in turn behind nginx, which sends to each for 3 s more; `--drain-delay 5`",
        "answered for 5 s while `/readyz` said 503, then drained",
        "nothing; without the option, each request that nginx sent to a server that had ended",
    )
