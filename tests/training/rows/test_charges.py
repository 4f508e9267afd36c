"""What comes last is told before the search, and what went beyond the promise after all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from training.rows import charges
from training.time_budget import Budget


def rows_of(columns: int, held_out: int) -> Any:
    """Stand for the rows of a training, as far as they are counted."""
    counts = {"train": 1_000, "calibration": held_out // 2, "holdout": held_out - held_out // 2}
    return SimpleNamespace(
        split=SimpleNamespace(counts=counts),
        schema=SimpleNamespace(columns=[None] * columns),
        seconds_of=lambda config: config.time_budget,
    )


def job_of(seconds: float, said: list[tuple[str, str]], logged: dict[str, float], **words: Any) -> Any:
    """Stand for a training's job, and keep what it says and logs."""

    def log(*, metrics: dict[str, float]) -> None:
        logged.update(metrics)

    return SimpleNamespace(
        config=SimpleNamespace(time_budget=seconds, trials=200),
        say=lambda step, words: said.append((step, words)),
        run=SimpleNamespace(log=log),
        **words,
    )


def test_more_columns_rows_or_neighbours_are_charged_more() -> None:
    """Each takes time after the search, whatever model wins it."""
    plain = charges.last_seconds(rows_of(5, 100))
    assert charges.last_seconds(rows_of(500, 100)) > plain + 5.0
    assert charges.last_seconds(rows_of(5, 60_000)) > plain + 5.0
    assert charges.last_seconds(rows_of(5, 100), slowed=2.0) == 2.0 * plain


def test_a_machine_is_told_to_be_busy_by_much_work_alone() -> None:
    """A moment's wait while a small table is arranged says nothing of the minutes to come."""
    now, worked = time.perf_counter(), time.process_time()
    assert charges.Pace(began=now - 9.0, worked=worked - 0.1).slowed == 1.0
    assert 1.9 < charges.Pace(began=now - 4.0, worked=worked - 2.0).slowed < 2.1
    assert charges.Pace(began=now - 90.0, worked=worked - 2.0).slowed == charges.MOST_SLOWED
    assert charges.Pace(began=now - 1.0, worked=worked - 2.0).slowed == 1.0


def test_a_budget_too_short_for_what_comes_last_is_said_before_the_search() -> None:
    """It was found out by waiting."""
    said: list[tuple[str, str]] = []
    charges.budget_for(rows_of(5, 100), job_of(5.0, said, {}), charges.Pace())
    assert said == []
    budget = charges.budget_for(rows_of(2_000, 100), job_of(5.0, said, {}), charges.Pace())
    assert said[0][0] == "budget"
    assert said[0][1].startswith("time_budget=5 is short for 2,000 columns")
    assert f"about {budget.last:.0f} s more" in said[0][1]


def test_a_graph_that_is_slower_than_most_is_charged_and_said() -> None:
    """One of 67 µs a row took 23 s more than was kept; what measures beyond the holdout then has less time."""
    said: list[tuple[str, str]] = []
    rows, job = rows_of(20, 60_000), TrainingJob(said)
    usual = charges.with_slow_graph(job, rows, charges.USUAL / 2.0)
    assert usual.budget.last == job.budget.last
    assert said == []
    slow = charges.with_slow_graph(job, rows, 67e-6)
    assert 5.0 < slow.budget.last - job.budget.last < 7.0
    assert slow.budget.ends("measure") < job.budget.ends("measure")
    assert said[0][0] == "budget"
    assert said[0][1].startswith(
        "this model takes 67 µs a row: judging it takes 6 s more than that of others"
    )


@dataclass(frozen=True)
class TrainingJob:
    """Stand for a job that has a budget of 60 s, of which 20 are for what comes last."""

    told: list[tuple[str, str]]
    budget: Budget = field(default_factory=lambda: Budget(60.0, last=20.0))

    def say(self, step: str, words: str) -> None:
        """Keep it."""
        self.told.append((step, words))


def test_a_broken_promise_is_said_and_a_kept_one_recorded() -> None:
    """Both are a run's metrics, so that any run can be held to its budget."""
    said: list[tuple[str, str]] = []
    logged: dict[str, float] = {}
    kept = Budget(20.0, began=time.perf_counter() - 30.0)
    charges.conclude(job_of(20.0, said, logged, budget=kept))
    assert said == []
    assert 30.0 <= logged["seconds_after_reading"] < logged["seconds_promised"] == 33.0
    broken = Budget(20.0, began=time.perf_counter() - 40.0)
    charges.conclude(job_of(20.0, said, logged, budget=broken))
    assert said == [("budget", "40 s since the rows were read, time_budget=20 allows 33")]
