"""Whether to train: each branch and the sentence that is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from training.succession.rule import Costs, Facts, decide

QUIET = Facts(
    alarms={}, learned_rows=1_000, new_rows=200, live=8.0, held_out=6.0, rows_a_day=100.0, unit="min"
)
COSTS = Costs(value=0.5, cost=2_000.0, days=30.0)


@pytest.mark.parametrize(
    ("change", "cause", "said"),
    [
        (
            {"alarms": {"errors": "since May"}},
            "errors",
            "retrain, because the alarm errors stands: since May",
        ),
        ({"alarms": {"inputs": "area", "harm": "10 %"}}, "harm", "the alarm harm stands: 10 %"),
        (
            {"new_rows": 500, "doubling": (-0.05, -0.01)},
            "rows",
            "500 labelled rows are new, and a doubling changed RMSE by -5 % to -1 %",
        ),
        (
            {"new_rows": 1_000},
            "rows",
            "1,000 labelled rows are new, as many as the 1,000 that it learned from",
        ),
        ({"age": 90.0, "max_age": 90.0}, "age", "the champion is 90 days old, 90 are allowed"),
        (
            {},
            "",
            "did not retrain, because neither errors nor harm alarm; 200 new labelled rows are 20% of the 1,000",
        ),
        ({"alarms": {"inputs": "area"}}, "", "(inputs alone never retrains)"),
        ({"alarms": {"inputs": "area", "coverage": "90"}}, "", "(inputs, coverage alone never retrains)"),
        ({"new_rows": 999}, "", "nobody measured whether more help"),
        ({"new_rows": 999, "doubling": (-0.05, 0.01)}, "", "there is no sign that more help"),
        ({"learned_rows": 0, "new_rows": 9_999}, "", "neither errors nor harm alarm"),
        ({"age": 89.0, "max_age": 90.0}, "", "neither errors nor harm alarm"),
        ({"age": 1e4}, "", "neither errors nor harm alarm"),
        ({"new_rows": 999, "doubling": (-0.009, -0.001)}, "", "there is no sign that more help"),
        (
            {"new_rows": 1_200, "tried_rows": 800},
            "",
            "400 new labelled rows since the last challenger are 40% of the 1,000",
        ),
        ({"new_rows": 1_800, "tried_rows": 800}, "rows", "1,000 labelled rows are new, as many as"),
        ({"age": 99.0, "max_age": 90.0, "since_challenger": 89.0}, "", "neither errors nor harm alarm"),
        ({"age": 180.0, "max_age": 90.0, "since_challenger": 90.0}, "age", "the champion is 180 days old"),
    ],
)
def test_each_cause_and_each_silence_has_its_sentence(change: dict[str, Any], cause: str, said: str) -> None:
    """An operator reads why, or why not."""
    decision = decide(replace(QUIET, **change))
    assert (decision.cause, said in decision.sentence) == (cause, True), decision.sentence
    assert decision.sentence.startswith("retrain, " if cause else "did not retrain, because ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"in_shadow": "4"}, "challenger version 4 is still being judged"),
        ({"since_training": 0.0}, "the last training was on this day, and a day has to pass"),
        ({"new_rows": 49}, "only 49 labelled rows are new, 50 are needed"),
        (
            {"new_rows": 0, "left_out": 7},
            "only 0 labelled rows are new, 50 are needed; 7 captured files lack a column, or hold its hash",
        ),
    ],
)
def test_what_forbids_a_training_outweighs_an_alarm(change: dict[str, Any], said: str) -> None:
    """One challenger at a time, one training a day, and none from a handful of rows."""
    alarmed = replace(QUIET, alarms={"harm": "10 %"}, since_training=1.0)
    assert decide(alarmed).cause == "harm"
    decision = decide(replace(alarmed, **change))
    assert (decision.cause, decision.sentence) == ("", f"did not retrain, because {said}")


@pytest.mark.parametrize(
    ("learned", "enough", "overtaken"),
    [
        (("", "2026-05-10"), False, "challenger version 4 learned no row after 2026-05-10"),
        (("2026-04-01", "2026-05-10"), True, "challenger version 4 learned no row after 2026-05-10"),
        (("", "2026-05-11"), False, ""),
        (("", "2026-05-12"), True, "learned older rows, too, for few had come by 2026-05-12"),
        (("2026-05-11", "2026-05-12"), True, ""),
        (None, True, ""),
    ],
    ids=["before", "another quarrel's", "few rows", "few rows then", "its rows alone", "by hand"],
)
def test_an_alarm_outweighs_a_challenger_that_does_not_know_its_world(
    learned: tuple[str, str] | None, enough: bool, overtaken: str
) -> None:
    """And no other one, whatever is raised later."""
    facts = replace(
        QUIET,
        alarms={"errors": "since 2026-05-20", "harm": "since 2026-05-11"},
        changed_on="2026-05-11",
        enough=enough,
        in_shadow="4",
        shadow_learned=learned,
    )
    assert not decide(replace(facts, alarms={"inputs": "area"}, changed_on="")).cause
    decision = decide(facts)
    assert bool(decision.cause) == bool(overtaken), decision.sentence
    assert overtaken in decision.sentence
    assert overtaken or "challenger version 4 is still being judged" in decision.sentence


@pytest.mark.parametrize(("live", "cause"), [(8.0, "harm"), (7.3, ""), (float("nan"), "")])
def test_a_training_that_would_not_pay_is_not_made(live: float, cause: str) -> None:
    """(live - held out) * 0.5 * 3,000 rows against 2,000; an error that nobody knows pays nothing."""
    decision = decide(replace(QUIET, alarms={"harm": "10 %"}, live=live), COSTS)
    assert decision.cause == cause
    assert cause or "because it would not pay, although the alarm harm stands" in decision.sentence


def test_the_sum_is_said_in_any_case() -> None:
    """With its parts, so that it can be done again by hand; and nothing where no costs were given."""
    said = decide(QUIET, COSTS).sum
    assert said == "(8 min - 6 min) * 0.5 * 3,000 rows in 30 days = 3,000, a retraining costs 2000"
    assert not decide(QUIET).sum


def test_an_age_that_the_operator_set_asks_for_no_reason() -> None:
    """It is a wish, whatever it costs."""
    assert decide(replace(QUIET, age=91.0, max_age=90.0, live=6.0), COSTS).cause == "age"
