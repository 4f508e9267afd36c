"""However short the time, the obvious models are tried, nothing is forgotten, and the search says what it missed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.test_search import chosen, rows_of
from training import search
from training.errors import SearchFailed
from training.portfolio import Task
from training.search import Budget, choose
from training.trials import FoldResult, folds_of


def test_the_shortest_time_tries_a_ridge_and_a_boosting() -> None:
    """California housing became a ridge at ten seconds, 40 % worse than two seconds of boosting."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (3_000, 3))
    choice = chosen(rows_of(x, x[:, 0] * x[:, 1] + random.normal(0.0, 0.1, 3_000)), seconds=0.05, trials=200)
    assert {"ridge", "boosting"} <= {candidate.family for candidate in choice.candidates}
    assert choice.best.family == "boosting"
    assert choice.ended.startswith("ended by time after ")
    assert "extra_trees" in choice.ended.partition("not reached")[2]


def test_what_the_sample_said_is_kept_where_the_best_does_not_finish_on_more_rows(monkeypatch) -> None:
    """A ridge that came through on all rows was chosen before the boosting that had won on the sample."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (2_000, 2))
    rows = rows_of(x, x[:, 0] * x[:, 1] + random.normal(0.0, 0.1, 2_000))
    monkeypatch.setattr(search, "SAMPLE_ROWS", (500,))

    def slow_on_all(spec, given):
        for result in folds_of(spec, given):
            hangs = spec["family"] == "boosting" and len(given.target) == 2_000
            yield FoldResult(result.fold, result.predicted, result.seconds, "cut" if hangs else "")

    monkeypatch.setattr(search, "folds_of", slow_on_all)
    choice = chosen(rows, seconds=3.0, trials=2)
    assert choice.best.family == "boosting"


def test_a_search_in_which_all_but_the_mean_failed_fails_with_the_reason(monkeypatch) -> None:
    """Forty settings failed in an empty fold, and the mean was registered."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (200, 2))
    rows = rows_of(x, x[:, 0])

    def failing(spec, given):
        if spec["family"] == "mean":
            yield from folds_of(spec, given)
        else:
            yield FoldResult(0, np.empty(0), 0.0, "Found array with 0 sample(s)")

    monkeypatch.setattr(search, "folds_of", failing)
    with pytest.raises(SearchFailed, match=r"no model but the mean could be fitted.*0 sample"):
        choose(rows.frame, rows.target, rows.folds, schema=rows.schema, seed=0, budget=Budget(1.0, 4))


def test_the_mean_is_no_answer_because_it_is_cheap(monkeypatch) -> None:
    """With 9,000 shops only the mean could be fitted in time, and was chosen; a ridge was 13 % better."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (400, 2))
    rows = rows_of(x, 3.0 * x[:, 0] + random.normal(0.0, 0.1, 400))
    monkeypatch.setattr(search.Race, "_full_fit", lambda _, each: 0.0 if each.family == "mean" else 1e6)
    assert chosen(rows, seconds=1.0).best.family == "ridge"


def test_a_member_of_one_fold_makes_no_blend_without_an_error() -> None:
    """Cut off after a fold, a boosting left a blend whose cross-validated RMSE was nan: no other fold finds weights."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (300, 2))
    rows = rows_of(x, x[:, 0] * x[:, 1])
    race = search.Race(rows, Task.of(rows.target, rows.schema, None), Budget())
    one_fold = np.full(300, np.nan)
    one_fold[rows.folds[0][1]] = rows.target[rows.folds[0][1]] + 0.1
    noise = random.normal(0.0, 0.1, 300)
    for family, predicted in (
        ("boosting", one_fold),
        ("forest", rows.target + noise),
        ("huber", rows.target - noise),
    ):
        race.candidates.append(search._candidate({"family": family, "params": {}}, predicted, rows, 0.1))
    assert all(np.isfinite(candidate.cv_rmse) for candidate in race.ranked())
