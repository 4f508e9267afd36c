"""What a column adds lately beside what it added: moved and matters is told from moved and hardly matters."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.training.monitoring.test_watching import answers, made, rows
from training.monitoring import Watch
from training.monitoring.lately import MOST_DAYS

BEFORE = {"size": 1.6, "rooms": 1.3, "town": 0.01, "garden": 0.0}


class Asked:
    """Says for each column the mean of its values, and counts the days that it explained."""

    def __init__(self, *, nothing: bool = False) -> None:
        self.days, self._nothing = 0, nothing

    def __call__(self, matrix: np.ndarray) -> np.ndarray | None:
        """Explain a day."""
        self.days += 1
        return None if self._nothing else np.abs(np.nan_to_num(matrix)).mean(axis=0) * [1.0, 1.0, 0.001, 0.0]


def fresh(explain: Asked | None) -> Watch:
    """A watch that has seen nothing."""
    return Watch(made().with_contributions(BEFORE), 0, independent=True, unit="EUR", explain=explain)


def watched(change: np.ndarray, explain: Asked | None = None, days: int = 15) -> Watch:
    """A watch over some days of 120 rows that a column moved in."""
    random = np.random.default_rng(1)
    watch = fresh(explain or Asked())
    for day in range(days):
        matrix = rows(120, random) + change
        watch.see_inputs(f"2026-01-{day + 1:02d}", matrix, answers(matrix))
    return watch


def test_an_alarm_says_whether_the_column_that_moved_matters() -> None:
    """Two columns move as far; a new price follows from one alone."""
    causes = [watched(np.array(change)).alarms[0].cause for change in ([4.0, 0, 0, 0], [0, 0, 40.0, 0])]
    assert "size: " in causes[0]
    assert re.search(
        r", it matters: it adds [34][.\d]* EUR to a prediction on average, 1\.6 before", causes[0]
    )
    assert "town: " in causes[1]
    assert ", it hardly matters: it adds 0.0" in causes[1]


def test_rows_are_explained_for_an_alarm_and_for_the_last_days_alone() -> None:
    """Three years of days are taken in one call; a slow model takes a tenth of a second a row."""
    explain = Asked()
    watch = watched(np.zeros(4), explain, days=28)
    assert not watch.alarms
    assert explain.days == 0
    assert len(watch.as_dict()["counts"]) == MOST_DAYS == explain.days
    watch.as_dict()
    assert explain.days == MOST_DAYS


def test_what_was_counted_is_kept_with_the_state() -> None:
    """The page of the next call shows the last days without their rows; states from before have none."""
    watch = watched(np.zeros(4))
    state, again = watch.as_dict(), fresh(Asked())
    again.restore(json.loads(json.dumps(state)))
    assert again.counts.lately("size") == watch.counts.lately("size")
    del state["counts"]
    again.restore(state)
    assert again.counts.lately("size") is None
    with pytest.raises(ValueError, match="contributions of other columns"):
        again.restore(state | {"counts": [[1.0, 2.0]]})


def test_nothing_is_said_where_nothing_is_known() -> None:
    """Of a version without reasons, of one whose reasons fail, and of a prediction, which is no column."""
    before = Watch(made(), 0, independent=True, explain=Asked())
    for bare in (before, fresh(None)):
        bare.counts.see_day(np.ones((3, 4)))
        assert bare.counts.lately("size") is None
    failing = watched(np.array([4.0, 0, 0, 0]), Asked(nothing=True))
    assert "to a prediction on average" not in failing.alarms[0].cause
    assert failing.as_dict()["counts"] == []
    assert watched(np.zeros(4)).counts.lately("prediction") is None
