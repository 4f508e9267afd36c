"""However short the time, the obvious models are tried, nothing is forgotten, and the search says what it missed."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from data.tables import Table, describe
from tests.training.search.searched_rows import chosen, rows_of
from training.challenger import searching
from training.errors import SearchFailed
from training.models import AllRows, Spec, all_rows, portfolio
from training.models.families import build, fewer_bins
from training.search import cross_validation, processes, race
from training.search.candidates import judged
from training.search.choosing import Choice, choose
from training.search.cross_validation import FoldResult, folds_of
from training.search.processes import Pool
from training.search.winner import winner_of
from training.time_budget import Budget


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
    monkeypatch.setattr(race, "SAMPLE_ROWS", (300,))

    def slow_on_all(spec, given):
        for result in folds_of(spec, given):
            hangs = spec["family"] == "boosting" and len(given.target) == 2_000
            yield FoldResult(result.fold, result.predicted, result.seconds, "cut" if hangs else "")

    monkeypatch.setattr(cross_validation, "folds_of", slow_on_all)
    choice = chosen(rows, seconds=3.0, trials=2)
    assert choice.best.family == "boosting"
    on_all = build(choice.best.spec, rows.schema, seed=0).fit(rows.frame, rows.target)
    assert (winner_of(choice, rows).fitted.predict(rows.frame) == on_all.predict(rows.frame)).all()


def test_a_wide_table_is_searched_on_as_many_rows_as_its_time_carries() -> None:
    """20,000 rows of 500 columns were tried on 10,000 rows in 10 s: nothing came through, not even a ridge."""
    rows = rows_of(np.zeros((13_900, 1)), np.arange(13_900.0))
    names = [f"x{index}" for index in range(500)]
    wide = replace(rows.schema, columns=tuple(replace(rows.schema.columns[0], name=name) for name in names))

    def sizes(schema, seconds):
        found = race.Race(rows, portfolio.Task(13_900, schema), Budget(seconds))
        return found._sizes()

    first, second = sizes(wide, 20.0)
    assert race.FEWEST_SAMPLED < first < 2_100
    assert second == 10_000
    assert sizes(wide, 5.0)[0] == race.FEWEST_SAMPLED
    assert sizes(wide, 300.0) == [], "there is time for all, and a sample would take as long"


@pytest.mark.parametrize(
    ("count", "folds", "sizes"), [(13_900, 4, []), (40_000, 2, []), (60_000, 5, [10_000])]
)
def test_a_sample_is_tried_first_where_that_is_quicker(
    count: int, folds: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """10,000 of 13,900 rows took half of the search, and as long for each setting: they need more folds to tell."""

    class Begun(Exception):
        pass

    def begin(*_: object) -> None:
        raise Begun

    monkeypatch.setattr(race.Race, "_try_all", begin)
    x = np.arange(float(count))
    rows = rows_of(x[:, None], x, folds=5)
    found = race.Race(rows, portfolio.Task(count, rows.schema), Budget(60.0))
    with pytest.raises(Begun):
        found.run(None)
    assert found._sizes() == sizes
    assert (found.rows.size, len(found.rows.folds)) == (sizes[0] if sizes else count, folds)


def test_what_is_fitted_when_the_time_is_over_takes_one_fit(monkeypatch) -> None:
    """It took five, 34 s beyond a budget of 20."""
    rows = rows_of(np.random.default_rng(0).normal(size=(3_000, 3)), np.arange(3_000.0))
    found, fits = race.Race(rows, portfolio.Task.of(rows.target, rows.schema, None), Budget(0.1)), []
    monkeypatch.setattr(race.Race, "_try_all", lambda *_: None)
    monkeypatch.setattr(race.Race, "_places", lambda self: cross_validation.Here(self.rows))

    def counted(spec, given):
        for result in folds_of(spec, given):
            fits.append((spec["family"], len(given.target), len(given.folds)))
            yield result

    monkeypatch.setattr(cross_validation, "folds_of", counted)
    found.run(None)
    assert [each for each in fits if each[0] != "mean"] == [("ridge", race.LAST_RESORT_ROWS, 1)]
    assert found.ranked()[0].family in ("ridge", "mean")


def test_a_fit_is_the_same_in_any_process(monkeypatch) -> None:
    """Two threads add in another order than one: the digest hung on which process had fitted the model."""
    threads = []

    def seen(model, *_):
        blas = [each for each in threadpool_info() if each["user_api"] == "blas"]
        threads.append({each["num_threads"] for each in blas})
        return model

    monkeypatch.setattr(cross_validation, "fit", seen)
    rows = rows_of(np.zeros((20, 1)), np.arange(20.0))
    cross_validation.fitted({"family": "ridge"}, rows)
    assert threads == [{1}]


def test_a_search_in_which_all_but_the_mean_failed_fails_with_the_reason(monkeypatch) -> None:
    """Forty settings failed in an empty fold, and the mean was registered."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (200, 2))
    rows = rows_of(x, x[:, 0])

    def failing(spec, given):
        if spec["family"] == "mean":
            yield from folds_of(spec, given)
        else:
            yield FoldResult(0, np.empty(0), 0.0, "ResolvedVersion array with 0 sample(s)")

    monkeypatch.setattr(cross_validation, "folds_of", failing)
    with pytest.raises(SearchFailed, match=r"no model but the mean could be fitted.*0 sample"):
        choose(rows, budget=Budget(1.0, 4))


def test_the_mean_is_no_answer_because_it_is_cheap(monkeypatch) -> None:
    """With 9,000 shops only the mean could be fitted in time, and was chosen; a ridge was 13 % better."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (400, 2))
    rows = rows_of(x, 3.0 * x[:, 0] + random.normal(0.0, 0.1, 400))
    monkeypatch.setattr(race.Race, "_full_fit", lambda _, each: 0.0 if each.family == "mean" else 1e6)
    assert chosen(rows, seconds=1.0).best.family == "ridge"


def test_a_member_of_one_fold_makes_no_blend_without_an_error() -> None:
    """Cut off after a fold, a boosting left a blend whose cross-validated RMSE was nan: no other fold finds weights."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (300, 2))
    rows = rows_of(x, x[:, 0] * x[:, 1])
    found = race.Race(rows, portfolio.Task.of(rows.target, rows.schema, None), Budget())
    found.rows = rows
    one_fold = np.full(300, np.nan)
    one_fold[rows.folds[0][1]] = rows.target[rows.folds[0][1]] + 0.1
    noise = random.normal(0.0, 0.1, 300)
    for family, predicted in (
        ("boosting", one_fold),
        ("forest", rows.target + noise),
        ("huber", rows.target - noise),
    ):
        found.candidates.append(judged({"family": family, "params": {}}, predicted, rows, 0.1))
    assert all(np.isfinite(candidate.cv_rmse) for candidate in found.ranked())


def test_a_fit_that_takes_too_much_of_the_time_is_ended() -> None:
    """One setting on 2,000 columns took minutes of a budget of five seconds; a fit cannot be stopped from within."""
    random = np.random.default_rng(0)
    rows = rows_of(random.normal(size=(300, 3)), random.normal(size=300))
    slow = {"family": "stochastic", "params": {"n_estimators": 10**7}}
    told: list[str] = []
    with Pool(rows, 2) as pool:
        pool.give({"family": "ridge"}, lambda result: not told.append(result.failure))
        while pool.busy:
            pool.listen(30.0)
        pool.give(slow, lambda result: bool(told.append(result.failure)), until=time.perf_counter() + 0.5)
        while pool.busy:
            pool.listen(30.0)
        pool.give({"family": "ridge"}, lambda result: bool(told.append(result.failure)))
        while pool.busy:
            pool.listen(30.0)
    assert told == ["", "", "", "", "it took too long", ""]


def test_the_best_of_a_sample_is_judged_on_no_more_folds_than_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """All folds of all rows took the time that more settings would have had."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (2_000, 2))
    rows = rows_of(x, x[:, 0] * x[:, 1] + random.normal(0.0, 0.1, 2_000))
    monkeypatch.setattr(race, "SAMPLE_ROWS", (300,))
    monkeypatch.setattr(race, "JUDGED_ROWS", 600)
    best = chosen(rows, seconds=40.0, trials=2).best
    assert best.family == "boosting"
    assert np.isfinite(best.out_of_fold).sum() == 1_000


def test_what_cannot_learn_all_rows_in_time_has_to_be_clearly_better() -> None:
    """A ridge was registered for a better boosting that was too slow; and one hardly better would learn few rows."""
    rows, near = rows_of(np.zeros((4, 1)), np.arange(4.0)), np.arange(4.0) + 0.1
    for much, family in ((1.02, "ridge"), (2.0, "forest")):
        found = race.Race(rows, portfolio.Task(4, rows.schema), Budget(10.0, 4))
        found.candidates = [
            judged({"family": "ridge", "params": {}}, np.arange(4.0) + 0.1 * much, rows, 0.1),
            judged({"family": "forest", "params": {}}, near, rows, 90.0),
        ]
        assert found.ranked(blend=False)[0].family == family


@pytest.mark.parametrize(("smaller", "more"), [(1.1, [portfolio.HUGE_LEAVES]), (1.01, [])])
def test_larger_trees_are_tried_where_the_large_ones_lead_clearly(smaller: float, more: list[Spec]) -> None:
    """Protein's error fell by 4 % with 300 leaves a tree; where small trees did as well, large ones took time alone."""
    rows = rows_of(np.zeros((4, 1)), np.arange(4.0))
    found = race.Race(rows, portfolio.Task(4, rows.schema), Budget(10.0))
    known = [(portfolio.LARGE_LEAVES, 0.1), (portfolio.QUICK_LEAVES, 0.1 * smaller)]
    found.candidates = [judged(spec, np.arange(4.0) + error, rows, 0.1) for spec, error in known]
    asked = [spec for spec, _ in islice(found._asks(None), len(portfolio.first(found.task)))]
    assert [spec for spec in asked if spec == portfolio.HUGE_LEAVES] == more


@pytest.mark.parametrize(("share", "family"), [(0.999, "boosting"), (0.99, "blend")])
def test_a_blend_has_to_be_worth_the_time_of_its_members(
    monkeypatch: pytest.MonkeyPatch, share: float, family: str
) -> None:
    """A blend of four won by 0.1 % in cross-validation and took five times as long a row; held-out rows said less."""
    rows, members = rows_of(np.zeros((4, 1)), np.arange(4.0)), ("boosting", "forest", "mean")
    better = judged({"family": "blend", "members": []}, np.arange(4.0) + 0.1 * share, rows, 0.1)
    monkeypatch.setattr(race, "blended", lambda *_: [better])
    found = race.Race(rows, portfolio.Task(4, rows.schema), Budget(10.0, 4))
    found.candidates = [
        judged({"family": name, "params": {}}, np.arange(4.0) + error, rows, 0.1)
        for name, error in zip(members, (0.1, 0.2, 2.0), strict=True)
    ]
    assert found.ranked()[0].family == family


def test_a_last_fit_that_outlasts_its_time_is_ended_and_learns_as_many_rows_as_a_fold(monkeypatch) -> None:
    """No fit can be stopped from within: one took 49 s of a budget of 30, and the run as long again."""
    rows, told = rows_of(np.random.default_rng(0).normal(size=(300, 1)), np.arange(300.0)), []
    slow: Spec = {"family": "stochastic", "params": {"n_estimators": 10**7}}
    assert processes.fitted_until(time.perf_counter() + 0.3, slow, rows) is None
    monkeypatch.setattr(processes, "fitted_until", lambda *_: None)
    found = replace(
        judged({"family": "ridge", "params": {}}, rows.target + 1.0, rows, 0.1), seconds_a_row=0.01
    )
    choice = Choice((found,), 0.0, pd.DataFrame({"trial": [1]}))
    winner = winner_of(choice, rows, budget=Budget(5.0), fitting=lambda _, count: told.append(count))
    assert told == [300, found.learned]
    assert winner.rows == found.learned < 300


def test_a_last_fit_on_little_more_than_a_fold_is_tried_on_all_rows(monkeypatch) -> None:
    """On a busy machine a ridge learned 14,639 of 22,898 rows: it was taken for half as slow again."""
    monkeypatch.setattr(processes, "fitted_until", lambda _, spec, part: cross_validation.fitted(spec, part))
    rows, told = rows_of(np.random.default_rng(0).normal(size=(300, 1)), np.arange(300.0)), []
    found = judged({"family": "ridge", "params": {}}, rows.target + 1.0, rows, 0.1)
    choice = Choice((replace(found, seconds_a_row=0.009),), 0.0, pd.DataFrame({"trial": [1]}))
    assert (
        winner_of(choice, rows, budget=Budget(5.0), fitting=lambda _, count: told.append(count)).rows == 300
    )
    assert told == [300]


def test_a_boosting_of_many_columns_chooses_from_fewer_ranges_and_from_every_category() -> None:
    """On 2,000 columns it took 11.5 s for 2.3; a category beyond the ranges would end the fit."""
    assert fewer_bins(rows_of(np.zeros((4, 200)), np.arange(4.0)).schema) is None
    assert fewer_bins(rows_of(np.zeros((4, 2_000)), np.arange(4.0)).schema) == 32
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(600, 600)), columns=[f"x{place}" for place in range(600)])
    frame["shop"] = [f"s{place % 200}" for place in range(600)]
    kinds = dict.fromkeys(frame.columns, "number") | {"shop": "category"}
    schema = describe(Table("t", frame, kinds), list(frame.columns), target="y")
    assert fewer_bins(schema) == 201
    spec = portfolio.shaped({"family": "boosting", "params": {"max_iter": 2}}, portfolio.Task(600, schema))
    build(spec, schema, seed=0).fit(frame, random.normal(size=600))


def test_a_line_that_wins_learns_the_rows_that_memory_does_not_hold() -> None:
    """The run records what it was fitted on, and that it learned all: a version is rebuilt in the same two steps."""
    x = np.random.default_rng(0).normal(size=(600, 1))
    rows, told = rows_of(x[:300], 3.0 * x[:300, 0]), []
    names = list(rows.frame.columns)

    def parts():
        for part in np.array_split(x, 4):
            yield pd.DataFrame(part, columns=names), 5.0 * part[:, 0]

    found = judged({"family": "ridge", "params": {}}, rows.target + 1.0, rows, 0.1)
    choice = Choice((found,), 0.0, pd.DataFrame({"trial": [1]}))
    tell = lambda _, count: told.append(count)  # noqa: E731
    winner = winner_of(choice, rows, fitting=tell, everything=AllRows(600, parts))
    assert told == [300, 600]
    assert (winner.rows, winner.fitted_on) == (600, 300)
    assert winner.fitted.predict(rows.frame) == pytest.approx(5.0 * x[:300, 0], rel=1e-3)
    assert searching.with_rows(winner, 300) == {"family": "ridge", "params": {}, "in_parts": True}
    assert searching.with_rows(winner, 400)["rows"] == 300
    assert searching.without_rows(searching.with_rows(winner, 400)) == found.spec


@pytest.mark.parametrize("reading, count, told", [(0.0, 100, 0), (9.0, 600, 1)], ids=["held", "in parts"])
def test_all_rows_that_would_take_too_long_are_learned_only_where_memory_does_not_hold_them(
    monkeypatch: pytest.MonkeyPatch, reading: float, count: int, told: int
) -> None:
    """A budget is kept on a table that memory holds; a scan of a larger one is beyond it, and is said before."""
    x = np.random.default_rng(0).normal(size=(600, 1))
    rows = rows_of(x[:100], 5.0 * x[:100, 0])
    choice = Choice(
        (judged({"family": "ridge", "params": {}}, rows.target + 1.0, rows, 0.1),), 0.0, pd.DataFrame()
    )
    frame = pd.DataFrame(dict.fromkeys(rows.frame, x[:, 0]))
    everything = AllRows(600, lambda: iter([(frame, 5.0 * x[:, 0])]), reading)
    monkeypatch.setattr(all_rows, "seconds_for", lambda *_: 1e6)
    said: list[tuple[int, float]] = []
    winner = winner_of(
        choice, rows, reading=lambda _, rows, seconds: said.append((rows, seconds)), everything=everything
    )
    assert winner.rows == count
    assert said == [(600, 1e6)] * told
    assert ("all_rows_seconds" in winner.as_metrics()) == bool(told)


@pytest.mark.parametrize("seconds, count", [(1e-7, 600), (0.08, 100)], ids=["in time", "too slow"])
def test_trees_learn_all_rows_where_the_budget_has_time_for_them(seconds: float, count: int) -> None:
    """Only the reading is beyond it: a boosting of ten million rows takes hours."""
    x = np.random.default_rng(0).normal(size=(600, 1))
    rows = rows_of(x[:100], 5.0 * x[:100, 0])
    spec: Spec = {"family": "lightgbm", "params": {"num_iterations": 3, "min_data_in_leaf": 5}}
    found = replace(judged(spec, rows.target + 1.0, rows, 0.1), seconds_a_row=seconds, learned=100)
    frame = pd.DataFrame(dict.fromkeys(rows.frame, x[:, 0]))
    everything = AllRows(600, lambda: iter([(frame, 5.0 * x[:, 0])]), 9.0)
    budget = Budget(60.0)
    winner = winner_of(Choice((found,), 0.0, pd.DataFrame()), rows, budget=budget, everything=everything)
    assert winner.rows == count
    assert winner.uncounted_seconds <= winner.all_rows_seconds
    assert ("in_parts" in searching.with_rows(winner, winner.fitted_on)) == (count == 600)
