"""The watch over a version: quiet where nothing changed, and what it says where something did."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import UNSEEN, Column, Schema
from serving.scorer import Intervals
from training.measuring.intervals.conformal import COVERAGES, quantile
from training.monitoring import Groups, Known, Moments, Reference, Watch, reference_of
from training.monitoring.evidence.harm import HarmEvidence
from training.monitoring.lately import stability_index
from training.monitoring.reference import drawn_by_day
from training.monitoring.watching import WORSENING, Alarm

SCHEMA = Schema(
    (
        Column("size", "number"),
        Column("rooms", "number"),
        Column("town", "category", categories=tuple("abcdefghijklm")),
        Column("garden", "boolean", missing=True),
    ),
    target="price",
)


def rows(n: int, random: np.random.Generator) -> np.ndarray:
    """Packed rows: a number, one with ties, a category of thirteen towns, and a boolean with gaps."""
    garden = np.where(random.random(n) < 0.1, np.nan, (random.random(n) < 0.4).astype(float))
    towns = random.choice(13, n, p=np.arange(1.0, 14.0) / 91.0).astype(float)
    return np.column_stack([random.normal(size=n), random.poisson(3, n).astype(float), towns, garden])


def answers(matrix: np.ndarray) -> np.ndarray:
    """Predictions and scales of a model."""
    return np.column_stack([2.0 * matrix[:, 0] + matrix[:, 1], np.where(matrix[:, 0] > 0, 2.0, 1.0)])


def actual(matrix: np.ndarray, random: np.random.Generator, noise: float = 1.0) -> np.ndarray:
    """What came of the rows."""
    found = answers(matrix)
    return found[:, 0] + noise * found[:, 1] * random.normal(size=len(matrix))


def made(seed: int = 0, n: int = 2_000) -> Reference:
    """The reference of that model, as read back from its file."""
    random = np.random.default_rng(seed)
    training, held_out, calibration = (rows(n, random) for _ in range(3))
    scores = np.abs(actual(calibration, random) - answers(calibration)[:, 0]) / answers(calibration)[:, 1]
    table = Intervals("calibration", n, True, COVERAGES, tuple(quantile(scores, each) for each in COVERAGES))
    absolute = np.abs(actual(held_out, random) - answers(held_out)[:, 0])
    known = Known(training, held_out, answers(held_out), absolute, scores)
    return Reference.from_dict(json.loads(json.dumps(reference_of(known, SCHEMA, table, seed=0).as_dict())))


def watched(days: int, change: object = None, *, noise: float = 1.0, first: int = 1, seed: int = 1) -> Watch:
    """A watch over some days of 120 rows, which `change` alters."""
    random, watch = np.random.default_rng(seed), Watch(made(), seed=0, independent=True)
    for day in range(first, first + days):
        matrix = rows(120, random)
        truth = actual(matrix, random, noise)
        matrix = matrix if change is None else change(matrix)
        watch.see(f"2026-0{1 + day // 28}-{1 + day % 28:02d}", matrix, answers(matrix), truth)
    return watch


def with_column(index: int, value: object) -> object:
    """A change of one column."""

    def change(matrix: np.ndarray) -> np.ndarray:
        matrix = matrix.copy()
        matrix[:, index] = value(matrix[:, index]) if callable(value) else value
        return matrix

    return change


@pytest.mark.parametrize("seed", range(4))
def test_days_like_the_training_rows_raise_nothing(seed: int) -> None:
    """Numbers, ties, categories and gaps together, for two months."""
    assert watched(60, seed=seed).alarms == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (with_column(0, lambda size: size * 2.54), "size: "),
        (with_column(1, lambda rooms: rooms + 1.0), "rooms: "),
        (
            with_column(2, UNSEEN),
            "town: rare, or never seen in training was 0.1 % of the rows, on this day 100 %",
        ),
        (with_column(3, np.nan), "garden: missing was 1"),
        (with_column(2, 12.0), "town: m was 14 % of the rows, on this day 9"),
    ],
    ids=["other units", "one more", "unseen", "gone", "one town"],
)
def test_a_column_that_changed_is_named(change: object, named: str) -> None:
    """Within ten days, with what moved: a person knows where to look."""
    watch = watched(10, change)
    cause = next(alarm.cause for alarm in watch.alarms if alarm.kind == "inputs")
    assert any(part.startswith(named) for part in cause.split("; ")), cause


def test_where_the_predictions_alarm_first_the_column_behind_them_is_named_too() -> None:
    """A person can look at a column, not at a prediction. One row a day: no column is certain yet."""
    random, watch = np.random.default_rng(3), Watch(made(), seed=0, independent=False)
    for day in range(1, 29):
        matrix = np.add(rows(120, random), [2.0, 0.0, 0.0, 0.0])
        watch.see(f"2026-01-{day:02d}", matrix, np.add(answers(matrix), [4.0, 0.0]), np.full(120, np.nan))
        if watch.alarms:
            break
    (alarm,) = watch.alarms
    named = [part.split(":")[0] for part in alarm.cause.split("; ")]
    assert named[0] == "prediction"
    assert "size" in named


def test_errors_that_grew_raise_errors_and_coverage_and_harm_but_not_inputs() -> None:
    """The rows are as ever; what became of them is not."""
    watch = watched(60, noise=1.6)
    kinds = {alarm.kind for alarm in watch.alarms}
    assert kinds == {"errors", "coverage", "harm"}
    assert f"{100 * WORSENING:.0f} %" in next(alarm.cause for alarm in watch.alarms if alarm.kind == "harm")


def test_without_outcomes_only_the_inputs_are_watched() -> None:
    """No label is no error of zero."""
    random, watch = np.random.default_rng(0), Watch(made(), seed=0)
    matrix = rows(100, random)
    day = watch.see("2026-01-01", matrix, answers(matrix), np.full(100, np.nan))
    assert day.figures["labelled_share"] == 0.0
    assert {name for name in day.figures if name.startswith("evidence")} == {"evidence_inputs"}
    assert "rmse" not in day.figures


def test_a_watch_that_was_stopped_goes_on_with_the_same_numbers() -> None:
    """Its state is a file; the draw of a day's rows follows from the day."""
    random, whole, first = np.random.default_rng(4), Watch(made(), seed=0), Watch(made(), seed=0)
    days = [(f"2026-03-{number:02d}", rows(1_500, random)) for number in range(1, 7)]
    noise = [actual(matrix, random) for _, matrix in days]
    for (day, matrix), truth in zip(days, noise, strict=True):
        whole.see(day, matrix, answers(matrix), truth)
    for (day, matrix), truth in zip(days[:3], noise[:3], strict=True):
        first.see(day, matrix, answers(matrix), truth)
    second = Watch(made(), seed=0)
    second.restore(json.loads(json.dumps(first.as_dict())))
    for (day, matrix), truth in zip(days[3:], noise[3:], strict=True):
        second.see(day, matrix, answers(matrix), truth)
    assert second.as_dict() == whole.as_dict()


def days_of_their_own(*, independent: bool, seed: int) -> Watch:
    """A watch over a year of days that each have a level: rows of a day are alike, days are not."""
    random, watch = np.random.default_rng(seed), Watch(made(), seed=0, independent=independent)
    for day in range(365):
        matrix = rows(60, random)
        matrix[:, 0] = 0.8 * random.normal() + 0.6 * matrix[:, 0]
        truth = answers(matrix)[:, 0] + answers(matrix)[:, 1] * (
            0.8 * random.normal() + 0.6 * random.normal(size=60)
        )
        label = (date(2025, 1, 1) + timedelta(days=day)).isoformat()
        watch.see(label, matrix, answers(matrix), truth)
    return watch


@pytest.mark.parametrize("seed", range(3))
def test_days_that_have_a_level_of_their_own_raise_nothing(seed: int) -> None:
    """Weather: over the year the rows are as in training. All rows of a day would be taken for a drift."""
    assert days_of_their_own(independent=False, seed=seed).alarms == []
    assert {alarm.kind for alarm in days_of_their_own(independent=True, seed=seed).alarms} >= {
        "inputs",
        "errors",
    }


def in_groups(
    n: int, random: np.random.Generator, each: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of groups that have a level of their own, with what came of them and their groups."""
    matrix, level, error = rows(n * each, random), random.normal(size=(2, n)), random.normal(size=n * each)
    matrix[:, 0] = np.repeat(level[0], each) + 0.2 * matrix[:, 0]
    truth = answers(matrix)[:, 0] + answers(matrix)[:, 1] * (np.repeat(level[1], each) + 0.2 * error)
    return matrix, truth, np.repeat(random.integers(2**63, size=n, dtype=np.uint64), each)


def grouped(*, told: bool, seed: int) -> Watch:
    """A watch over a hundred days of five new groups, made of 80 groups, that is told of them or not."""
    random = np.random.default_rng(seed)
    parts = [in_groups(80, random) for _ in range(3)]
    (training, _, first), (held_out, outcome, second), (calibration, later, third) = parts
    found = answers(calibration)
    scores = np.abs(later - found[:, 0]) / found[:, 1]
    table = Intervals(
        "calibration", len(scores), True, COVERAGES, tuple(quantile(scores, each) for each in COVERAGES)
    )
    absolute = np.abs(outcome - answers(held_out)[:, 0])
    groups = Groups(("house",), first, second, second, third) if told else None
    known = Known(training, held_out, answers(held_out), absolute, scores, groups)
    made = reference_of(known, SCHEMA, table, seed=0)
    watch = Watch(Reference.from_dict(json.loads(json.dumps(made.as_dict()))), seed=0, independent=True)
    for day in range(100):
        matrix, truth, group = in_groups(5, random)
        label = (date(2025, 1, 1) + timedelta(days=day)).isoformat()
        watch.see(label, matrix, answers(matrix), truth, group if told else None)
    return watch


@pytest.mark.parametrize("seed", range(3))
def test_groups_that_have_a_level_of_their_own_raise_nothing(seed: int) -> None:
    """Where the split kept groups together, a group is one row, in the reference and on each day."""
    watch = grouped(told=True, seed=seed)
    assert watch.alarms == []
    assert watch.reference.group == ("house",)
    assert watch.reference.scores is not None
    assert watch.reference.scores.gaps.sum() == 80 + 1
    assert {alarm.kind for alarm in grouped(told=False, seed=seed).alarms} >= {"inputs", "errors"}


def test_scores_whose_groups_are_not_known_are_not_compared() -> None:
    """New intervals from a table without the group's column: its rows are no ranks among groups."""
    reference = grouped(told=True, seed=0).reference
    table = Intervals("calibration", 50, False, (0.5,), (1.0,))
    assert reference.with_scores(np.ones(50), table, seed=0).scores is None
    assert reference.with_scores(np.ones(50), table, np.arange(50, dtype=np.uint64), seed=0).levels


def test_intervals_that_are_too_wide_are_said_to_be() -> None:
    """A model that errs less than it promised alarms nobody's errors; its intervals promise too little."""
    watch = watched(60, noise=0.6)
    assert [alarm.kind for alarm in watch.alarms] == ["coverage"]
    assert "intervals miss on this day, they are too wide" in watch.alarms[0].cause
    assert "too wide" not in next(
        alarm.cause for alarm in watched(60, noise=1.6).alarms if alarm.kind == "coverage"
    )


def test_a_small_move_within_the_tolerance_raises_nothing() -> None:
    """A quarter of a standard deviation is a PSI of 0.06; one of a half, 0.25, is beyond what 0.05 tolerates."""
    reference = made(n=10_000)

    def after(shift: float, tolerance: float) -> list[Alarm]:
        random = np.random.default_rng(0)
        watch = Watch(reference, seed=0, independent=True, tolerance=tolerance)
        for day in range(1, 11):
            matrix = rows(400, random)
            moved = matrix + np.array([shift, 0.0, 0.0, 0.0])
            watch.see(f"2026-01-{day:02d}", moved, answers(matrix), np.full(400, np.nan))
        return watch.alarms

    assert after(0.25, 0.0)
    assert after(0.25, 0.05) == []
    assert after(0.5, 0.05)


def test_a_watch_with_another_tolerance_is_refused() -> None:
    """Its wealth would have been won at other odds; one from before there was a tolerance had none."""
    state = Watch(made(), seed=0, tolerance=0.05, until="2026-01-01").as_dict()
    with pytest.raises(ValueError, match="another tolerance"):
        Watch(made(), seed=0).restore(state)
    before = Watch(made(), seed=0, until="2026-01-01").as_dict()
    del before["tolerance"]
    Watch(made(), seed=0).restore(before)
    assert before["until"] == "2026-01-01"


@pytest.mark.parametrize("kinds", [200, 5_000])
def test_new_categories_of_a_column_that_always_brings_new_ones_raise_nothing(kinds: int) -> None:
    """Towns by Zipf's law, of which training saw some: with all known rows as their own names each stream alarmed."""
    random, weights = np.random.default_rng(6), 1.0 / np.arange(1.0, kinds + 1.0)
    towns = random.choice(kinds, (2, 800), p=weights / weights.sum())
    names, codes = np.unique(towns[0], return_inverse=True)
    schema = Schema((Column("town", "category", categories=tuple(map(str, names))),), target="price")
    training = codes[:, None].astype(float)
    known = Known(training, training[:100], np.ones((100, 2)), np.zeros(0), None)
    reference = reference_of(known, schema, None, seed=0)
    watch = Watch(reference, seed=0, independent=True, ignored=("gaps",))  # no row was held out
    later = np.where(np.isin(towns[1], names), np.searchsorted(names, towns[1]), UNSEEN).astype(float)[
        :, None
    ]
    assert (later == UNSEEN).mean() > 0.02
    for day in range(16):
        part = later[50 * day : 50 * day + 50]
        watch.see(f"2026-01-{day + 1:02d}", part, np.ones((50, 2)), np.full(50, np.nan))
    assert watch.alarms == []
    watch.see("2026-02-01", np.full((100, 1), UNSEEN), np.ones((100, 2)), np.full(100, np.nan))
    assert watch.alarms[0].cause.startswith("town: rare, or never seen in training was ")


def test_an_ignored_column_raises_nothing() -> None:
    """A month is one value for weeks: no day can show that it is as in training."""
    random, watch = np.random.default_rng(0), Watch(made(), seed=0, ignored=("town",))
    for day in range(1, 29):
        matrix = rows(50, random)
        matrix[:, 2] = 3.0
        watch.see(f"2026-01-{day:02d}", matrix, answers(matrix), np.full(50, np.nan))
    assert watch.alarms == []
    assert "town" not in {bins.name for bins in watch.views}


def test_one_row_a_day_still_finds_a_column_that_is_gone() -> None:
    """Within a month; a small shift takes years, which is the price of days that are unlike each other."""
    random, watch = np.random.default_rng(0), Watch(made(), seed=0)
    for day in range(1, 29):
        matrix = rows(50, random)
        matrix[:, 0] = np.nan
        watch.see(f"2026-01-{day:02d}", matrix, answers(matrix), np.full(50, np.nan))
    assert watch.alarms[0].cause.startswith("size: missing, or beyond what was seen was 0.05 % of the rows")


def test_the_state_of_another_version_is_refused() -> None:
    """Its bins are others."""
    state = Watch(made(), seed=0).as_dict() | {"until": "2026-01-01"}
    state["inputs"]["counts"][0] = [1.0]
    with pytest.raises(ValueError, match="other bins"):
        Watch(made(), seed=0).restore(state)


def test_the_stability_index_is_the_sum_of_both_divergences() -> None:
    """PSI = KL(now, before) + KL(before, now), by scipy."""
    from scipy.stats import entropy

    before, now = np.array([0.2, 0.3, 0.5]), np.array([0.25, 0.35, 0.4])
    assert stability_index(before, now) == pytest.approx(entropy(now, before) + entropy(before, now))


@pytest.mark.parametrize("independent", [True, False])
def test_outcomes_that_are_given_later_come_to_the_same(independent: bool) -> None:
    """Labels mature days after the inputs: which row of a day is drawn must not hang on when, nor on a restart."""
    random = np.random.default_rng(5)
    days = [
        (f"2026-03-{day:02d}", matrix, actual(matrix, random))
        for day in range(1, 9)
        for matrix in [rows(60, random)]
    ]
    together, apart = (Watch(made(), seed=0, independent=independent) for _ in range(2))
    for day, matrix, truth in days:
        together.see(day, matrix, answers(matrix), truth)
        apart.see_inputs(day, matrix, answers(matrix))
    assert (apart.until, apart.outcomes_until) == ("2026-03-08", "")
    resumed = Watch(made(), seed=0, independent=independent)
    resumed.restore(json.loads(json.dumps(apart.as_dict())))
    for day, matrix, truth in days:
        resumed.see_outcomes(day, answers(matrix), truth)
    assert resumed.as_dict() == together.as_dict()


def test_errors_without_a_scale_are_still_held_to_the_mean_error() -> None:
    """A column that is not kept leaves no scale: harm needs none, and the intervals wait."""
    random, watch = np.random.default_rng(6), Watch(made(), seed=0, independent=True)
    matrix = rows(60, random)
    unscaled = answers(matrix) * [1.0, np.nan]
    figures = watch.see_outcomes("2026-03-01", unscaled, actual(matrix, random)).figures
    assert {"rmse", "labelled_share", "evidence_harm"} <= set(figures)
    assert not [name for name in figures if name.startswith(("interval_", "evidence_errors", "evidence_cov"))]


def test_errors_larger_than_any_known_one_are_evidence_and_not_a_loss() -> None:
    """Units of the target changed: bettors who lean to bins have next to nothing beyond the last, and lost it."""
    watch = watched(5, noise=60.0)
    assert "errors" in {alarm.kind for alarm in watch.alarms}
    state = watch.as_dict()["errors"]["log_wealth"]
    assert max(state) > 50.0, state


def quiet_year(seed: int) -> Watch:
    """A year in which weekdays have 500 rows and weekends 50 larger ones that err more, as it was before."""
    random = np.random.default_rng(seed)

    def of(day: int) -> tuple[np.ndarray, np.ndarray]:
        weekend = day % 7 >= 5
        matrix = rows(50 if weekend else 500, random)
        matrix[:, 0] += weekend
        return matrix, actual(matrix, random, 2.0 if weekend else 1.0)

    past = [of(day) for day in range(70)]
    matrix, truth = (np.concatenate(parts) for parts in zip(*past, strict=True))
    order = random.permutation(len(matrix))
    held = order[: len(matrix) // 3]
    absolute = np.abs(truth - answers(matrix)[:, 0])
    scores = absolute / answers(matrix)[:, 1]
    part = held[: len(held) // 2]
    table = Intervals(
        "calibration", len(part), True, COVERAGES, tuple(quantile(scores[part], each) for each in COVERAGES)
    )
    known = Known(matrix[order], matrix[held], answers(matrix)[held], absolute[held], scores[part])
    watch = Watch(reference_of(known, SCHEMA, table, seed=seed), seed=seed)
    for day in range(364):
        now, truth = of(day)
        watch.see((date(2026, 1, 5) + timedelta(days=day)).isoformat(), now, answers(now), truth)
    return watch


@pytest.mark.soak
def test_small_days_that_differ_from_large_ones_are_no_change() -> None:
    """Rows are as they were, week by week. More than 2 alarms in 40 years would deny 1 %, with 99 %."""
    raised = [alarm.kind for seed in range(40) for alarm in quiet_year(seed).alarms]
    assert {kind: raised.count(kind) for kind in set(raised) if raised.count(kind) > 2} == {}


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0.0, 1.0)), min_size=1, max_size=60))
def test_days_whose_rows_are_within_the_limit_on_average_win_nothing(days: list[tuple[int, float]]) -> None:
    """However they take turns: a bad weekend of fifty rows does not weigh like a week."""
    sizes, losses = np.array(days).T
    tau = float((sizes * losses).sum() / sizes.sum())
    if not 1e-9 < tau <= 1.0:  # a limit is above 12 / rows, whatever the losses are
        return
    evidence = HarmEvidence(tau)
    evidence.log_wealth = np.zeros(len(evidence.log_wealth))  # one account: what later ones win is theirs
    for size, loss in days:
        evidence.win_day(loss, size / sizes.max())
    assert evidence.log_wealth.max() <= 1e-9


DAY = 86_400.0


def timed(days: int, each: int, *, seed: int = 0, kept: bool = True) -> Reference:
    """The reference of a version whose split follows time: each day has a level, as weather does."""
    random = np.random.default_rng(seed)
    moments = np.repeat(np.arange(float(days)), each) * DAY + random.uniform(0.0, DAY, days * each)
    level = np.repeat(random.normal(size=days), each)
    matrix = (level + 0.3 * random.normal(size=days * each))[:, None]
    part = days * each // 3
    learned, calibrated, tested = (slice(place * part, (place + 1) * part) for place in range(3))
    scores = np.abs(matrix[:, 0])
    held_out = slice(part, 3 * part)
    answers = np.column_stack([matrix[held_out, 0], np.ones(2 * part)])
    of_these = Moments(moments[learned], moments[held_out], moments[tested], moments[calibrated])
    known = Known(
        matrix[learned],
        matrix[held_out],
        answers,
        scores[tested],
        scores[calibrated],
        moments=of_these if kept else None,
    )
    table = Intervals(
        "calibration", part, False, (0.5, 0.9), tuple(np.quantile(scores[calibrated], [0.5, 0.9]))
    )
    return reference_of(known, Schema((Column("rain", "number"),), target="delay"), table, seed=seed)


def test_one_row_of_each_day_is_held_against_one_row_of_each_known_day() -> None:
    """Twenty rows of one day's weather are one: held against all of them, a new day looked like a change."""
    reference = timed(90, 20)
    daily = reference.of(independent=False)
    assert reference.of(independent=True) is reference
    assert reference.columns[0].gaps.sum() == 600 + 1
    assert daily.columns[0].gaps.sum() == 30 + 1
    assert daily.whole[0].gaps.sum() == 60 + 1
    assert daily.scores is not None
    assert daily.scores.gaps.sum() == 30 + 1
    assert daily.limit is not None
    assert reference.limit is not None
    assert daily.limit.upper > reference.limit.upper, "thirty means leave more open than six hundred rows"
    assert Reference.from_dict(json.loads(json.dumps(reference.as_dict()))).of(independent=False)


def test_without_a_time_of_the_rows_there_is_no_other_reference() -> None:
    """Nobody knows the days of another split."""
    reference = timed(90, 20, kept=False)
    assert reference.daily is None
    assert reference.of(independent=False) is reference


def test_a_drawn_score_is_what_a_miss_is_held_against() -> None:
    """The urn is exact for a known score alone: the smallest that is not below the table's quantile."""
    daily = timed(90, 20).of(independent=False)
    for level in daily.levels:
        assert level.threshold >= level.quantile
        assert 0 <= level.above < level.rows == 30
    again = timed(90, 20).with_scores(
        np.ones(50), Intervals("calibration", 50, False, (0.5,), (2.0,)), None, np.arange(50) * DAY, seed=0
    )
    assert again.daily is not None
    assert again.daily.levels == (), "no known score is a miss, and none is as large"


def test_new_scores_without_their_times_are_not_compared_by_day() -> None:
    """New intervals from a table without the column of dates: many rows of a day could pass for many days."""
    table = Intervals("calibration", 50, False, (0.5,), (1.0,))
    again = timed(90, 20).with_scores(np.ones(50), table, seed=0)
    assert again.scores is not None
    assert again.daily is not None
    assert (again.daily.scores, again.daily.levels) == (None, ())


def test_small_known_days_are_drawn_as_seldom_as_small_later_ones() -> None:
    """Or weekends would weigh more among the known rows than later."""
    moments = np.concatenate([np.full(100 if day % 2 else 10, day * DAY) for day in range(2_000)])
    drawn = (moments[drawn_by_day(moments, np.random.default_rng(0))] / DAY).astype(int)
    assert len(np.unique(drawn)) == len(drawn)
    assert (drawn % 2 == 1).sum() == 1_000
    assert 70 < (drawn % 2 == 0).sum() < 132


def test_an_alarm_says_how_far_the_mean_is() -> None:
    """In standard deviations of the training rows: a PSI says how much moved, and not where to."""
    reference = timed(90, 20)
    watch = Watch(reference, 0, independent=True)
    random = np.random.default_rng(1)
    sd = reference.columns[0].sd
    for day in range(1, 20):
        matrix = reference.columns[0].mean + 2.0 * sd + 0.1 * sd * random.normal(size=(200, 1))
        watch.see_inputs(f"2026-01-{day:02d}", matrix, np.column_stack([matrix[:, 0], np.ones(200)]))
    (alarm,) = watch.alarms
    assert re.search(r"rain: .* \(PSI \S+, mean \+2 sd\)", alarm.cause), alarm.cause
