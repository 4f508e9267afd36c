"""The same files in a bucket: what lacks is copied, once, and an interrupted copy is made whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from data.captures import Places
from tests.training.archive.kept import NOON, frame_at, labelled, written
from training.__main__ import main
from training.archive import compact
from training.archive.mirror import copied_to
from training.errors import CannotMirror


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
