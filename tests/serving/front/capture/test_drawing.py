"""Which requests a worker keeps, and within which memory."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from data.captures import Frame, PredictionId
from serving.front.capture import kept_requests
from serving.front.capture.drawing import NOT_DRAWN, Draw
from serving.front.capture.pending import Begin, Pending
from serving.rows.cells.coercion import UnseenText
from serving.runtimes import Predicted
from tests.serving.front.capture.captures import frame_of
from tests.serving.front.capture.made import (
    NOTHING_SAID,
    ROOM,
    Held,
    capture_in,
    columns_of,
    predicted,
    version,
)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_drawn_uniformly(share):
    """Within five standard deviations of a binomial, in each half of the stream: not each tenth, not the first ones."""
    held = Held()
    capture, due = capture_in(held, share=share)
    kept = []
    for turn in range(20_000):
        kept.append(bool(capture.keep(version(), predicted(), NOTHING_SAID, float(turn))))
        if turn % 100 == 0:
            due.pop()()
            held.let_go()
    for half in (kept[:10_000], kept[10_000:]):
        assert abs(sum(half) - 10_000 * share) < 5 * math.sqrt(10_000 * share * (1 - share))
    gaps = np.diff(np.flatnonzero(kept))
    assert len(set(gaps.tolist())) > 5, "not each tenth"
    assert held.counts == {}, "what was not drawn was not dropped"


def test_the_share_stands_in_the_frame():
    """Without it every later mean is one of the wrong rows."""
    held = Held()
    capture, due = capture_in(held, share=0.9)
    while not capture.keep(version(), predicted(), NOTHING_SAID, 0.0):
        pass
    due[0]()
    assert frame_of(held.pending[0]).share == 0.9


@pytest.mark.parametrize("a_second", [20, 1_000, 5_000])
def test_more_rows_than_are_wanted_are_thinned_without_bias(a_second):
    """About as many are kept as were asked for; weighted with 1/share they stand for all."""
    draw, kept, weight = Draw(1.0, 100.0), 0, 0.0
    draw._random = random.Random(1)
    for moment in range(400):
        draw.begin(moment * 0.2)
        for _ in range(a_second // 5):
            if not draw.refusal(1):
                kept += 1
                weight += 1 / draw.share
    offered = a_second // 5 * 400
    wanted = min(offered, 100 * 80)
    assert wanted * 0.9 < kept < wanted * 1.1 + a_second / 5
    assert abs(weight / offered - 1) < 0.05


def test_a_request_now_and_then_is_kept_whatever_the_rate():
    """One a second is not too many where two are wanted, however short the moment is that it came in."""
    draw = Draw(1.0, 2.0)
    for second in range(50):
        draw.begin(float(second))
        assert draw.refusal(1) == ""


def test_rows_that_are_too_many_are_counted():
    """As `rate`, where those that a share leaves out are not."""
    held = Held()
    capture, due = capture_in(held, rows=5, workers=5)
    for moment in range(10):
        for _ in range(100):
            capture.keep(version(), predicted(), NOTHING_SAID, moment * 0.2)
        due.pop()()
    assert set(held.counts) == {"rate"}
    assert 700 < held.counts["rate"] < 901
    draw = Draw(0.5, 0.0)
    assert {draw.refusal(1) for _ in range(100)} == {"", NOT_DRAWN}


def test_memory_is_bounded_and_the_newest_is_dropped():
    """A disk that hangs costs rows, not the worker; once it answers, rows are kept again."""
    held = Held()
    capture, due = capture_in(held)
    first = []
    while capture.keep(version(), predicted(1_000), NOTHING_SAID, 0.0):
        first.append(len(first))
    assert sum(pending.size for pending in held.pending) <= ROOM
    assert 100 < len(first) <= ROOM // (1_000 * 8 * 5)
    due[0]()
    assert held.counts == {"full": 1_000}
    held.let_go()
    assert capture.keep(version(), predicted(1_000), NOTHING_SAID, 1.0)


def test_texts_count_as_memory_too():
    """A request of unseen categories is mostly text."""
    held = Held()
    capture, due = capture_in(held)
    long = [UnseenText(0, "city", "x" * (ROOM // 4))]
    assert capture.keep(version(), predicted(texts=long), NOTHING_SAID, 0.0) == b""
    many = [UnseenText(0, "city", "")] * (kept_requests.MOST_TEXTS + 1)
    assert capture.keep(version(), predicted(texts=many), NOTHING_SAID, 0.0) == b"", (
        "more texts than are collected"
    )
    due[0]()
    assert held.counts == {"full": 2}


def test_a_frame_has_no_more_rows_than_its_ids():
    """Room ends before the 24 bits do, with the smallest rows that there can be: an id is never another row's."""
    held = Held()
    capture, _ = capture_in(held)
    bare = version(())
    most = (ROOM - kept_requests.REQUEST_BYTES) // Pending(
        bare, columns_of(bare), Begin(0, 0.0, 0, 1.0)
    ).row_bytes
    nothing = Predicted(np.zeros((most, 0)), np.zeros(most), None, (), "")
    assert capture.keep(bare, nothing, NOTHING_SAID, 0.0)
    assert most + kept_requests.FRAME_BYTES < Frame.MOST_ROWS, "and as many again as could be there before"


def test_a_frame_that_is_full_is_followed_by_another():
    """Of the same moment and version, with an id of its own, and nobody waits for the moment's end."""
    held = Held()
    capture, due = capture_in(held)
    ids = [
        PredictionId.parse(capture.keep(version(), predicted(3_000), NOTHING_SAID, 0.0).decode())
        for _ in range(4)
    ]
    assert [each.row for each in ids] == [0, 3_000, 0, 3_000]
    assert ids[0].frame == ids[1].frame != ids[2].frame
    assert [pending.rows for pending in held.pending] == [6_000]
    due[0]()
    assert [frame_of(pending).predictions.size for pending in held.pending] == [6_000, 6_000]


def test_many_versions_share_the_room():
    """A server of a hundred models has as many frames at once, each with a row or two."""
    held = Held()
    capture, due = capture_in(held)
    assert all(capture.keep(version(label=str(each)), predicted(), NOTHING_SAID, 0.0) for each in range(200))
    due[0]()
    assert held.counts == {}
    assert capture._taken == sum(pending.size for pending in held.pending) < 200 * 100
