"""In what form rows are kept: ids, moments, and columns that are left out or hashed."""

from __future__ import annotations

import numpy as np
import pytest

from data.schema import Column
from serving.front.capture.caller_words import Words, caller_of, words_of
from serving.front.capture.kept_columns import hash_of
from serving.front.capture.pending import Begin, Pending
from serving.rows.cells.coercion import UnseenText
from serving.runtimes import Predicted
from tests.serving.front.capture.captures import after, frame_of, rows_of
from tests.serving.front.capture.made import (
    COLUMNS,
    NOTHING_SAID,
    SECRET,
    Held,
    capture_in,
    columns_of,
    predicted,
    version,
)


def test_rows_are_read_back_as_they_were_whatever_came_beside_them():
    """One row, a few, many, with and without intervals, in Fortran's order: each under its own id."""
    held, random, expected = Held(), np.random.default_rng(1), {}
    capture, due = capture_in(held)
    for turn in range(300):
        rows = int(random.choice([1, 1, 1, 2, 32, 33, 70]))
        matrix = np.asarray(random.normal(size=(rows, 3)), order=random.choice(["C", "F"]))
        matrix[:, 1] = random.integers(0, 3, rows)
        scored = random.normal(size=(rows, 2))
        scale = scored[:, 1] if turn % 3 else None
        headers = {b"x-request-id": str(turn).encode()} if turn % 2 else {}
        shown = Predicted(matrix.copy(order="K"), scored[:, 0], scale, (), "")
        first = capture.keep(version(), shown, headers, turn / 1000).decode()
        for row in range(rows):
            interval = np.nan if scale is None else scale[row]
            expected[after(first, row)] = (
                *matrix[row],
                scored[row, 0],
                interval,
                row,
                str(turn) if turn % 2 else "",
            )
    due[0]()
    found = {}
    for pending in held.pending:
        found |= rows_of(frame_of(pending), pending.columns.layout)
    assert found.keys() == expected.keys()
    for each, row in found.items():
        np.testing.assert_equal((*row.cells, row.prediction, row.scale, row.row, row.caller), expected[each])


def test_versions_have_frames_of_their_own():
    """A version that is swapped in between has other columns."""
    held = Held()
    capture, due = capture_in(held)
    other = version(COLUMNS[:2], digest="cd" * 32, label="4")
    for each, columns in ((version(), 3), (other, 2), (version(), 3)):
        capture.keep(each, predicted(2, columns=columns), NOTHING_SAID, 0.0)
    due[0]()
    assert {frame.digest: frame.matrix.shape for frame in map(frame_of, held.pending)} == {
        "ab" * 32: (4, 3),
        "cd" * 32: (2, 2),
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"mine", "mine"),
        ("\u00e9".encode() * 64, "\u00e9" * 64),
        ("\u00e9".encode() * 64 + b"x", ""),
        (b"\xff\xfe", ""),
        (b"\x00\"'\n<script>", "\x00\"'\n<script>"),
    ],
)
def test_an_id_of_the_callers_is_kept_as_it_is_or_not_at_all(given, expected):
    """Cut short, or with letters replaced, it would be another request's."""
    assert caller_of(words_of({b"x-request-id": given}, "")).id == expected


def test_an_id_that_is_no_unicode_is_not_kept():
    """JSON can write half a letter, and no file could hold it."""
    assert caller_of(words_of({}, "\ud800")).id == ""


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (b"2013-07-01T12:00:00Z", 1_372_680_000.0),
        (b"2013-07-01T14:00:00.5+02:00", 1_372_680_000.5),
        (b"yesterday", None),
        (b"1969-12-31T23:59:59Z", None),
        (b"9999-01-01T00:00:00Z", None),
        (b"1372680000", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_an_event_is_of_the_time_that_it_names(said, at):
    """A queue that is late, or a replay, must not make yesterday's rows today's; what is no time says nothing."""
    assert caller_of(Words(b"", said)).at == at


def test_a_row_is_dated_by_its_event():
    """To the millisecond, whenever the frame was begun; its neighbours keep their own time."""
    begin = Begin(milliseconds=1_764_288_000_000, now=50.0, random=0, share=1.0)
    pending = Pending(version(), columns_of(), begin)
    for words, now in (
        (None, 50.1),
        (Words(b"a", b"2013-07-01T12:00:00.25Z"), 50.1),
        (Words("b", b""), 50.2),
    ):
        pending.add(predicted(2), words, now, 0)
    moments = [begin.milliseconds / 1000 + each.offset for each in frame_of(pending).requests]
    assert moments == pytest.approx([1_764_288_000.1, 1_372_680_000.25, 1_764_288_000.2], abs=1e-4)


def test_a_column_that_is_excluded_is_not_written():
    """Neither its cells, nor its unseen texts, nor its name."""
    kept = columns_of(exclude=("city",))
    assert [column.name for column in kept.layout.columns] == ["x", "b"]
    np.testing.assert_array_equal(kept.matrix(predicted(3).matrix), predicted(3).matrix[:, [0, 2]])
    assert kept.unseen([(0, [UnseenText(0, "city", "Quito")])]) == ()


def test_a_hashed_category_says_nothing_of_itself():
    """Its code is its hash's place, which nobody can know without the key; an unseen text is hashed whole."""
    kept = columns_of(hashed=("city",))
    (column,) = (each for each in kept.layout.columns if each.name == "city")
    assert kept.layout.hashed == ("city",)
    codes = kept.matrix(np.array([[1.0, code, 2.0] for code in (0.0, 1.0, 2.0, -1.0, np.nan)]))[:, 1]
    assert codes[3] == -1.0
    assert np.isnan(codes[4])
    cities = [column.categories[int(code)] for code in codes[:3]]
    assert cities == [hash_of(city, SECRET) for city in ("Berlin", "Lima", "Oslo")]
    assert list(column.categories) == sorted(column.categories)
    long = "Q" * 100
    assert kept.unseen([(5, [UnseenText(1, "city", long)])]) == ((6, "city", hash_of(long, SECRET)),)
    assert "Berlin" not in str(kept.layout.head())


def test_hashes_differ_by_key():
    """A plain hash of a hundred airports is undone by hashing a hundred airports."""
    assert hash_of("Oslo", SECRET) != hash_of("Oslo", SECRET[::-1])


def test_a_column_that_becomes_a_number_is_left_out_where_it_was_to_be_hashed(caplog):
    """A later version may have it so: it is never written as it is."""
    later = version((Column("city", "number"), Column("x", "number")))
    assert [column.name for column in columns_of(later, hashed=("city",)).layout.columns] == ["x"]
    assert "city is no category now" in caplog.text
