"""The server over real HTTP: MLflow's protocol, the simple one, strictness, limits, abuse."""

import gzip
import hashlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.serving.front.formats import ARROW, CSV, PARQUET, frame_of, in_every_format

JSON_TYPE = {"Content-Type": "application/json"}


def raw(served, content, *, wait=10.0):
    """Send bytes on a socket and return what comes back until the server closes or falls silent."""
    host, port = served.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=wait)) as connection:
        try:
            connection.sendall(content)
            return connection.recv(65536)
        except (ConnectionError, TimeoutError):
            return b""


def one_row(golden):
    """Return a body that is right."""
    return {"dataframe_records": [golden[0]["row"]]}


def test_golden_rows_come_out_equal_in_every_format(server, golden):
    """One coercion routine: seven bodies, one answer; column order and extra columns don't matter."""
    frame = frame_of(golden)
    shuffled = frame[frame.columns[::-1]].assign(extra="x")
    expected = [case["prediction"] for case in golden]
    for body, kind in in_every_format(frame) + in_every_format(shuffled):
        status, answer, headers = server.call("/invocations", body, headers={"Content-Type": kind})
        assert status == 200, (kind, answer)
        np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-12)
        assert headers["X-Model-Version"]


def test_probes_answer_as_mlflow_does(server, flights):
    """/version is MLflow's own version, which MLflow's test client compares."""
    assert server.call("/ping")[:2] == (200, "\n")
    assert server.call("/health")[:2] == (200, "\n")
    versions = json.loads((flights / "scorer" / "scorer.json").read_text())["versions"]
    assert server.call("/version")[1] == versions["mlflow"]
    assert server.call("/livez")[0] == server.call("/readyz")[0] == 200


def test_the_simplest_call_answers_a_number_for_a_number(start, line):
    """A client of a hand-written script moves over by changing the address."""
    golden = json.loads((line / "scorer" / "scorer.json").read_text())["golden"]
    x, y = golden[0]["row"]["x"], golden[0]["prediction"]
    with start("--model", str(line)) as served:
        assert served.call("/predict", {"x": x})[1] == {"y": pytest.approx(y, rel=1e-12)}
        assert served.call("/predict", {"x": [x, x]})[1] == {"y": [pytest.approx(y)] * 2}
        assert served.call("/predict", {"x": {"x": x}})[1] == {"y": pytest.approx(y)}
        assert served.call("/predict", {"x": "3"})[0] == 400
        assert served.call("/predict", {"z": 3})[0] == 400


def test_the_simplest_call_takes_objects_for_more_columns(server, golden):
    """Columns, one object, or a list of objects."""
    row, y = golden[0]["row"], pytest.approx(golden[0]["prediction"])
    assert server.call("/predict", {"x": row})[1] == {"y": y}
    assert server.call("/predict", {"x": [row, row]})[1] == {"y": [y, y]}
    assert server.call("/predict", {"x": {name: [value] for name, value in row.items()}})[1] == {"y": [y]}
    assert server.call("/predict", {"x": 3})[0] == 400


def test_every_fault_is_named_with_its_place(server, golden):
    """All faults at once, so that a client mends its request once; the message never quotes the request."""
    good, bad = golden[0]["row"], {**golden[0]["row"], "distance": "secret-7", "carrier": 5, "date": "soon"}
    status, answer, _ = server.call("/invocations", {"dataframe_records": [good, bad]})
    assert status == 400
    assert answer["error_count"] == 3
    assert {(fault["row"], fault["column"]) for fault in answer["errors"]} == {
        (1, "distance"),
        (1, "carrier"),
        (1, "date"),
    }
    assert "secret" not in json.dumps(answer)
    assert "withheld" in answer["stack_trace"]


def test_many_faults_are_counted_and_twenty_described(server, golden):
    """A body of bad rows must not give a longer answer."""
    bad = {**golden[0]["row"], "distance": True}
    _, answer, _ = server.call("/invocations", {"dataframe_records": [bad] * 500})
    assert (answer["error_count"], len(answer["errors"])) == (500, 20)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"3", b"{", b"\xff\xfe", b'{"inputs":', b"{}", b'{"dataframe_records":[]}',
        b'{"dataframe_records":[{}]}', b'{"dataframe_records":3}', b'{"dataframe_records":[3]}',
        b'{"dataframe_records":[NaN]}', b'{"dataframe_records":[{"x":Infinity}]}', b'{"x":"\\ud800"}',
        b'{"dataframe_split":{"columns":["a","a"],"data":[[1,2]]}}', b'{"dataframe_split":{"data":[[1]]}}',
        b'{"dataframe_split":{"columns":["a"],"data":[[1,2]]}}', b'{"dataframe_split":{"columns":[],"data":[]}}',
        b'{"inputs":{"a":[1],"b":[1,2]}}', b'{"inputs":{}}', b'{"instances":[[1,2]]}',
        b'{"inputs":[],"instances":[]}', b"[" * 250_000, b'{"a":' * 250_000, b'{"\\u0000":1}',
        b'{"dataframe_records":[{"a":1,"a":2}]}', b'{"dataframe_records":[{"a" :1,"a"\n:2}]}',
        b'{"dataframe_records":[{' + b",".join(b'"c%d":1' % i for i in range(10_001)) + b"}]}",
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_used_are_the_clients_mistake(server, golden, body):
    """4xx with MLflow's keys, and the next request is answered."""
    status, answer, _ = server.call("/invocations", body, headers=JSON_TYPE)
    assert status in (400, 413)
    assert {"error_code", "message", "stack_trace"} <= set(answer)
    assert server.call("/invocations", one_row(golden))[0] == 200


def test_integers_over_64_bits_are_refused_not_rounded(server, golden):
    """Orjson makes a float of them without a word."""
    body = json.dumps(
        one_row({0: {"row": {**golden[0]["row"], "distance": 12345678901234567890123}}})
    ).encode()
    status, answer, _ = server.call("/invocations", body, headers=JSON_TYPE)
    assert (status, answer["errors"][0]["column"]) == (400, "distance")


def test_unknown_params_are_refused(server, golden):
    """MLflow answers 200 and ignores them."""
    assert server.call("/invocations", one_row(golden) | {"params": {"a": 1}})[0] == 400
    assert server.call("/invocations", one_row(golden) | {"params": {}})[0] == 200


def test_unseen_categories_are_scored_and_said(server, golden):
    """A new carrier is a fact of life; the client and the metrics are told."""
    row = {**golden[0]["row"], "carrier": "brand new"}
    status, _, headers = server.call("/invocations", {"dataframe_records": [row]})
    assert (status, headers["X-Unseen-Categories"]) == (200, "carrier=1")
    assert 'slipway_unseen_categories_total{column="carrier"}' in server.call("/metrics")[1]


@pytest.mark.parametrize("kind", ["text/xml", "application/json; charset=latin-1", "application/json; a=b"])
def test_other_content_types_are_415(server, golden, kind):
    """As MLflow, in JSON."""
    assert server.call("/invocations", one_row(golden), headers={"Content-Type": kind})[0] == 415


def test_a_missing_content_type_is_json(server, golden):
    """MLflow answers 500."""
    body = json.dumps(one_row(golden)).encode()
    answer = raw(
        server,
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
    )
    assert b"200 OK" in answer


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", CSV), (b"\n\n", CSV), (b"a,b\n1\n", CSV), (b"a,a\n1,2\n", CSV), (b"\xff\xff\n\xfe", CSV),
        (b"", PARQUET), (b"PAR1junkPAR1", PARQUET), (b"", ARROW), (b"\xff\xff\xff\xff\x10\x00\x00\x00", ARROW),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_400(server, body, kind):
    """No pyarrow text reaches the client."""
    assert server.call("/invocations", body, headers={"Content-Type": kind})[0] == 400


def test_truncated_and_flipped_tables_never_fail_the_server(server, golden):
    """Every cut of a Parquet file and an Arrow stream, and 200 flipped bytes."""
    generator = np.random.default_rng(0)
    for body, kind in in_every_format(frame_of(golden))[-2:]:
        for cut in np.linspace(0, len(body) - 1, 25).astype(int).tolist():
            assert server.call("/invocations", body[:cut], headers={"Content-Type": kind})[0] in (
                200,
                400,
                413,
            )
        for place in generator.integers(0, len(body), 100).tolist():
            flipped = body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
            assert server.call("/invocations", flipped, headers={"Content-Type": kind})[0] in (200, 400, 413)


def test_a_zero_row_table_is_refused(server, golden):
    """As an empty list of rows."""
    for body, kind in in_every_format(frame_of(golden).head(0))[-3:]:
        assert server.call("/invocations", body, headers={"Content-Type": kind})[0] == 400


def test_unknown_paths_and_methods_say_what_to_do(server):
    """404 and 405 with the allowed method."""
    assert server.call("/nothing")[0] == 404
    status, _, headers = server.call("/invocations")
    assert (status, headers["Allow"]) == (405, "POST, OPTIONS")
    assert server.call("/ping", b"x")[0] == 405


def test_a_foreign_host_header_is_refused_on_loopback(server):
    """A page in a browser must not reach a server on loopback through a name of its own."""
    assert server.call("/ping", headers={"Host": "evil.example"})[0] == 421


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_and_forgotten(server, golden, noise):
    """The next request is answered."""
    assert not raw(server, noise, wait=2).startswith(b"HTTP/1.1 5")
    assert server.call("/invocations", one_row(golden))[0] == 200


def test_a_disconnect_in_the_middle_of_a_body_is_no_failure(server, golden):
    """Half a body, then nothing."""
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(20):
        with closing(socket.create_connection((host, int(port)))) as connection:
            connection.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{"
            )
    assert server.call("/invocations", one_row(golden))[0] == 200
    assert 'kind="Internal"' not in server.call("/metrics")[1]


def test_bytes_that_arrive_one_by_one_are_one_body(server, golden):
    """Ten thousand chunks of a byte each."""
    body = json.dumps(one_row(golden)).encode().ljust(10_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"200 OK" in raw(server, head + chunks)


def test_limits_answer_before_the_work(start, flights, golden):
    """Each limit set low, and one step over it."""
    options = [
        "--body-bytes",
        "20000",
        "--rows",
        "5",
        "--columns",
        "20",
        "--header-bytes",
        "2000",
        "--body-seconds",
        "1",
    ]
    body = one_row(golden)
    with start("--model", str(flights), *options) as served:
        assert served.call("/invocations", body)[0] == 200
        assert served.call("/invocations", b" " * 20_001)[0] == 413
        huge = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
        assert b" 413 " in raw(served, huge)
        assert served.call("/invocations", {"dataframe_records": [golden[0]["row"]] * 6})[0] == 413
        bomb = gzip.compress(b" " * 10_000_000)
        assert served.call("/invocations", bomb, headers=JSON_TYPE | {"Content-Encoding": "gzip"})[0] == 413
        zipped = gzip.compress(json.dumps(body).encode())
        assert served.call("/invocations", zipped, headers=JSON_TYPE | {"Content-Encoding": "gzip"})[0] == 200
        assert (
            served.call("/invocations", zipped[:-9], headers=JSON_TYPE | {"Content-Encoding": "gzip"})[0]
            == 400
        )
        long = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 3000 + b"\r\n\r\n"
        assert b"200 OK" not in raw(served, long)
        many = pa.table({"distance": pa.array(np.zeros(1000))})
        written = io.BytesIO()
        pq.write_table(many, written)
        assert served.call("/invocations", written.getvalue(), headers={"Content-Type": PARQUET})[0] == 413
        slow = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"
        assert b" 408 " in raw(served, slow, wait=5)
        assert raw(served, b"GET /ping HTTP/1.1\r\nHost: loc", wait=5) == b""
        assert served.call("/invocations", body)[0] == 200


def test_a_full_worker_refuses_before_parsing_and_still_answers_probes(start, flights, golden):
    """One large request fills a worker that takes one; a body that does not come fills nothing."""
    large = {"dataframe_records": [golden[0]["row"]] * 50_000}
    with start("--model", str(flights), "--in-flight", "1") as served:
        stop = threading.Event()

        def fill() -> None:
            while not stop.is_set():  # a small request that comes first refuses the large one
                served.call("/invocations", large)

        working = threading.Thread(target=fill)
        working.start()
        refused, until = [], time.monotonic() + 30
        while not refused and time.monotonic() < until:
            status, _, headers = served.call("/invocations", one_row(golden))
            refused += [headers["Retry-After"]] if status == 503 else []
            assert served.call("/livez")[0] == served.call("/metrics")[0] == 200
        stop.set()
        working.join()
        assert refused == ["1"]
        assert served.call("/invocations", one_row(golden))[0] == 200


def test_keys_are_asked_for_and_read_again(start, flights, golden, tmp_path):
    """Hashes only; a new key counts after SIGHUP; probes stay open."""
    keys = tmp_path / "keys"
    keys.write_text(hashlib.sha256(b"one").hexdigest() + "  # team\n")
    with start("--model", str(flights), "--api-key-file", str(keys)) as served:

        def ask(**headers):
            return served.call("/invocations", one_row(golden), headers=headers)[0]

        assert ask() == 401
        assert ask(Authorization="Bearer two") == 401
        assert ask(Authorization="Bearer one") == ask(**{"X-API-Key": "one"}) == 200
        assert served.call("/readyz")[0] == 200
        keys.write_text(hashlib.sha256(b"two").hexdigest())
        served.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while ask(Authorization="Bearer one") != 401 and time.monotonic() < until:
            time.sleep(0.1)
        assert (ask(Authorization="Bearer one"), ask(Authorization="Bearer two")) == (401, 200)


def test_several_workers_count_as_one(start, flights, golden):
    """/metrics adds up all workers, whichever answers."""
    with start("--model", str(flights), "--workers", "2") as served:
        assert [served.call("/invocations", one_row(golden))[0] for _ in range(40)] == [200] * 40
        counted = 'slipway_requests_total{protocol="mlflow",status="200"} 40.0'
        until = time.monotonic() + 10  # each worker writes its counts every 0.2 s
        while counted not in served.call("/metrics")[1] and time.monotonic() < until:
            time.sleep(0.1)
        assert counted in served.call("/metrics")[1]


def test_a_request_under_way_is_answered_before_the_end(start, flights, golden):
    """SIGTERM drains: the rest of a body may still come."""
    body = json.dumps(one_row(golden)).encode()
    with start("--model", str(flights)) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
            connection.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            time.sleep(0.3)
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(body)
            assert b"200 OK" in connection.recv(65536)
        assert served.process.wait(10) == 0


@pytest.mark.parametrize("used", [False, True])
def test_a_request_that_crosses_the_sigterm_is_answered(start, line, used):
    """A connection was accepted, its request is on the way: it gets its answer, and word that it ends."""
    body = b'{"x": 3}'
    request = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with start("--model", str(line)) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
            if used:
                connection.sendall(request)
                assert b"connection: close" not in connection.recv(65536)
            time.sleep(0.1)  # until it is accepted
            served.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(request)
            answer = connection.recv(65536)
        assert b"200 OK" in answer
        assert b"connection: close" in answer
        assert served.process.wait(10) == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--model", "nowhere"], ["--model", "models:/a b@"], ["--model", "X", "--port", "70000"], ["--mod", "X"],
        ["--model", "X", "--host", "0.0.0.0"], ["--model", "X", "--tls-cert", "a"], ["--model", "X", "--workers", "0"],
        ["--model", "X", "--api-key-file", "/nowhere"], ["--model", "X", "--rows", "many"],
    ],
)  # fmt: skip
def test_options_that_do_not_hold_stop_with_two_and_a_line(flights, options):
    """Before anything is opened."""
    given = [str(flights) if option == "X" else option for option in options]
    ended = subprocess.run(
        [sys.executable, "-m", "serving", *given], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


SCORE_AND_LOOK = """
import asyncio, json, pickle, sys, numpy
def forbidden(*_, **__): raise SystemExit("unpickled")
pickle.load = pickle.loads = numpy.load = forbidden
from pathlib import Path
from serving.front.app import App
from serving.front.backend import Backend
from serving.runtimes.compiled import CompiledRuntime
from serving.settings import Model, Settings
import serving.worker.__main__
assert not {"mlflow", "sklearn", "pandas", "skops"} & set(sys.modules)
serving.worker.__main__.forbid_imports()
serving = CompiledRuntime.load(Model(sys.argv[1]), threads=1)
app = App(Backend([serving], Settings(models=(serving.model,))))
async def ask(body, kind):
    sent = []
    async def receive(): return {"body": body}
    async def send(message): sent.append(message)
    headers = [(b"content-type", kind)]
    scope = {"type": "http", "path": "/invocations", "method": "POST", "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    return sent[0]["status"]
row = serving.scorer.document.golden_rows[0]
csv = ",".join(row) + "\\n" + ",".join("" if v is None else str(v) for v in row.values())
async def both():
    assert await ask(json.dumps({"dataframe_records": [row]}).encode(), b"application/json") == 200
    assert "pyarrow" not in sys.modules
    assert await ask(csv.encode(), b"text/csv") == 200
asyncio.run(both())
print([name for name in ("mlflow", "sklearn", "pandas", "skops") if name in sys.modules])
"""


def test_a_worker_imports_no_training_library_and_never_unpickles(flights):
    """Pyarrow comes at the first table, the others never, and pickle would end the process."""
    command = [sys.executable, "-c", SCORE_AND_LOOK, str(flights / "scorer")]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=60, check=False
    )
    assert (ended.stdout.strip(), ended.returncode) == ("[]", 0), ended.stderr
