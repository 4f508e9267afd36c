"""Small bodies made to take gigabytes: what each takes of a real server's memory, and that it goes back."""

import gzip
import io
import json
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.schema import Column, Schema
from serving.errors import Busy, RequestError, TooLarge, UnusableValues
from serving.rows.budget import Held, MemoryBudget, need
from serving.rows.costs import before_json
from serving.rows.decoding import from_table
from serving.rows.media import ARROW, CSV, PARQUET
from serving.settings import Limits
from tests.recorded import recorded
from tests.serving.front.thrift import varint

MOST = 400e6
"""Bytes that a worker may take at any moment under any one of these."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are Linux's")


@pytest.fixture(scope="module")
def server(start, line):
    """A server of its own, whose memory is watched."""
    with start("--model", str(line)) as served:
        yield served


def worker_of(served):
    """Return the process that answers."""
    (worker,) = psutil.Process(served.process.pid).children()
    return worker


class Peak:
    """The most that a process took since the block began."""

    def __init__(self, process):
        self._files = Path(f"/proc/{process.pid}")

    def __enter__(self):
        (self._files / "clear_refs").write_text("5")
        return self

    def __exit__(self, *_):
        (line,) = [
            line for line in (self._files / "status").read_text().splitlines() if line.startswith("VmHWM")
        ]
        self.bytes = 1024 * int(line.split()[1])


def zipped(body):
    """Return headers and body of the same in gzip."""
    return {"Content-Type": "application/json", "Content-Encoding": "gzip"}, gzip.compress(body, 6)


def many(piece, *, before=b'{"dataframe_records":[', after=b"]}"):
    """Return 63 MB of one piece, in gzip."""
    return zipped(before + (piece + b",") * (63 * 10**6 // (len(piece) + 1) - 1) + piece + after)


def lists_in_parquet():
    """Return 50 lists of 2,000,000 zeros."""
    table = pa.table({"x": pa.array([np.zeros(2_000_000)], pa.list_(pa.float64()))})
    written = io.BytesIO()
    with pq.ParquetWriter(written, table.schema, compression="zstd") as writer:
        for _ in range(50):
            writer.write_table(table)
    return {"Content-Type": PARQUET}, written.getvalue()


def a_page_that_lies():
    """Return 300 MB in one page, of which the footer says that it is 1,000 bytes."""
    written = io.BytesIO()
    table = pa.table({"x": pa.array(["a" * 300_000_000])})
    pq.write_table(table, written, compression="zstd", use_dictionary=False, write_statistics=False)
    content = written.getvalue()
    group = pq.read_metadata(io.BytesIO(content)).row_group(0)
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8].replace(varint(2 * group.total_byte_size), varint(2000))
    return {"Content-Type": PARQUET}, content[: -8 - length] + footer + len(footer).to_bytes(
        4, "little"
    ) + b"PAR1"


def a_footer_of_columns():
    """Return a file whose four row groups describe a million columns each, in three bytes."""
    chunks = b"\x19\xfc" + varint(10**6) + b"\x26\x00\x00" * 10**6
    groups = b"\x19\x4c" + 4 * (chunks + b"\x16\x00\x16\x00\x00")
    schema = b"\x19\x2c" + b"\x48\x01m\x15\x02\x00" + b"\x15\x0a\x25\x00\x18\x01x\x00"
    footer = b"\x15\x02" + schema + b"\x16\x00" + groups + b"\x00"
    return {"Content-Type": PARQUET}, b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


ATTACKS = {
    "`{},` 21,000,000 times, 61 kB of gzip": (lambda: many(b"{}"), 413),
    "`[],` 21,000,000 times, 61 kB of gzip": (lambda: many(b"[]"), 413),
    "`[[[[0]]]],` 6,000,000 times, in gzip": (lambda: many(b"[[[[0]]]]"), 413),
    '`{"":0},` 8,000,000 times, in gzip': (lambda: many(b'{"":0}', before=b'{"x":['), 413),
    "a text of 60,000,000 brackets in JSON": (
        lambda: many(b"[{" * 10**6, before=b'{"x":"', after=b'"}'),
        400,
    ),
    "a Parquet file of 50 lists of 2,000,000 zeros": (lists_in_parquet, 400),
    "a Parquet page of 300 MB whose footer says 1,000 bytes": (a_page_that_lies, 413),
    "a Parquet footer of 4,000,000 columns in three bytes each": (a_footer_of_columns, 413),
    "a CSV header of 20,000,000 commas": (lambda: ({"Content-Type": CSV}, b"x" + b"," * 2 * 10**7), 413),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_small_body_takes_no_gigabytes(server, attack):
    """Refused by type and count before it is decoded; the next request is answered."""
    make, status = ATTACKS[attack]
    headers, body = make()
    with Peak(worker_of(server)) as peak:
        found, answer, _ = server.call("/invocations", body, headers=headers)
    assert (found, peak.bytes < MOST) == (status, True), (peak.bytes, answer)
    assert server.call("/predict", {"x": 3})[0] == 200
    recorded(
        "security",
        attack,
        f"refused by the number of its values, before it is decoded: {status}",
        "less than 400 MB",
    )


def test_memory_goes_back_after_large_requests(server):
    """A body of 4 MB, three times: its answer is right, and what it took is given back."""
    rows = 500_000
    body = json.dumps({"inputs": {"x": [float(place) for place in range(rows)]}}).encode()
    assert server.call("/predict", {"x": 3})[0] == 200
    before = worker_of(server).memory_info().rss
    for _ in range(3):
        status, answer, _ = server.call("/invocations", body)
        assert (status, len(answer["predictions"])) == (200, rows)
    assert eventually(lambda: worker_of(server).memory_info().rss < before + 50e6)


def eventually(condition):
    """Return whether something comes true within a while."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_large_bodies_at_once_stay_within_the_budget(start, line):
    """Each is answered or told to come again; small ones are answered meanwhile."""
    body = json.dumps({"inputs": {"x": [1.25] * 600_000}}).encode()
    with start("--model", str(line), "--memory-bytes", str(100 * 2**20)) as served:
        before = worker_of(served).memory_info().rss
        found = []
        with Peak(worker_of(served)) as peak:
            clients = [
                threading.Thread(target=lambda: found.append(served.call("/invocations", body)))
                for _ in range(6)
            ]
            for client in clients:
                client.start()
            while any(client.is_alive() for client in clients):
                assert served.call("/predict", {"x": 3})[0] == 200
            for client in clients:
                client.join()
        assert {status for status, _, _ in found} <= {200, 503}
        assert 200 in {status for status, _, _ in found}
        assert all(headers["Retry-After"] == "1" for status, _, headers in found if status == 503)
        assert peak.bytes < before + 2 * 100 * 2**20
        assert served.call("/invocations", body)[0] == 200, "all that was held is free again"
        status, answer, _ = served.call("/predict", b'{"x": [' + b'{"x":0},' * 10**6 + b'{"x":0}]}')
        assert (status, "bytes of memory" in answer["message"]) == (413, True)
    recorded(
        "security",
        "6 bodies of 4 MB at once, at `--memory-bytes` 100 MiB",
        "what each will take is held before it is decoded; where there is no room, 503 with Retry-After",
        "at most the budget; one-row requests are answered meanwhile",
    )


SCHEMA = Schema((Column("x", "number"), Column("t", "category", categories=("a",))), target="y")


def in_arrow(array, *, options=None):
    """Return an IPC stream of one column x."""
    table = pa.table({"x": array})
    written = io.BytesIO()
    with pa.ipc.new_stream(written, table.schema, options=options) as stream:
        stream.write_table(table)
    return written.getvalue()


NESTED = {
    "list": pa.array([[1.0]]),
    "large_list": pa.array([[1.0]], pa.large_list(pa.float64())),
    "fixed_size_list": pa.array([[1.0]], pa.list_(pa.float64(), 1)),
    "list_view": pa.array([[1.0]], pa.list_view(pa.float64())),
    "struct": pa.array([{"secret": 1.0}]),
    "map": pa.array([[("secret", 1.0)]], pa.map_(pa.string(), pa.float64())),
    "run_end_encoded": pa.RunEndEncodedArray.from_arrays([1], [1.0]),
    "dense_union": pa.UnionArray.from_dense(
        pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1.0])]
    ),
    "dictionary": pa.DictionaryArray.from_arrays([0], pa.array([[1.0]])),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_type_of_more_than_one_value_a_row_is_refused_by_its_name(name):
    """Whatever the format; and what the sender named within it is not repeated."""
    with pytest.raises(UnusableValues, match=f"column 'x': .*{name}") as refusal:
        from_table(in_arrow(NESTED[name]), ARROW, SCHEMA, Limits())
    assert "secret" not in str(refusal.value)
    if name in ("list", "large_list", "fixed_size_list", "struct", "map"):
        written = io.BytesIO()
        pq.write_table(pa.table({"x": NESTED[name]}), written)
        with pytest.raises(UnusableValues, match="column 'x'"):
            from_table(written.getvalue(), PARQUET, SCHEMA, Limits())


def test_nested_columns_that_the_model_does_not_know_are_not_read():
    """They are ignored as others are, however much they hold."""
    table = pa.table({"x": [1.0], "t": ["a"], "more": pa.array([[0.0] * 1000])})
    written = io.BytesIO()
    pq.write_table(table, written)
    assert from_table(written.getvalue(), PARQUET, SCHEMA, Limits()).extra == 1


def test_views_that_share_a_text_are_counted_as_often_as_they_show_it():
    """10,000 views of one text of 1 MB would be 10 GB once read."""
    shared = pa.py_buffer(b"a" * 10**6)
    view = np.zeros(10_000, dtype=[("length", "<i4"), ("prefix", "S4"), ("buffer", "<i4"), ("offset", "<i4")])
    view["length"], view["prefix"] = 10**6, b"aaaa"
    views = pa.Array.from_buffers(pa.string_view(), 10_000, [None, pa.py_buffer(view.tobytes()), shared])
    with pytest.raises(TooLarge, match="bytes when expanded"):
        from_table(in_arrow(views), ARROW, SCHEMA, Limits())


@pytest.mark.parametrize(
    ("piece", "unit"),
    [(b"{}", 24), (b"[]", 24), (b"0.5", 10), (b'{"a":1.5}', 24), (b"[1.5,1.5]", 10), (b'"ab"', 15)],
)
def test_what_parsing_takes_is_held_before(piece, unit):
    """At least the bytes that were measured for each of the body."""
    body = b"[" + b",".join([piece] * (3 * 2**20 // len(piece))) + b"]"
    held = Held(MemoryBudget(2**40))
    held.run(lambda: before_json(body, Limits(rows=10**8)))
    assert unit * len(body) <= held.size <= 120 * len(body)


def test_brackets_within_texts_are_not_rows():
    """A text may hold what looks like a million objects, quotes and backslashes before it too."""
    text = r"\"\\" + "{[" * 1_200_000
    for body in (json.dumps([text]).encode(), json.dumps(["\\", text, '"']).encode()):
        before_json(body, Limits())
        with pytest.raises(TooLarge):
            before_json(body + b"{" * 1_200_000, Limits())


def test_a_budget_says_come_again_or_never():
    """503 where it is taken, 413 where it could never be; what was held is free again."""
    budget = MemoryBudget(100)
    one, two = Held(budget), Held(budget)
    one.set(70)
    two.set(30)
    with pytest.raises(Busy):
        two.run(lambda: need(1))
    with pytest.raises(TooLarge):
        two.set(101)
    one.set(0)
    two.run(lambda: need(70))
    assert (budget.taken, two.peak) == (100, 100)
    need(10**9)  # no request is decoded here


def test_a_csv_header_may_hold_commas_and_line_breaks_in_quotes():
    """They are part of a name."""
    odd = ",".join(f'"a,{place}\n,,,"' for place in range(30))
    body = f"x,t,{odd}\n1,a{',' * 30}\n".encode()
    assert from_table(body, CSV, SCHEMA, Limits(columns=32)).extra == 30
    with pytest.raises(RequestError, match="columns"):
        from_table(body, CSV, SCHEMA, Limits(columns=31))
