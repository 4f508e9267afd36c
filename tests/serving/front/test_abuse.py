"""Bodies made to hurt, sent to one worker: nothing fails, nothing grows, the next request is answered."""

import io
import json
import re
import socket
import subprocess
import time
import zlib
from contextlib import closing
from functools import lru_cache

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.front.work import TRIM_SECONDS
from tests.serving.conftest import serve
from tests.serving.front.thrift import varint

PARQUET = "application/vnd.apache.parquet"
HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def connect(served):
    """Return a socket to the server."""
    host, port = served.url.removeprefix("http://").split(":")
    return closing(socket.create_connection((host, int(port)), timeout=20))


def pour(connection, piece, times):
    """Send a chunk many times; return how many bytes went out, and what came back."""
    chunk, sent = b"%x\r\n%s\r\n" % (len(piece), piece), 0
    try:
        for _ in range(times):
            connection.sendall(chunk)
            sent += len(piece)
        connection.sendall(b"0\r\n\r\n")
    except OSError:
        pass
    try:
        return sent, connection.recv(65536)
    except OSError:
        return sent, b""


def a_gigabyte_in_chunks(served):
    """Not announced, so it is counted as it comes."""
    with connect(served) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent, answer = pour(connection, b" " * 2**20, 1024)
        assert sent < 2**28
        assert not answer or b" 413 " in answer


def an_announced_gigabyte(served):
    """Refused before its first byte."""
    with connect(served) as connection:
        connection.sendall(HEAD + b"Content-Length: 1073741824\r\n\r\n")
        assert b" 413 " in connection.recv(65536)


def ten_thousand_chunks_of_a_byte(served):
    """One body."""
    with connect(served) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert b" 413 " in pour(connection, b"[", 10_000)[1]


def deep_json(served):
    """250,000 lists in each other."""
    for opening, closing_ in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"instances":' + opening * 250_000 + b"1" + closing_ * 250_000 + b"}"
        assert served.call("/invocations", body)[0] == 413
    assert served.call("/predict", b"[" * 250_000)[0] == 413


def a_parquet_file_of_a_trillion_rows(served):
    """Its footer says so; it holds 7,777."""
    written = io.BytesIO()
    pq.write_table(pa.table({"distance": np.zeros(7777)}), written)
    content = written.getvalue()
    size = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - size : -8]
    claimed = footer.replace(varint(2 * 7777), varint(2 * 10**12))
    assert claimed != footer
    body = content[: -8 - size] + claimed + len(claimed).to_bytes(4, "little") + b"PAR1"
    assert pq.read_metadata(io.BytesIO(body)).num_rows == 10**12
    assert served.call("/invocations", body, headers={"Content-Type": PARQUET})[0] == 413


@lru_cache
def bomb():
    """Return a gigabyte of blanks in a megabyte."""
    machine = zlib.compressobj(wbits=31)
    return b"".join(machine.compress(b" " * 2**24) for _ in range(64)) + machine.flush()


def a_gzip_bomb(served):
    """Expanded no further than the limit."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert served.call("/invocations", bomb(), headers=headers)[0] == 413


def ten_thousand_columns(served):
    """And more, and names that are no names."""
    row = {f"c{place}": 1 for place in range(20_000)}
    assert served.call("/invocations", {"dataframe_records": [row]})[0] == 413
    for name in ("\x00", "\ud800", "x" * 10**6):
        assert served.call("/invocations", {"dataframe_records": [{name: 1}]})[0] == 400


def disconnects_in_the_middle(served):
    """A hundred clients that lose heart."""
    for place in range(100):
        with connect(served) as connection:
            connection.sendall((HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 1000)[: 40 + place * 20])


ABUSE = [
    a_gigabyte_in_chunks, an_announced_gigabyte, ten_thousand_chunks_of_a_byte, deep_json,
    a_parquet_file_of_a_trillion_rows, a_gzip_bomb, ten_thousand_columns, disconnects_in_the_middle,
]  # fmt: skip


@pytest.fixture(scope="module")
def abused(start, flights):
    """One server for all of it."""
    with start("--model", str(flights)) as served:
        yield served


@pytest.mark.parametrize("attack", ABUSE)
def test_the_next_request_is_answered(abused, golden, attack):
    """Each attack asserts its own answer, never a 5xx."""
    attack(abused)
    status, answer, _ = abused.call("/invocations", {"dataframe_records": [golden[0]["row"]]})
    assert (status, answer["predictions"]) == (200, [golden[0]["prediction"]])
    assert 'status="5' not in abused.call("/metrics")[1]


@pytest.mark.soak
def test_memory_does_not_grow_with_abuse(start, flights):
    """Three rounds of everything warm its threads and heaps up; two more add nothing."""
    with start("--model", str(flights)) as served:
        (worker,) = psutil.Process(served.process.pid).children()
        figures = []
        for rounds in (3, 2):
            for attack in ABUSE * rounds:
                attack(served)
            figures.append(settled(worker))
        assert figures[1] < figures[0] * 1.03, figures
        assert figures[1] < 250e6, figures


def settled(worker):
    """Return the least that a process takes until the last trim is over: what large requests left goes back by then."""
    figures = []
    until = time.monotonic() + max(TRIM_SECONDS) + 1.0
    while time.monotonic() < until:
        figures.append(worker.memory_info().rss)
        time.sleep(0.1)
    return min(figures)


def test_the_depth_of_json_is_a_limit(start, flights, golden):
    """A column that the model ignores may nest as deep as the option says."""

    def nested(levels):
        inner = 1
        for _ in range(levels - 3):  # the object, the list, the row
            inner = [inner]
        return {"dataframe_records": [golden[0]["row"] | {"extra": inner, "text": "[[[[[[[[[[[["}]}

    with start("--model", str(flights), "--json-depth", "10") as served:
        assert served.call("/invocations", nested(10))[0] == 200
        status, answer, _ = served.call("/invocations", nested(11))
        assert (status, answer["message"][:29]) == (413, "more than 10 levels of JSON: ")


def test_work_stops_at_its_deadline(start, line):
    """A block of rows at a time, so that a thread comes free."""
    written = io.BytesIO()
    pq.write_table(pa.table({"x": np.zeros(900_000)}), written)
    with start("--model", str(line), "--work-seconds", "0.001") as served:
        assert served.call("/invocations", written.getvalue(), headers={"Content-Type": PARQUET})[0] == 504
        assert served.call("/predict", {"x": 3})[0] == 200


def refused_at_once(served, count):
    """Send many requests that are refused in one go, on one connection; return the ids that came back.

    A client that waits for each answer may be too slow to be a flood.
    """
    body = b'{"x":"three"}'
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    found = b""
    with connect(served) as connection:
        connection.sendall((head + b"Content-Length: %d\r\n\r\n" % len(body) + body) * count)
        while found.count(b"error id ") < count or not found.endswith(b"}"):
            part = connection.recv(2**16)
            assert part
            found += part
    return [each.decode() for each in re.findall(rb"error id (\w+)", found)]


def test_refusals_are_logged_under_the_clients_id_at_a_bounded_rate(line):
    """Each line is JSON; a flood is counted, not written."""
    with serve("--model", str(line), "--access-log", "1", stderr=subprocess.PIPE) as served:
        ids = refused_at_once(served, 300)
        time.sleep(1.1)
        last = served.call("/predict", {"x": "three"})[1]
        assert served.call("/predict", {"x": 3})[0] == 200
        served.process.terminate()
        said = served.process.stderr.read().splitlines()
    lines = [json.loads(line) for line in said if line.startswith("{")]
    logged = {line["error_id"]: line for line in lines if "error_id" in line}
    assert ids[0] in logged
    assert len(ids) == 300
    final = logged[last["stack_trace"].removeprefix("withheld; error id ")]
    assert len(logged) + sum(line["unwritten"] for line in logged.values()) == 301
    assert final["unwritten"] > 0
    assert [line["path"] for line in lines if line["status"] == 200][-1] == "/predict"
