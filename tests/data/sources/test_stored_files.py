"""Files in a store: the rows are those of the same files on disk, and a store that fails is told in one line."""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import EmptySource, OutOfReach, UnreadableSource
from data.sources import open_source, remote, stores
from data.tables import fingerprint, load_table
from tests.data.sources.formats.spreadsheets import write
from tests.faulty_wire import Fault, faulty_wire
from tests.seaweed import SECRET, Bucket, Seaweed

FRAME = pd.DataFrame(
    {"x": np.arange(60) / 7, "word": ["a,b", "ä", "c"] * 20, "y": np.arange(60.0)},
)


def put(bucket: Bucket, name: str, content: bytes) -> str:
    """Put an object into a bucket as it is, and return its address."""
    with bucket.server.files.open_output_stream(f"{bucket.name}/{name}", compression=None) as stream:
        stream.write(content)
    return f"{bucket.uri}/{name}"


def contents() -> dict[str, bytes]:
    """The same rows in the formats that people keep."""
    text, parquet, archive = FRAME.to_csv(index=False).encode(), io.BytesIO(), io.BytesIO()
    FRAME.to_parquet(parquet, row_group_size=20)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("t.csv", text)
    lines = FRAME.to_json(orient="records", lines=True).encode()
    return {
        "t.csv": text,
        "t.csv.gz": gzip.compress(text),
        "t.zip": archive.getvalue(),
        "t.jsonl": lines,
        "t.parquet": parquet.getvalue(),
    }


def test_rows_are_those_of_the_same_file_on_disk(s3: Bucket, tmp_path: Path) -> None:
    """The fingerprint, which `reproduce` compares, may not depend on where a file lies."""
    for name, content in contents().items():
        (tmp_path / name).write_bytes(content)
        here, there = (
            open_source(where) for where in (str(tmp_path / name), put(s3, f"a b/é@1/{name}", content))
        )
        assert there.where == f"{s3.uri}/a b/é@1/{name}"
        assert there.read().equals(here.read())
        assert fingerprint(load_table(there)) == fingerprint(load_table(here))
        assert there.about_rows() == here.about_rows()


def test_workbooks_are_read_from_a_store(s3: Bucket, tmp_path: Path) -> None:
    """They are read by a library that takes no address."""
    book = write(tmp_path / "b.xlsx", {"May 24": [["x"], [1.5], [2.5]], "June": [["x"], [1.5]]})
    assert open_source(put(s3, "b.xlsx", book.read_bytes()) + "#May 24").read().num_rows == 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_folders_and_globs_mean_what_they_do_on_disk(s3: Bucket, ending: str, tmp_path: Path) -> None:
    """A folder below what is named is a column; what begins with a point or an underscore is no table."""
    content = contents()[f"t.{ending}"]
    for name in (
        f"runs/run=5/t.{ending}",
        f"runs/run=6/deep/t.{ending}",
        "runs/_SUCCESS",
        "runs/run=5/.t.crc",
        f"runs/_temporary/t.{ending}",
    ):
        put(s3, name, content)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for plain in (
        *("runs", "runs/", "runs/run=5", f"runs/run=5/t.{ending}", f"runs/*/*.{ending}"),
        *(f"runs/**/*.{ending}", "runs/run=[6]/**", f"*/run=5/*.{ending}"),
    ):
        here, there = open_source(str(tmp_path / plain)), open_source(f"{s3.uri}/{plain}")
        assert there.read().equals(here.read()), plain
        assert [part.label.removeprefix(s3.uri) for part in there.parts()] == [
            part.label.removeprefix(str(tmp_path)) for part in here.parts()
        ]


def test_parts_are_the_rows_and_know_a_file_that_was_replaced(s3: Bucket) -> None:
    """`score` leaves out parts that are done, by what tells them apart; processes get them by pickling."""
    address = put(s3, "t.parquet", contents()["t.parquet"])
    source = open_source(address)
    parts = pickle.loads(pickle.dumps(source.parts()))
    assert sum(part.source.read().num_rows for part in parts) == 60
    assert [part.identity for part in open_source(address).parts()] == [part.identity for part in parts]
    other = io.BytesIO()
    FRAME.head(30).to_parquet(other)
    put(s3, "t.parquet", other.getvalue())
    assert not {part.identity for part in open_source(address).parts()} & {part.identity for part in parts}


def test_each_way_not_to_get_a_file_has_its_own_line(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's own words say `404` for a bucket, a file and a folder alike, and hold its keys."""
    put(s3, "empty.csv", b"")
    put(s3, "folder/broken.csv.gz", contents()["t.csv.gz"][:60])
    for where, says in {
        f"{s3.uri}/none.csv": "there is no such file or folder",
        f"{s3.uri}/none/*.csv": "there is no such file or folder",
        "s3://no-such-bucket/t.csv": "s3://no-such-bucket: there is no such bucket",
        "s3://no-such-bucket/*/t.csv": "there is no such bucket",
    }.items():
        with pytest.raises(OutOfReach, match=says):
            open_source(where)
    with pytest.raises(EmptySource):
        open_source(f"{s3.uri}/empty.csv")
    with pytest.raises(UnreadableSource, match="cannot be unpacked"):
        open_source(f"{s3.uri}/folder").read()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter22hunter22")
    with pytest.raises(
        OutOfReach, match=r"is refused to whoever .* says is asking: set AWS_ACCESS_KEY_ID"
    ) as caught:
        open_source(f"{s3.uri}/t.csv")
    assert "hunter22" not in str(caught.value)
    assert SECRET not in str(caught.value)


class Faulty(BaseHTTPRequestHandler):
    """A store with one file, which answers as it is told."""

    protocol_version = "HTTP/1.1"
    body = FRAME.to_csv(index=False).encode()
    way = "well"

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 07:00:00 GMT")
        self.end_headers()

    def do_GET(self) -> None:
        if self.way == "busy":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, _, last = self.headers["Range"].partition("=")[2].partition("-")
        asked = self.body[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(asked)))
        self.end_headers()
        if self.way == "stalls" and len(asked) > 8:
            self.wfile.write(asked[:100])
            self.wfile.flush()
            time.sleep(30)
            return
        self.wfile.write(asked[: -len(asked) // 2] if self.way == "breaks off" and len(asked) > 8 else asked)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture(scope="module")
def faulty() -> Iterator[str]:
    """The address of a store that answers as `Faulty.way` says."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("breaks off", "the store broke off in the middle of the file: try again"),
        pytest.param(
            *("stalls", "the store does not answer: check the network"),
            marks=pytest.mark.soak,  # curl looks at the speed of the last eight seconds
        ),
        ("busy", "the store is too busy to answer: try again later"),
    ],
)
def test_a_store_that_fails_midway_is_told_by_its_file(
    faulty: str, way: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file would be a table, with fewer rows; a store that stalls would hold the command for good."""
    for name, value in Seaweed(1).environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty)
    monkeypatch.setattr(stores, "ATTEMPTS", 1)
    monkeypatch.setattr(stores, "SILENT_SECONDS", 1)
    stores._file_system.cache_clear()
    assert open_source("s3://bucket/t.csv").read().num_rows == 60
    monkeypatch.setattr(Faulty, "way", way)
    with pytest.raises(OutOfReach, match=f"^s3://bucket/t.csv: {says}"):
        open_source("s3://bucket/t.csv").read()
    stores._file_system.cache_clear()


def parts_after(count: int) -> Callable[[bytes], bool]:
    """Return whether what is sent asks for a part of a file, and for so many others before."""
    parts = itertools.count()
    return lambda sent: b"ange: bytes" in sent and next(parts) >= count


PAGE = (b"<!DOCTYPE html>\n<title>Sign in</title>\n", b"<p>Please, sign, in</p>\n")


@pytest.mark.parametrize("status", [b"200 OK", b"206 Partial Content"])
@pytest.mark.parametrize("lines", [1, 400], ids=["a short page", "a long page"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_page_in_the_place_of_a_part_becomes_no_row(
    faulty: str, name: str, lines: int, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of S3 pyarrow says that all came that was asked for: behind a short page stood what was in memory."""
    page = PAGE[0] + PAGE[1] * lines
    answer = b"HTTP/1.1 %b\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    monkeypatch.setattr(Faulty, "body", contents()[name])
    with faulty_wire(int(faulty.rpartition(":")[2])) as wire:
        for key, value in Seaweed(wire.port).environment.items():
            monkeypatch.setenv(key, value)
        whole = open_source(f"s3://bucket/{name}").read()
        for well, times in itertools.product(range(8), (1, 1_000)):
            told, fault = (
                "",
                Fault(parts_after(well), "says", times, answer=answer % (status, len(page), page)),
            )
            with wire.failing(fault):
                try:
                    assert open_source(f"s3://bucket/{name}").read().equals(whole)
                except UnreadableSource as error:
                    told = str(error)
            if told or (times > 1 and fault.happened):
                assert told.startswith(f"s3://bucket/{name}: ")
                assert told.endswith(stores.IN_BETWEEN), told
                assert "\n" not in told


@pytest.mark.parametrize("end", ["¥", "Z"])
def test_a_file_may_end_in_any_byte(faulty: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those too that stand at the end of a part before it comes."""
    monkeypatch.setattr(Faulty, "body", f"x,word\n1,{end}".encode())
    assert Faulty.body[-1] in remote.MARKS
    for key, value in Seaweed(int(faulty.rpartition(":")[2])).environment.items():
        monkeypatch.setenv(key, value)
    assert open_source("s3://bucket/t.csv").read().to_pylist() == [{"x": "1", "word": end}]


def test_a_store_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong endpoint is the first mistake that people make."""
    for name, value in Seaweed(9).environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OutOfReach, match="the store does not answer: check the network and the endpoint"):
        open_source("s3://bucket/t.csv")


def test_hadoop_without_its_client_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyArrow's own words are those of the dynamic linker."""
    monkeypatch.setenv("ARROW_LIBHDFS_DIR", "/nowhere")
    with pytest.raises(OutOfReach, match="needs Hadoop's client, which is not found: set HADOOP_HOME"):
        open_source("hdfs://namenode:8020/t.csv")
