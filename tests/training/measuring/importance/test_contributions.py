"""What columns add on held-out rows: within a time, on rows spread over them, by a version's own reasons."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from training.measuring.importance.added import LEAST_ROWS, contributions, spread


class Asked:
    """A scorer whose reasons are the values themselves; counts the rows that it explains."""

    def __init__(self, seconds: float = 0.0, clock: list[float] | None = None) -> None:
        self.schema = SimpleNamespace(names=["a", "b", "c"])
        self.explained, self._seconds, self._clock = 0, seconds, clock or [0.0]

    def explainer(self) -> Asked:
        """Itself."""
        return self

    def explain(self, matrix: np.ndarray) -> SimpleNamespace:
        """Take so many seconds a row."""
        self.explained += len(matrix)
        self._clock[0] += self._seconds * len(matrix)
        return SimpleNamespace(shares=matrix, errors=None)


def test_means_are_those_of_rows_spread_over_all() -> None:
    """The sign aside: a column that adds 1 to half of the rows and takes 1 from the others counts 1."""
    rows = np.column_stack([np.tile([1.0, -1.0], 1_000), np.linspace(0.0, 2.0, 2_000), np.zeros(2_000)])
    found = contributions(Asked(), rows, seconds=60.0)
    assert len(found.shares) == 500
    assert found.means["a"] == 1.0
    assert abs(found.means["b"] - 1.0) < 1e-9
    assert found.strongest(4) in (["a", "b"], ["b", "a"]), "what adds nothing is not among the strongest"


def test_a_slow_model_has_as_many_rows_explained_as_the_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is asked for all coalitions takes a tenth of a second a row; fewer than enough rows say nothing."""
    clock = [0.0]
    monkeypatch.setattr("training.measuring.importance.added.time.perf_counter", lambda: clock[0])
    rows = np.ones((2_000, 3))
    slow = Asked(0.1, clock)
    found = contributions(slow, rows, seconds=5.0)
    assert 40 <= slow.explained == len(found.shares) <= 50
    assert clock[0] <= 5.0
    too_slow = Asked(1.0, clock)
    assert contributions(too_slow, rows, seconds=5.0) is None
    assert too_slow.explained <= 5
    assert len(contributions(Asked(0.1, clock), rows[:7], seconds=5.0).shares) == 7 < LEAST_ROWS


def test_rows_without_a_prediction_are_left_out() -> None:
    """They have no contributions; of such rows alone nothing is known."""
    rows = np.array([[1.0, 2.0, 3.0], [np.nan, np.nan, np.nan]])
    assert contributions(Asked(), rows, seconds=5.0).means == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert contributions(Asked(), rows[1:], seconds=5.0) is None
    assert contributions(Asked(), rows[:0], seconds=5.0) is None


def test_any_beginning_is_spread_over_the_rows() -> None:
    """A table is often sorted by time: the first rows alone would be the oldest."""
    places = spread(10_000, 500)
    assert len(set(places.tolist())) == 500
    assert 4_000 < places[:25].mean() < 6_000
