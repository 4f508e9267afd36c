"""Records and frames come back as they were written, and a crash costs the torn end alone."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.captures import Frame, FrameLayout, KeptRequest, PredictionId, RecordFile, Unseen, frame_id, record
from data.schema import Column

LAYOUT = FrameLayout(
    "flights",
    "3",
    "ab" * 32,
    (Column("dep_delay", "number"), Column("carrier", "category", categories=("EV",))),
)


def frame(rows: int = 3) -> Frame:
    """A frame with a gap, an unseen category and two requests."""
    matrix = np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
    matrix[0] = np.nan, -1.0
    return Frame(
        id=frame_id(1_764_288_000_000, 5),
        model="flights",
        version="3",
        digest="ab" * 32,
        milliseconds=1_764_288_000_000,
        share=0.25,
        matrix=matrix,
        predictions=np.linspace(0.0, 1.0, rows),
        scale=np.full(rows, np.nan),
        requests=(KeptRequest(0, 0.0, "mine"), KeptRequest(2, 0.125)),
        unseen=(Unseen(0, "carrier", "ÜX"),),
    )


def test_a_frame_and_its_layout_come_back(tmp_path: Path) -> None:
    """To the last bit, or a live error would be computed of other numbers than were answered."""
    path = tmp_path / "1.open"
    written = frame()
    path.write_bytes(record(LAYOUT.head()) + record(written.head(), written.parts()))
    first, second = RecordFile(path)
    assert FrameLayout.of(first) == LAYOUT
    assert Frame.of(first) is None
    back = Frame.of(second)
    assert back is not None
    for name in ("matrix", "predictions", "scale"):
        np.testing.assert_array_equal(getattr(back, name), getattr(written, name))
    assert back.head() == written.head()


def test_a_file_that_is_cut_anywhere_gives_all_before(tmp_path: Path) -> None:
    """Whatever a killed worker left: whole records are kept, the rest is counted, nothing is made up."""
    one, two = record({"kind": "a"}, [b"xyz"]), record({"kind": "b"}, [b"", b"12345"])
    path = tmp_path / "1.open"
    for end in range(len(one + two) + 1):
        path.write_bytes((one + two)[:end])
        read = RecordFile(path)
        kinds = [each.head["kind"] for each in read]
        whole = (end >= len(one)) + (end == len(one + two))
        assert kinds == ["a", "b"][:whole]
        assert (read.end, read.torn) == (
            len((one + two)[: len(one) * (whole > 0) + len(two) * (whole > 1)]),
            end - read.end,
        )


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_is_found(place: int, byte: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A disk that lies must not become a prediction."""
    written = frame()
    whole = record(written.head(), written.parts())
    place %= len(whole)
    spoilt = whole[:place] + bytes([byte]) + whole[place + 1 :]
    path = tmp_path_factory.mktemp("spoilt") / "1.open"
    path.write_bytes(spoilt)
    read = RecordFile(path)
    assert len(list(read)) == (spoilt == whole)
    assert read.torn == (0 if spoilt == whole else len(whole))


@given(foreign=st.binary(max_size=200))
def test_a_foreign_file_gives_nothing(foreign: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever stands in the folder."""
    path = tmp_path_factory.mktemp("foreign") / "1.frames"
    path.write_bytes(foreign)
    read = RecordFile(path)
    assert not list(read)
    assert read.torn == len(foreign)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**50 - 1), st.integers(0, 2**24 - 1))
def test_an_id_is_a_uuid_of_version_7_and_leads_back(milliseconds: int, random: int, row: int) -> None:
    """As the standard library reads it; ids of later frames sort behind."""
    written = PredictionId(frame_id(milliseconds, random), row)
    known = uuid.UUID(str(written))
    assert (known.version, known.variant) == (7, uuid.RFC_4122)
    assert known.int >> 80 == milliseconds
    assert known.int & 0xFFFFFF == row
    assert PredictionId.parse(str(known).upper()) == written


@pytest.mark.parametrize(
    "text", ["", "7", "019ac5b0-1c00-4abc-9234-56789a000007", "019ac5b01c007abc923456789a000007", "x" * 36]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """Another system's id must not become a row of ours."""
    with pytest.raises(ValueError, match="prediction id"):
        PredictionId.parse(text)
