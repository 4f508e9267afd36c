"""A budget is a promise: what comes last is charged before the search begins."""

from __future__ import annotations

import time

import pytest

from training.time_budget import ENDS, MARGIN, MOST_KEPT, Budget, Part

PARTS: tuple[Part, ...] = ("search", "fit", "measure")


def ends(seconds: float, last: float) -> dict[Part, float]:
    """Return when the parts end, in seconds from the beginning."""
    budget = Budget(seconds, began=100.0, last=last)
    return {part: budget.ends(part) - 100.0 for part in PARTS}


@pytest.mark.parametrize("seconds", [1.0, 10.0, 20.0, 60.0, 300.0])
@pytest.mark.parametrize("last", [0.0, 4.0, 12.0, 19.0])
def test_what_is_measured_and_what_comes_last_are_within_the_promise(seconds: float, last: float) -> None:
    """1.15 times the budget and 10 s, also where what comes last takes a quarter longer than was told."""
    budget = Budget(seconds, last=last)
    if not budget.is_too_short:
        assert ends(seconds, last)["measure"] + (1.0 + MARGIN) * last <= budget.promised


def test_little_that_comes_last_takes_nothing_from_the_search() -> None:
    """The promise has ten seconds for it: only what goes beyond them is kept from the parts before."""
    assert ends(20.0, 0.0) == ends(20.0, 10.0)
    assert ends(20.0, 15.0)["search"] < ends(20.0, 10.0)["search"]


def test_a_search_keeps_half_of_the_budget_whatever_comes_last() -> None:
    """A table of thousands of columns gets a model all the same, and the run says that the budget is too short."""
    assert ends(20.0, 1e6)["search"] == pytest.approx(ENDS["search"] * (1.0 - MOST_KEPT) * 20.0)
    assert Budget(20.0, last=1e6).is_too_short
    assert not Budget(20.0, last=4.0).is_too_short


def test_a_budget_knows_how_much_of_it_is_used() -> None:
    """Which is what a run records of the time since its rows were read."""
    assert Budget(60.0, began=time.perf_counter() - 12.0).elapsed == pytest.approx(12.0, abs=0.5)
