"""What the last days showed: bounded, kept with the state, and the column that moved first in line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.training.monitoring.test_watching import answers, made, rows, watched, with_column
from training.monitoring import Watch
from training.monitoring.lately import MOST_DAYS


def test_the_column_that_changed_stands_first() -> None:
    """With the shares that it had in training and has now."""
    first, *_ = watched(3, with_column(2, 12.0)).lately.moved()
    assert first.name == "town"
    assert first.after[first.labels.index("m")] > 0.95  # a row whose tie is behind all known ones lies beyond
    assert first.before[first.labels.index("m")] == pytest.approx(13 / 91, abs=0.03)
    assert first.rows == 360


def test_no_more_than_ten_days_are_kept() -> None:
    """A watch goes on for years."""
    watch = watched(25)
    assert len(watch.lately.days) == MOST_DAYS
    assert {each.rows for each in watch.lately.moved()} == {120 * MOST_DAYS}


def test_what_was_shown_comes_back_with_the_state() -> None:
    """The page after a call without new days is that of the call before."""
    watch, again = watched(3), Watch(made(), seed=0, independent=True)
    again.restore(json.loads(json.dumps(watch.as_dict())))
    assert [each.after.tolist() for each in again.lately.moved()] == [
        each.after.tolist() for each in watch.lately.moved()
    ]


def test_a_state_from_before_goes_on_without_it() -> None:
    """Evidence of months is not thrown away for a picture."""
    state, again = watched(3).as_dict(), Watch(made(), seed=0, independent=True)
    del state["lately"]
    again.restore(state)
    assert again.lately.moved() == []
    matrix = rows(120, np.random.default_rng(5))
    again.see("2026-02-01", matrix, answers(matrix), np.full(120, np.nan))
    assert {each.rows for each in again.lately.moved()} == {120}


def test_counts_of_other_bins_are_refused() -> None:
    """They would be shown under the wrong words."""
    state = watched(3).as_dict()
    state["lately"][0][0] = [1]
    with pytest.raises(ValueError, match="other bins"):
        Watch(made(), seed=0, independent=True).restore(state)


def test_an_alarm_is_raised_where_its_evidence_reaches_its_line() -> None:
    """The page draws the lines at which the watch alarms: no other ones."""
    random, watch, before = np.random.default_rng(1), Watch(made(), seed=0, independent=True), set()
    for number in range(1, 60):
        matrix = rows(120, random)
        truth = answers(matrix)[:, 0] + 1.25 * answers(matrix)[:, 1] * random.normal(size=120)
        day = watch.see(
            f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}",
            matrix,
            answers(matrix),
            truth,
        )
        reached = {name.split("_")[1] for name, line in watch.lines.items() if day.figures[name] >= line}
        raised = {alarm.kind for alarm in day.raised}
        assert raised == reached - before
        before |= raised
    assert {"errors", "harm", "coverage"} & before
