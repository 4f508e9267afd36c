"""How many connections a worker takes, for how long, and of whom."""

import json
import re
import socket
import subprocess
import time
from contextlib import ExitStack, closing

import psutil
import pytest

from tests.recorded import recorded
from tests.serving.conftest import serve

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(served, address="127.0.0.1"):
    """Return a socket that closes itself."""
    return closing(socket.create_connection((address, int(served.url.rsplit(":", 1)[1])), timeout=20))


def answered(connection):
    """Ask on a connection; return the status, or None where it ended without one."""
    try:
        connection.sendall(LIVEZ)
        found = connection.recv(65536)
    except OSError:
        return None
    return int(found[9:12]) if found else None


def cpu_of(served):
    """Return the worker's seconds of processor."""
    (worker,) = psutil.Process(served.process.pid).children()
    used = worker.cpu_times()
    return used.user + used.system


@pytest.fixture(scope="module")
def narrow(line):
    """A server that may open few files, and asked for fewer yet."""
    before = ["bash", "-c", 'ulimit -Sn 60; ulimit -Hn 100; exec "$@"', "bash"]
    with serve("--model", str(line), before=before) as served:
        yield served


def test_idle_connections_make_room_at_a_low_limit_of_files(narrow):
    """Silent ones go before those that have asked something, and the oldest first; nothing spins."""
    with ExitStack() as stack:
        used = stack.enter_context(connect(narrow))
        assert answered(used) == 200
        held = [stack.enter_context(connect(narrow)) for _ in range(300)]
        new = stack.enter_context(connect(narrow))
        assert answered(new) == 200
        assert answered(used) == 200
        assert answered(held[-1]) == 200
        assert held[0].recv(1) == b""
        before = cpu_of(narrow)
        time.sleep(1)
        assert cpu_of(narrow) - before < 0.5
    recorded(
        "security",
        "300 silent connections to a worker that may open 100 files",
        "closes the silent ones, oldest first; connections that asked something stay",
        "no request of others is lost",
    )


def test_where_no_connection_is_idle_the_next_is_told_to_come_again(narrow):
    """Each has a body on its way. 503 for some, and no answer for the rest; all is well when they are gone."""
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{"
    with ExitStack() as stack:
        for _ in range(120):
            connection = stack.enter_context(connect(narrow))
            try:
                connection.sendall(head)
            except OSError:
                continue
        statuses = [answered(stack.enter_context(connect(narrow))) for _ in range(10)]
        assert set(statuses) <= {200, 503, None}
        before = cpu_of(narrow)
        time.sleep(1)
        assert cpu_of(narrow) - before < 0.5
    until_answered(narrow)


def until_answered(served):
    """Return once a new connection is answered."""
    stop = time.monotonic() + 30
    while True:
        with connect(served) as connection:
            if answered(connection) == 200:
                return
        assert time.monotonic() < stop
        time.sleep(0.1)


def test_the_limit_on_open_files_is_raised(narrow):
    """Most systems start a process with 1,024, and grant more to the one that asks."""
    (worker,) = psutil.Process(narrow.process.pid).children()
    assert worker.rlimit(psutil.RLIMIT_NOFILE) == (100, 100)


@pytest.fixture(scope="module")
def limited(start, line):
    """Short times, few connections."""
    options = ["--keep-alive-seconds", "0.5", "--connections", "12", "--connections-per-client", "4"]
    with start("--model", str(line), *options) as served:
        yield served


def test_connections_are_counted_for_each_client(limited):
    """127.0.0.1 has four; another address of this machine is another client."""
    with ExitStack() as stack:
        mine = [stack.enter_context(connect(limited)) for _ in range(4)]
        for connection in mine:
            connection.sendall(LIVEZ[:-2])  # a head that is not whole: it does not count as idle for long
        fifth = stack.enter_context(connect(limited))
        fifth.sendall(LIVEZ)
        found = rest_of(fifth)
        assert found.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in found
        sixth = stack.enter_context(connect(limited))
        body = b'{"x":3}'
        sixth.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n" + body)
        found = rest_of(sixth)
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in found
        other = socket.create_connection(
            ("127.0.0.1", int(limited.url.rsplit(":", 1)[1])), timeout=20, source_address=("127.0.0.9", 0)
        )
        with closing(other):
            assert answered(other) == 200
        mine[0].sendall(LIVEZ[-2:])
        assert mine[0].recv(65536).startswith(b"HTTP/1.1 200 ")
    until_answered(limited)
    recorded(
        "security",
        "one client with more connections than `--connections-per-client`",
        "503 with Retry-After on those beyond it; others are answered",
        "its own connections",
    )


def rest_of(connection):
    """Read to the end."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_an_idle_connection_lives_as_long_as_it_should(limited, server):
    """Balancers keep theirs for a minute: by default for 75 s, which is longer than the 5 s of before."""
    from serving.options import parser

    assert parser().parse_args(["--model", "x"]).keep_alive_seconds == 75
    with connect(server) as patient, connect(limited) as hasty:
        assert (answered(patient), answered(hasty)) == (200, 200)
        began = time.monotonic()
        assert hasty.recv(1) == b""
        assert time.monotonic() - began >= 0.4
        time.sleep(max(0.0, 5.7 - (time.monotonic() - began)))
        assert answered(patient) == 200


def test_both_families_are_answered_on_the_unspecified_address(line):
    """As gRPC does; and what is printed is an address that a client takes."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    for host, others in (("::", ("127.0.0.1", "::1")), ("::1", ())):
        with serve("--model", str(line), "--no-auth", "--host", host) as served:
            assert served.url.startswith(f"http://[{host}]:")
            for address in others:
                with connect(served, address) as connection:
                    assert answered(connection) == 200


def test_garbage_logs_ten_lines_a_second_and_is_counted(line):
    """Scanners and TLS on the plain port: each connection is refused, and the log does not fill the disk."""
    with serve("--model", str(line), stderr=subprocess.PIPE) as served:
        began = time.monotonic()
        for place in range(200):
            with connect(served) as connection:
                connection.sendall(
                    (b"\x16\x03\x01\x02\x00", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")[place % 3]
                )
                assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        seconds = time.monotonic() - began
        counted = re.search(r'slipway_errors_total\{kind="NotHttp"\} (\S+)', served.call("/metrics")[1])[1]
        served.process.terminate()
        lines = served.process.stderr.read().splitlines()
    refusals = [json.loads(each) for each in lines if each.startswith("{")]
    assert float(counted) == 200
    assert 1 <= len(refusals) <= 10 * (seconds + 2)
    assert all(each["status"] == 400 for each in refusals)
    assert not [each for each in lines if "Invalid HTTP" in each or "Unsupported upgrade" in each]
    recorded(
        "security",
        "hundreds of connections that do not speak HTTP",
        "400, counted in `slipway_errors_total`; at most ten lines of log a second",
        "no disk is filled",
    )
