"""Parts in a bucket: the names and bytes of a folder on a disk, and nothing that is not whole, whoever is killed."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow.dataset as pa_dataset
import pytest

from data.errors import OutOfReach
from data.sources import open_source, source
from serving.batch.__main__ import main
from serving.batch.carried import Carried
from serving.batch.outputs import folder_of
from serving.batch.upkeep import MANIFEST
from serving.errors import BadOutput
from tests.conftest import ROOT
from tests.faulty_wire import INSUFFICIENT, Fault, faulty_wire
from tests.seaweed import Bucket
from tests.serving.batch.test_parted import ROWS, carried, contents, flights, scored, table, version, work_on

__all__ = ["carried", "version"]  # fixtures


@pytest.fixture(autouse=True)
def _some_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PART_BYTES", 30_000)


def objects(where: str) -> dict[str, bytes]:
    """All that is in a folder of a bucket."""
    folder = folder_of(where)
    return {name: folder.opened(name).read() for name in folder.names()}


def test_a_bucket_gets_the_names_and_bytes_of_a_disk_and_what_lacks(
    s3: Bucket, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers take the folder as it is; what was written before is left as it is."""
    monkeypatch.setattr(source, "PART_BYTES", 8_000)
    path, there = table(tmp_path), f"{s3.uri}/a b/scored"
    names = scored(path, carried, tmp_path / "alone")
    assert scored(path, carried, f"{there}/") == names
    assert objects(there) == contents(tmp_path / "alone")
    rows = pa_dataset.dataset(f"{s3.name}/a b/scored", filesystem=s3.server.files).to_table().to_pandas()
    pd.testing.assert_frame_equal(rows, pd.read_parquet(tmp_path / "alone"), check_exact=True)
    folder_of(there).remove(names[1])
    with folder_of(there).whole(names[2]) as partial:
        partial.write_bytes(b"no part")
    assert scored(path, carried, there) == names[1:3]
    assert scored(path, carried, there) == []
    assert objects(there) == contents(tmp_path / "alone")


def test_in_a_bucket_nothing_stays_of_what_it_was(s3: Bucket, carried: Carried, tmp_path: Path) -> None:
    """A file before the others gives their parts other names, and no more; one that went takes its rows along."""
    path, there = table(tmp_path, "jsonl"), f"{s3.uri}/scored"
    scored(path, carried, there, share=(0, 2))
    assert MANIFEST not in objects(there)
    scored(path, carried, there, share=(1, 2))
    flights(10).to_json(path / "-first.jsonl", orient="records", lines=True)
    assert len(scored(path, carried, there)) == 1
    assert open_source(there).read().num_rows == ROWS + 10
    (path / "0.jsonl").unlink()
    assert scored(path, carried, there) == []
    scored(path, carried, tmp_path / "alone")
    assert objects(there) == contents(tmp_path / "alone")


KILLED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from data.sources import open_source, source, asked_of
from serving.batch import Options, Work, engines, score_parts
from serving.batch.carried import Carried
from serving.batch.outputs import bucket_folder, folder_of
import serving.scorer.scoring, serving.batch.parted, data.sources.formats.text_files
source.PART_BYTES, bucket_folder.CLAIM_SECONDS = 30_000, 2
carried, table, whole, there = Carried.of(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), sys.argv[4]

def run(there, kill_at):
    begun = 0
    class Stream(SimpleNamespace):
        def write(self, content):
            nonlocal begun
            begun += 1
            if begun == kill_at:
                self.stream.write(content[:len(content) // 2])
                self.stream.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            self.stream.write(content)
        def close(self):
            self.stream.close()
    class Killing(SimpleNamespace):
        def open_output_stream(self, *words, **named):
            return Stream(stream=self.files.open_output_stream(*words, **named))
        def __getattr__(self, name):
            return getattr(self.files, name)
    bucket_folder.asked_of = lambda where, question: asked_of(where, lambda store: question(
        SimpleNamespace(files=Killing(files=store.files), path=store.path, root=store.root)))
    folder = folder_of(there)
    if not kill_at:
        for name in [name for name in folder.names() if not name.startswith(bucket_folder.CLAIM)]:
            assert folder.opened(name).read() == (whole / name).read_bytes(), name
    work = Work.on(folder, open_source(table), carried.scorer(), Options(), {"model": "m", "version": "1"})
    score_parts(work, engines.alone(carried))

for kill_at in range(1, len(list(whole.iterdir())) + 2):
    for step, expected in ((kill_at, signal.SIGKILL), (0, 0)):
        pid = os.fork()
        if pid == 0:
            run(f"{there}/{kill_at}", step)
            os._exit(0)
        ended = os.waitpid(pid, 0)[1]
        assert ended == expected, (kill_at, step, ended)
"""


@pytest.mark.soak
def test_killed_while_anything_is_sent_nothing_of_it_is_there_and_the_next_run_ends_the_same(
    s3: Bucket, version: Path, carried: Carried, tmp_path: Path
) -> None:
    """Half of each part, of the claim to the folder, and of the manifest, had gone out."""
    path = table(tmp_path)
    parts = len(scored(path, carried, tmp_path / "whole"))
    assert parts > 1
    words = [
        sys.executable,
        "-c",
        KILLED,
        str(version / "scorer"),
        str(path),
        str(tmp_path / "whole"),
        s3.uri,
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    for step in range(1, parts + 3):
        assert objects(f"{s3.uri}/{step}") == contents(tmp_path / "whole")


def test_what_a_bucket_refuses_in_the_middle_is_not_there(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pyarrow ends an upload whose stream is dropped as if all had come."""
    with faulty_wire(s3.server.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
        folder = folder_of(f"{s3.uri}/scored/")
        full = Fault(lambda sent: b"partNumber=2" in sent, "says", answer=INSUFFICIENT)
        with (
            wire.failing(full),
            pytest.raises(OutOfReach, match=rf"^{s3.uri}/scored/a: "),
            folder.whole("a") as a,
        ):
            a.write_bytes(bytes(12 * 2**20))  # in two pieces
        assert full.happened
        with pytest.raises(KeyboardInterrupt), folder.whole("b") as b:
            b.write_bytes(b"half")
            raise KeyboardInterrupt
        gc.collect()
        assert folder.names() == []


EXPIRED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: 64\r\n\r\n<Error><Code>ExpiredToken</Code><Message>ended</Message></Error>"
)


@pytest.mark.parametrize("ended_at", [b"part-00001", b".claim-"])
def test_keys_that_end_in_mid_run_are_said_and_what_was_sent_stays(
    ended_at: bytes, s3: Bucket, carried: Carried, tmp_path: Path, monkeypatch
) -> None:
    """Those of a role end after an hour; at the claim nothing can be taken away again, either."""
    path, there = table(tmp_path), f"{s3.uri}/scored"
    names = scored(path, carried, tmp_path / "alone")
    with faulty_wire(s3.server.port) as wire, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
        with (
            wire.failing(Fault(lambda sent: ended_at in sent and sent[:1] in b"PD", "says", answer=EXPIRED)),
            pytest.raises(OutOfReach, match="is refused to whoever the environment says is asking"),
        ):
            scored(path, carried, there)
    assert scored(path, carried, there) == (names[1:] if ended_at == b"part-00001" else [])
    assert objects(there) == contents(tmp_path / "alone")


def test_what_is_wrong_with_a_bucket_is_one_line_and_code_2(
    s3: Bucket,
    version: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the work, where it can be known."""
    found = SimpleNamespace(folder=version / "scorer", version="1")
    monkeypatch.setattr("serving.batch.__main__.locate", lambda *_: found)
    rows = flights(20).to_csv(index=False).encode()
    with folder_of(f"{s3.uri}/in").whole("t.csv") as partial:
        partial.write_bytes(rows)
    read = f"{s3.uri}/in/t.csv"

    def said(output: str, given: str = read) -> str:
        assert main(["--name", "m", "--input", given, "--output", output]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        return told

    assert "there is no such bucket" in said("s3://no-such-bucket/out/")
    assert "there is no such bucket" in said("s3://no-such-bucket/out.parquet")
    assert "is in the input" in said(f"{s3.uri}/in/out/", f"{s3.uri}/in/")
    assert "is in the input" in said(f"{s3.uri}/in/", f"{s3.uri}/in")
    assert "output 't.csv' is the input" in said(read)
    assert "end it in .csv or .parquet, or in /" in said(f"{s3.uri}/out")
    assert "is in a store that is only read: write to a disk, or to s3://" in said("gs://bucket/out/")
    assert "output 's3://out.csv' names no bucket" in said("s3://out.csv")
    (tmp_path / "t.csv").write_bytes(rows)
    here = str(tmp_path / "t.csv")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter22hunter22")
    assert "is refused to whoever the environment says is asking" in (told := said(f"{s3.uri}/out/", here))
    assert "hunter22" not in told
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "the store does not answer" in said(f"{s3.uri}/out/", here)


def test_one_file_in_a_bucket_is_that_of_a_disk(
    s3: Bucket, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made here, and sent when it is whole."""
    found = SimpleNamespace(folder=version / "scorer", version="1")
    monkeypatch.setattr("serving.batch.__main__.locate", lambda *_: found)
    words = ["--name", "m", "--input", str(table(tmp_path)), "--output"]
    for name in ("one.parquet", "one.csv"):
        assert main([*words, str(tmp_path / name)]) == main([*words, f"{s3.uri}/{name}"]) == 0
        assert objects(s3.uri)[name] == (tmp_path / name).read_bytes()


def test_a_folder_within_what_a_glob_reads_is_refused(s3: Bucket, carried: Carried, tmp_path: Path) -> None:
    """On a disk, too; the next run would score what this one wrote."""
    (tmp_path / "in").mkdir()
    flights(20).to_parquet(tmp_path / "in" / "t.parquet")
    with folder_of(f"{s3.uri}/in").whole("t.parquet") as partial:
        partial.write_bytes((tmp_path / "in" / "t.parquet").read_bytes())
    for base in (s3.uri, str(tmp_path)):
        with pytest.raises(BadOutput, match="is in the input"):
            work_on(f"{base}/**/*.parquet", carried, f"{base}/in/out/")
        assert scored(f"{base}/in/*.parquet", carried, f"{base}/in/out/")
