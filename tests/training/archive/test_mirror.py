"""The same files in a bucket: what lacks is copied, once, and an interrupted copy is made whole."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from data.captures import Places
from serving.running import free_port
from tests.seaweed import WRITER, WRITERS_SECRET, Bucket
from tests.training.archive.kept import NOON, frame_at, labelled, predictions, written
from training.__main__ import main
from training.archive import compact
from training.archive.errors import CannotMirror
from training.archive.mirror import copied_to


def silent(_step: str, _outcome: str) -> None:
    """Tell nobody."""


def test_what_lacks_is_copied_and_nothing_twice(tmp_path: Path) -> None:
    """A file that was cut has another size, and is copied again; what was deleted here stays there."""
    places, there = Places(tmp_path / "captures"), tmp_path / "bucket" / "flights"
    written(places.frames / "1.frames", [frame_at(NOON), frame_at(NOON + timedelta(hours=1), number=2)])
    labelled(places.labels / "1.labels", NOON, [["a", None, None, 1.0, None]])
    compact(places, silent)
    assert copied_to(places, there.as_uri()) == 3
    assert copied_to(places, there.as_uri()) == 0
    first, second = sorted((there / "predictions").rglob("*.parquet"))
    first.write_bytes(second.read_bytes()[:100])
    for each in places.outcomes.rglob("*.parquet"):
        each.unlink()
    assert copied_to(places, there.as_uri()) == 1
    rows = ds.dataset(there / "predictions", format="parquet", partitioning="hive").to_table()
    assert (len(rows), len(list((there / "outcomes").rglob("*.parquet")))) == (6, 1)


@pytest.mark.parametrize("uri", ["nowhere", "song://bucket", "file:///proc/nothing/here"])
def test_an_address_that_cannot_be_written_is_one_line(
    uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was compacted is safe all the same."""
    places = Places(tmp_path)
    written(places.frames / "1.frames", [frame_at(NOON)])
    with pytest.raises(CannotMirror, match="check the address and its credentials"):
        compact(places, silent, to=uri)
    written(places.frames / "2.frames", [frame_at(NOON, number=2)])
    assert main(["compact", "--captures", str(tmp_path), "--to", uri]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert uri in line
    assert len(list(places.predictions.rglob("*.parquet"))) == 2


@pytest.mark.soak
def test_a_bucket_takes_the_files_and_is_read_where_it_is(s3: Bucket, tmp_path: Path) -> None:
    """A real S3 server: the address alone is given, key and endpoint come from the environment."""
    places = Places(tmp_path)
    written(places.frames / "1.frames", [frame_at(NOON), frame_at(NOON + timedelta(hours=1), number=2)])
    labelled(places.labels / "1.labels", NOON, [["a", None, None, 1.0, None]])
    compact(places, silent, to=f"{s3.uri}/flights")
    assert copied_to(places, f"{s3.uri}/flights") == 0, "all is there, with its size"
    there = ds.dataset(f"{s3.uri}/flights/predictions", format="parquet", partitioning="hive").to_table()
    assert there.sort_by("slipway_id").to_pandas().equals(predictions(places))
    with s3.server.files.open_output_stream(f"{s3.name}/flights/{names(places)[0]}") as stream:
        stream.write(b"half")
    assert copied_to(places, f"{s3.uri}/flights") == 1, "an interrupted copy is made whole"


@pytest.mark.soak
@pytest.mark.parametrize("lack", ["a bucket", "a key", "a server"])
def test_a_bucket_that_cannot_be_had_is_one_line(
    lack: str, s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No such bucket, a wrong key, nobody who answers: said within a minute, and all stays here."""
    places, bucket = Places(tmp_path), s3.name
    written(places.frames / "1.frames", [frame_at(NOON)])
    if lack == "a bucket":
        bucket = "no-such-bucket"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", WRITER)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRITERS_SECRET)
    if lack == "a key":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    if lack == "a server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    begun = time.monotonic()
    assert main(["compact", "--captures", str(tmp_path), "--to", f"s3://{bucket}/flights"]) == 2
    assert time.monotonic() - begun < 60
    (line,) = capfd.readouterr().err.splitlines()
    assert (f"s3://{bucket}/flights" in line, len(line) < 700) == (True, True), line
    assert len(predictions(places)) == 3


def names(places: Places) -> list[str]:
    """Of the files of predictions, below the folder."""
    return [
        path.relative_to(places.folder).as_posix() for path in sorted(places.predictions.rglob("*.parquet"))
    ]
