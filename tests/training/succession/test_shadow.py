"""A challenger in the shadow: what is said when, of better, worse and equal ones; that a restart changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.succession.shadow import FEWEST_ROWS, PATIENCE, Plan, Shadow, gains, planned


def rows(seed: int, count: int, *, champion: float, challenger: float) -> tuple[np.ndarray, ...]:
    """Outcomes and predictions with errors of these sizes."""
    random = np.random.default_rng(seed)
    actual = random.normal(100.0, 20.0, count)
    return (
        actual,
        actual + champion * random.normal(size=count),
        actual + challenger * random.normal(size=count),
    )


def judged(plan: Plan, days: int, a_day: int, **errors: float) -> Shadow:
    """A shadow that saw so many days, or was decided before."""
    shadow = Shadow(plan)
    for day in range(days):
        if shadow.verdict.word != "not yet":
            break
        shadow.see(f"2026-{1 + day // 28:02d}-{1 + day % 28:02d}", *rows(day, a_day, **errors))
    return shadow


@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize(
    ("champion", "challenger", "word"),
    [(10.0, 7.0, "better"), (7.0, 10.0, "worse"), (8.0, 8.0, "no difference")],
)
def test_each_verdict_is_found(champion: float, challenger: float, word: str, independent: bool) -> None:
    """On rows, and on means of days."""
    plan = Plan(independent, 300 if independent else 30)
    shadow = judged(plan, 130, 20, champion=champion, challenger=challenger)
    assert shadow.verdict.word == word, shadow.verdict
    if word == "no difference":
        assert f"{PATIENCE * plan.draws:,} {plan.unit} were to show one" in shadow.verdict.sentence


def test_nothing_is_said_before_enough_rows_and_days() -> None:
    """A day's mean of three rows is no draw of a normal: days need rows, too."""
    shadow = judged(Plan(False, 40), 40, 2, champion=10.0, challenger=1.0)
    assert shadow.verdict.word == "not yet"
    assert (
        "40 days with 80 rows so far, nothing is said before 30 days with 200 rows" in shadow.verdict.sentence
    )
    few = Shadow(Plan(True, 300))
    few.see("2026-01-01", *rows(0, FEWEST_ROWS - 1, champion=10.0, challenger=1.0))
    assert few.verdict.word == "not yet"


def test_rows_without_an_outcome_are_no_draws() -> None:
    """Nor those that the champion gave no number for."""
    actual, champion, challenger = rows(0, 300, champion=10.0, challenger=7.0)
    actual[:50], champion[50:100] = np.nan, np.inf
    shadow = Shadow(Plan(True, 300))
    shadow.see("2026-01-01", actual, champion, challenger)
    assert shadow.rows == 200


def test_a_shadow_goes_on_as_if_never_stopped() -> None:
    """After each day it is written and read back."""
    whole = judged(Plan(True, 2_000), 9, 50, champion=8.0, challenger=7.9)
    parts = Shadow(Plan(True, 2_000))
    for day in range(9):
        parts.see(f"2026-01-{1 + day:02d}", *rows(day, 50, champion=8.0, challenger=7.9))
        parts = Shadow.from_dict(json.loads(json.dumps(parts.as_dict())))
    assert parts.as_dict() == whole.as_dict()
    assert parts.verdict == whole.verdict


def test_a_gain_is_the_difference_of_squared_errors() -> None:
    """As the gate's RMSE has it."""
    found = gains(np.array([10.0, 10.0]), np.array([13.0, 10.0]), np.array([11.0, 12.0]))
    assert found.tolist() == [8.0, -4.0]


def test_the_plan_is_what_such_a_difference_takes() -> None:
    """Four of five challengers whose gain is as on the held-out rows are found better by then."""
    held_out = gains(*rows(1, 4_000, champion=10.0, challenger=9.0))
    plan = planned(held_out, independent=True)
    assert 300 < plan.draws < 2_000
    found = 0
    for seed in range(100):
        shadow = Shadow(plan)
        shadow.see("2026-01-01", *rows(100 + seed, plan.draws, champion=10.0, challenger=9.0))
        found += shadow.verdict.word == "better"
    assert 65 <= found <= 95


@pytest.mark.parametrize("independent", [True, False])
def test_a_gain_that_was_not_seen_is_given_the_most_time(independent: bool) -> None:
    """No held-out rows, none but equal ones, or worse ones."""
    most = planned(np.zeros(0), independent=independent).draws
    assert planned(np.zeros(40), independent=independent).draws == most
    assert planned(np.full(40, -1.0) + np.arange(40) / 100, independent=independent).draws == most
    assert planned(np.full(40, 1.0) + np.arange(40) / 100, independent=independent).draws < most
