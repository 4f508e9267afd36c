"""One version's rows by day, with the outcomes that are known by now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.captures import FrameLayout, KeptRequest, Places, PredictionId
from data.schema import Schema
from tests.training.archive.kept import COLUMNS, LAYOUT, NOON, frame_at, ids, labelled, written
from training.archive import compact
from training.captures import DayOfRows, Wanted, captured_days, captured_rows
from training.compiling import pack_frame

LATER = NOON + timedelta(days=1)
OTHER = replace(LAYOUT, version="4", digest="cd" * 32)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A folder of captures."""
    return Places(tmp_path)


def silent(_step: str, _outcome: str) -> None:
    """Tell nobody."""


def days(places: Places, **asked: Any) -> list[DayOfRows]:
    """Compact, and return the days."""
    compact(places, silent)
    return list(captured_days(places, "flights", "3", **asked))


def label(places: Places, moment: datetime, *labels: tuple[Any, ...]) -> None:
    """Let labels come in at a moment: id, caller's id, row, actual."""
    labelled(places.labels / f"{moment:%d%H%M%S}.labels", moment, [[*each, None] for each in labels])


def test_days_come_in_order_with_rows_that_pack_as_they_were_packed(places: Places) -> None:
    """Or a version would be asked about other rows than it answered: gaps, unseen categories, microseconds too."""
    frames = [frame_at(NOON + timedelta(days=day), 4, number=day) for day in (0, 1, 2)]
    written(places.frames / "1.frames", frames[::-1])
    found = days(places, since="2026-11-27")
    assert [each.day for each in found] == ["2026-11-27", "2026-11-28"]
    for day, frame in zip(found, frames[1:], strict=True):
        assert day.ids.tolist() == ids(frame)
        np.testing.assert_array_equal(day.predictions, frame.predictions)
        np.testing.assert_array_equal(day.scale, frame.scale)
        np.testing.assert_array_equal(pack_frame(day.frame, Schema(COLUMNS, "y")), frame.matrix)
        assert (day.rows, day.left_out) == (4, 0)
        assert np.isnan(day.actual).all()


def test_the_last_label_wins_and_an_empty_one_withdraws(places: Places) -> None:
    """Whatever the order of the files, and by whichever of the two ids it came."""
    frame = frame_at(NOON, 4)
    written(places.frames / "1.frames", [frame])
    one, two, three, four = ids(frame)
    label(places, LATER + timedelta(hours=2), (two, None, None, None), (four, None, None, 9.0))
    label(places, LATER, (one, None, None, 1.0), (two, None, None, 2.0), (three, None, None, 3.0))
    label(places, LATER + timedelta(hours=1), (one, None, None, 1.5), (None, "mine-1", 0, 1.75))
    label(places, LATER + timedelta(hours=3), ("stranger", None, None, 8.0), (None, "strange", 0, 8.0))
    (day,) = days(places)
    np.testing.assert_array_equal(day.actual, [1.75, np.nan, 3.0, 9.0])


def test_a_callers_id_that_came_twice_is_the_last_answered(places: Places) -> None:
    """A retry is two predictions and one outcome."""
    first, again = frame_at(NOON, 1, number=1), frame_at(NOON + timedelta(seconds=1), 1, number=2)
    same = [each.__class__(0, 0.0, "mine") for each in again.requests]
    written(places.frames / "1.frames", [replace(each, requests=tuple(same)) for each in (first, again)])
    label(places, LATER, (None, "mine", 0, 5.0))
    (day,) = days(places)
    np.testing.assert_array_equal(day.actual, [np.nan, 5.0])


def asked(places: Places, name: str, moment: datetime, number: int, layout: FrameLayout = LAYOUT) -> None:
    """Let a caller ask about one row under its own id."""
    frame = frame_at(moment, 1, number=number, layout=layout)
    written(
        places.frames / f"{number}.frames", [replace(frame, requests=(KeptRequest(0, 0.0, name),))], [layout]
    )


MIDNIGHT = NOON + timedelta(hours=12)


@pytest.mark.parametrize(
    ("again", "layout", "expected"),
    [
        (MIDNIGHT + timedelta(seconds=1), LAYOUT, [[np.nan], [5.0]]),
        (MIDNIGHT - timedelta(seconds=1), OTHER, [[np.nan]]),
        (MIDNIGHT + timedelta(seconds=1), OTHER, [[np.nan]]),
    ],
    ids=["midnight", "swap", "both"],
)
def test_a_retry_takes_the_label_with_it_to_another_day_or_version(
    again: datetime, layout: FrameLayout, expected: list[list[float]], places: Places
) -> None:
    """Or one outcome would be that of two predictions."""
    asked(places, "mine", MIDNIGHT - timedelta(seconds=2), 1)
    asked(places, "mine", again, 2, layout)
    label(places, LATER, (None, "mine", 0, 5.0))
    np.testing.assert_array_equal([day.actual for day in days(places)], expected)
    (other,) = list(captured_days(places, "flights", "4")) or [None]
    assert (other is None) == (layout is LAYOUT)
    assert other is None or other.actual.tolist() == [5.0]


def test_an_id_that_is_used_each_day_labels_the_day_before_its_receipt(places: Places) -> None:
    """Orders are counted anew each day: today's outcome is not that of all days before, and not of tomorrow's."""
    for day in range(3):
        asked(places, "order 1", NOON + timedelta(days=day), day)
        label(places, NOON + timedelta(days=day, hours=6), (None, "order 1", 0, float(day)))
    np.testing.assert_array_equal([day.actual for day in days(places)], [[0.0], [1.0], [2.0]])


def test_a_label_goes_to_the_last_answer_even_where_that_was_not_drawn(places: Places) -> None:
    """Of a day with many rows some are taken; an answer before the last one is not the labelled one instead."""
    for number in range(39):
        asked(places, "mine", NOON + timedelta(seconds=number), number)
    label(places, LATER, (None, "mine", 0, 5.0))
    (day,) = days(places, wanted=Wanted(most=10))
    last = str(PredictionId(frame_at(NOON + timedelta(seconds=38), 1, number=38).id, 0))
    assert last not in day.ids
    assert np.isnan(day.actual).all()


def test_rows_are_counted_whether_they_are_drawn_or_not(places: Places) -> None:
    """Those of files that fit."""
    written(places.frames / "1.frames", [frame_at(NOON, 50)])
    assert [len(day.ids) < 50 for day in days(places, wanted=Wanted(most=10))] == [True]
    assert captured_rows(places, "flights", "3", "2026-11-26") == 50
    assert captured_rows(places, "flights", "3", "2026-11-26", Wanted(digest="cd" * 32)) == 0
    assert captured_rows(places, "flights", "3", "2026-11-27") == 0


def test_files_of_another_digest_or_without_a_column_are_left_out_and_counted(places: Places) -> None:
    """A hashed column is none: its texts are not those that the model was given."""
    other = FrameLayout("flights", "3", "cd" * 32, COLUMNS)
    hashed = FrameLayout("flights", "3", "ab" * 32, COLUMNS, hashed=("carrier",))
    for number, layout in enumerate((LAYOUT, other, hashed)):
        frame = frame_at(NOON + timedelta(minutes=number), number=number, layout=layout)
        written(places.frames / f"{number}.frames", [frame], [layout])
    names = tuple(column.name for column in COLUMNS)
    (day,) = days(places, wanted=Wanted(digest="ab" * 32, columns=names))
    assert (len(day.ids), day.left_out) == (3, 2)
    (day,) = days(places, wanted=Wanted(digest="ab" * 32))
    assert (len(day.ids), day.left_out) == (6, 1)


def test_a_day_of_many_rows_gives_some_the_same_at_each_call(places: Places) -> None:
    """Memory is bounded whatever a day holds; which rows are taken does not hang on what they hold."""
    written(
        places.frames / "1.frames", [frame_at(NOON + timedelta(hours=h), 1_000, number=h) for h in range(5)]
    )
    few = Wanted(most=500)
    first, second = (days(places, wanted=few)[0] for _ in range(2))
    assert first.ids.tolist() == second.ids.tolist()
    assert first.rows == 5_000
    assert 400 < len(first.ids) < 600
