"""Bodies that come slowly: they take no place of a request in work, and end for those that need theirs."""

import socket
import time
from contextlib import ExitStack

import pytest

from serving.front.connections.body import party_of
from tests.recorded import recorded

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def connect(served):
    """Return a socket to the server."""
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def begun(served, stack, *, length=7, body=b"{"):
    """Send a request whose body does not end; return its connection."""
    connection = stack.enter_context(connect(served))
    connection.sendall(HEAD % length + body)
    return connection


def answer_of(connection):
    """Return all that comes until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def ask_in_two_packets(served):
    """Send a head, and a moment later its body, as many clients do; return the status line."""
    body = b'{"x": 3}'
    with connect(served) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(HEAD % len(body))
        time.sleep(0.02)
        connection.sendall(body)
        return connection.recv(65536).partition(b"\r\n")[0]


@pytest.fixture(scope="module")
def slow(start, line):
    """A server with few places, and a rate that a test can wait for."""
    with start("--model", str(line), "--in-flight", "8", "--waiting-bodies", "16") as served:
        yield served


def test_bodies_that_do_not_come_take_no_place_of_others(slow):
    """520 requests of one byte each: before, they took all places in work for 30 s."""
    with ExitStack() as stack:
        for _ in range(520):
            begun(slow, stack)
        for _ in range(10):
            assert slow.call("/predict", {"x": 3})[0] == 200
        for _ in range(3):
            assert ask_in_two_packets(slow) == b"HTTP/1.1 200 OK"
    recorded(
        "security",
        "520 requests that send one byte of their body and then wait, with `--in-flight 8`",
        "bodies that still arrive are counted apart, at most half of them of one client; the body that "
        "has sent least gives way to the next",
        "nothing: every honest request is answered meanwhile, in one packet or two",
    )


def test_a_body_that_drips_is_ended_after_its_grace(slow):
    """A byte now and then keeps nothing alive: 408, and the connection is closed."""
    with ExitStack() as stack:
        connection = begun(slow, stack)
        began = time.monotonic()
        answer = answer_of(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"less than 1000 bytes a second" in answer
        assert 4 < time.monotonic() - began < 25  # body_seconds is 30
    recorded(
        "security",
        "a body that comes byte by byte, slowly",
        "`--body-rate` (1,000 bytes a second) once five seconds are over",
        "408 and a closed connection after 5 s, not 30",
    )


def test_one_client_cannot_have_all_the_waiting_places(slow):
    """With half of the places taken the next body makes one of the same client give way."""
    with ExitStack() as stack:
        first = begun(slow, stack, length=10**6, body=b"{")
        others = [begun(slow, stack, length=10**6, body=b"{" * 40_000) for _ in range(7)]
        time.sleep(0.3)
        begun(slow, stack, length=10**6, body=b"{")
        answer = answer_of(first)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        for other in others:
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.recv(1)


def test_a_large_body_that_comes_at_a_fair_rate_is_taken(slow):
    """Slow is not late: 300 kB in 2 s."""
    body = b'{"x": [' + b"3, " * 100_000 + b"3]}"
    with connect(slow) as connection:
        connection.sendall(HEAD % len(body))
        for start in range(0, len(body), len(body) // 20):
            connection.sendall(body[start : start + len(body) // 20])
            time.sleep(0.1)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("client", "party"),
    [
        (("10.0.0.7", 4711), "10.0.0.7"),
        (("::ffff:10.0.0.7", 4711, 0, 0), "10.0.0.7"),
        (("2001:db8:1:2:3::4", 4711, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::5", 1, 0, 0), "2001:db8:1:2::/64"),
        (None, ""),
        (("/run/slipway.sock", 0), "/run/slipway.sock"),
    ],
)
def test_a_client_is_an_address_or_the_network_that_one_has(client, party):
    """Who has an IPv6 network has 2^64 addresses."""
    assert party_of(client) == party
