"""What a connection may do before a request is whole: slow heads, long heads, halves of bodies."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

BEGINNING = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def served(start, line):
    """A server that waits one second for a head or a body."""
    with start("--model", str(line), "--body-seconds", "1", "--header-bytes", "4096") as served:
        yield served


def connect(served):
    """Return a socket that closes itself."""
    connection = socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])))
    connection.settimeout(6)
    return closing(connection)


def answered(connection):
    """Read one whole answer of /livez."""
    found = b""
    while b"alive" not in found:
        part = connection.recv(4096)
        if not part:
            return False
        found += part
    return b"200 OK" in found


def seconds_until_closed(connection, *, dripping=b""):
    """Return how long the server bore it, a byte every tenth of a second."""
    began = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - began < 6:
        try:
            if dripping:
                connection.sendall(dripping)
            if connection.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def test_a_slow_head_ends_the_connection(served):
    """Slowloris: on a new connection, and on one that has been good for long; all at once, for they are waited for."""
    cases = [(good, dripping) for good in (0, 4) for dripping in (b"", b"a", b"\r\n")]
    with ThreadPoolExecutor(len(cases)) as together:
        borne = list(together.map(lambda case: seconds_of_a_slow_head(served, *case), cases))
    assert max(borne[:3]) < 3
    assert max(borne[3:]) < 6


def seconds_of_a_slow_head(served, good, dripping):
    """Return how long a head was borne that does not end, after so many good ones."""
    with connect(served) as connection:
        for _ in range(good):
            connection.sendall(BEGINNING + b"\r\n")
            assert answered(connection)
            time.sleep(0.4)
        connection.sendall(b"" if dripping == b"\r\n" else BEGINNING[:9])
        return seconds_until_closed(connection, dripping=dripping)


def test_a_connection_used_for_longer_than_a_head_may_take_stays_open(served):
    """The timer is the head's, not the connection's."""
    with connect(served) as connection:
        for place in range(6):
            head = BEGINNING + b"X: %d\r\n\r\n" % place
            connection.sendall(head[:20])
            time.sleep(0.3)
            connection.sendall(head[20:])
            assert answered(connection)


def test_a_head_that_never_ends_is_not_kept(served):
    """One header value of 20 MB: refused long before."""
    with connect(served) as connection:
        connection.sendall(BEGINNING + b"X: ")
        sent = 0
        with suppress(OSError):  # a reset or a broken pipe, as it falls
            while sent < 20:
                connection.sendall(b"a" * 2**20)
                sent += 1
    assert sent < 20
    assert served.call("/livez")[0] == 200


def test_half_a_body_is_not_scored(served):
    """Two whole CSV lines of a body that promised more, then nothing."""
    scored = rows_scored(served)
    with connect(served) as connection:
        head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        connection.sendall(head + b"Content-Length: 1000\r\n\r\nx\n1\n2\n")
        time.sleep(0.2)
    time.sleep(0.3)
    assert rows_scored(served) == scored


def rows_scored(served):
    """Return the metric."""
    return re.search(r"^slipway_rows_total (\S+)", served.call("/metrics")[1], re.MULTILINE)[1]


def test_a_body_without_a_declared_length_is_measured_too(start, line):
    """Chunked, and all of it in one packet."""
    body = b'{"inputs": {"x": [%s]}}' % b",".join([b"1"] * 2000)
    head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with start("--model", str(line), "--body-bytes", "2000") as served, connect(served) as connection:
        connection.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert b" 413 " in connection.recv(4096)


def test_heads_without_a_body_are_sent_too(served):
    """HEAD has none, and Expect waits for one: neither is held back for what never comes."""
    host, port = served.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=5)) as connection:
        connection.sendall(b"HEAD /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).endswith(b"\r\n\r\n")
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b'{"x":3}')
        assert b"200 OK" in connection.recv(65536)


def test_a_refusal_reaches_a_client_that_is_still_sending(server):
    """To close in the middle of its body would reset the connection, and take the answer back from it."""
    head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"
    for _ in range(5):
        with connect(server) as connection:
            connection.sendall(head + b" " * 3_000_000)
            found = b""
            while part := connection.recv(65536):
                found += part
            assert found.startswith(b"HTTP/1.1 413 ")
            assert found.endswith(b"}")
