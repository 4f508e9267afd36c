"""Clients that ask and do not read, and those that never finish to greet: dropped, and what waited for them is free."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, closing, suppress

import psutil
import pytest

from tests.conftest import missing_part
from tests.recorded import recorded
from tests.serving.processes import until

ROWS = 300_000
BODY = json.dumps({"inputs": [1] * ROWS}).encode()
HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def connect(served):
    """Return a socket with little room for what comes, that closes itself."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", int(served.url.rsplit(":", 1)[1])))
    return closing(connection)


def dropped(served):
    """Return how many clients were dropped."""
    found = re.search(r'slipway_errors_total\{kind="AnswerNotTaken"\} (\S+)', served.call("/metrics")[1])
    return float(found[1]) if found else 0.0


def test_clients_that_never_read_are_dropped(start, line):
    """Twelve answers of 5 MB wait; one client that reads slowly, for longer than the limit, gets all of its own."""
    with start("--model", str(line), "--write-seconds", "1") as served, ExitStack() as stack:
        (worker,) = psutil.Process(served.process.pid).children()
        slow = stack.enter_context(connect(served))
        slow.sendall(REQUEST)
        size = int(re.search(rb"content-length: (\d+)", found := slow.recv(4096))[1])
        got = len(found) - found.index(b"\r\n\r\n") - 4
        for _ in range(12):
            stack.enter_context(connect(served)).sendall(REQUEST)
        began = time.monotonic()
        while dropped(served) < 12 or time.monotonic() - began < 4:
            got += len(slow.recv(2**17))
            assert time.monotonic() - began < 90
            time.sleep(0.02)
        assert got < size, "the answer was read before the limit could have been reached"
        while got < size:
            got += len(slow.recv(2**20))
        until(lambda: len(worker.net_connections()) < 6)
        assert dropped(served) == 12
        status, answer, _ = served.call("/predict", {"x": 3})
        assert (status, list(answer)) == (200, ["y"])
    recorded(
        "security",
        "clients that ask for answers of 5 MB and never read",
        "drops each that has read less than 500 bytes a second for `--write-seconds`; counts it; frees the answer",
        "nothing; a slow reader gets its answer",
    )


@pytest.mark.soak
def test_answers_that_wait_are_held_of_the_workers_memory(start, line):
    """Long before their time is over the slowest go: no number of clients fills the machine, or keeps others out."""
    options = ["--write-seconds", "600", "--memory-bytes", str(100 * 2**20)]
    with start("--model", str(line), *options) as served, ExitStack() as stack:
        (worker,) = psutil.Process(served.process.pid).children()
        for _ in range(20):
            connection = stack.enter_context(connect(served))
            connection.sendall(REQUEST)
            assert b" 200 " in connection.recv(200)
        until(lambda: dropped(served) >= 5)
        assert worker.memory_info().rss < 400e6
        assert served.call("/predict", {"x": 3})[0] == 200
    recorded(
        "security",
        "20 such clients, to a worker of `--memory-bytes` 100 MiB",
        "answers that wait for clients may take a quarter of it; then the client that reads least is dropped",
        "25 MiB; others are answered",
    )


@pytest.fixture(scope="module")
def secure(start, line, tmp_path_factory):
    """A server with TLS and short times."""
    if shutil.which("openssl") is None:
        missing_part("openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    words = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
        key,
        "-out",
        cert,
    ]
    subprocess.run(["openssl", "req", "-x509", *words], check=True, capture_output=True)
    options = ["--tls-cert", cert, "--tls-key", key, "--body-seconds", "1.5", "--write-seconds", "1"]
    with start("--model", str(line), *options) as served:
        yield served


def trusting():
    """Return a context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_a_tls_handshake_has_the_time_of_a_head(secure):
    """Silent, or dripping; before, it had a minute whatever the limit was."""
    with connect(secure) as greeting, trusting().wrap_socket(greeting, server_hostname="localhost") as good:
        good.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert good.recv(4096).startswith(b"HTTP/1.1 200 ")
    with connect(secure) as silent, connect(secure) as dripping:
        began = time.monotonic()
        dripping.sendall(b"\x16\x03\x01")
        for connection in (silent, dripping):
            with suppress(ConnectionError):
                assert connection.recv(4096) == b""
        assert 1 <= time.monotonic() - began < 45
    recorded(
        "security",
        "TLS handshakes that never end",
        "closes each after `--body-seconds`, as a slow head",
        "a connection for that time",
    )


def test_a_client_of_tls_that_never_reads_is_dropped(secure):
    """The buffers of TLS are others."""
    with connect(secure) as plain, trusting().wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(REQUEST)
        (worker,) = psutil.Process(secure.process.pid).children()
        until(lambda: len(worker.net_connections()) > 1)
        until(lambda: not [each for each in worker.net_connections() if each.status == "ESTABLISHED"])
