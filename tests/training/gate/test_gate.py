"""The gate moves nothing, asks for everything, and says why."""

from __future__ import annotations

import dataclasses
import json

import pytest

from data.schema import Column, Schema
from training.commands.policies import Policy
from training.gate import deciding
from training.measuring import comparison

CHANGE = comparison.Change(17.0, 17.5, -0.03, -0.05, -0.01, 0.008, rows=4950, clusters=4950)
WORSE = dataclasses.replace(CHANGE, change=0.002, low=-0.004, high=0.008)
GOOD = [
    deciding.beats_baseline(17.0, 44.0, "min"),
    deciding.agrees("scorer and stock MLflow", 1e-15),
    *deciding.fits_budgets(9.0, 0.1),
]
SCHEMA = Schema((Column("distance", "number"), Column("carrier", "category", categories=("UA",))), target="y")


def decided(policy=Policy(), checks=GOOD, change=CHANGE, slices=()):  # noqa: B008 - a frozen value
    """Decide with what is given, and good figures for the rest."""
    return deciding.decide(
        policy, list(checks), change=change, slices=list(slices), champion_version="3", unit="min"
    )


def test_a_change_that_is_surely_below_zero_is_promoted_with_its_figures() -> None:
    """Everybody who reads the tag can check the claim."""
    decision = decided()
    assert decision.promoted and decision.word == "promoted"
    assert decision.reason == (
        "holdout RMSE 17 min, -3 % [-5 %, -1 %] of champion version 3's 17.5 min on 4,950 shared rows"
    )
    assert decision.notes[0] == (
        "with 4,950 rows a change of 0.8 % in RMSE would be seen 80% of the time; to see 0.4 % takes 19,800 rows"
    )
    json.dumps(decision.evidence)


def test_a_lower_error_that_may_be_chance_keeps_the_champion() -> None:
    """The interval reaches zero."""
    decision = decided(change=dataclasses.replace(CHANGE, high=0.001))
    assert not decision.promoted
    assert "95% interval of the change in RMSE: -5 % to +0.1 %, must be below 0 %" in decision.reason


def test_not_worse_is_a_margin() -> None:
    """For a smaller or newer model that only has to keep up."""
    assert not decided(change=WORSE).promoted
    assert decided(Policy("not-worse", margin=0.01), change=WORSE).promoted
    assert not decided(Policy("not-worse", margin=0.005), change=WORSE).promoted
    assert decided(Policy("not-worse", margin=0.01), change=WORSE).policy == "not-worse by 0.01"


@pytest.mark.parametrize(
    "failing",
    [
        deciding.beats_baseline(17.0, 17.1),
        deciding.agrees("the server in 7 formats", 2e-9),
        deciding.agrees("the server in 7 formats", float("inf")),
        deciding.agrees("the server in 7 formats", 2e-5, 1e-5),
        deciding.fits_budgets(201.0, 0.1)[0],
        deciding.fits_budgets(9.0, 51.0)[1],
    ],
)
@pytest.mark.parametrize("change", [CHANGE, None])
def test_each_requirement_stops_a_promotion_by_itself(
    failing: deciding.Check, change: comparison.Change | None
) -> None:
    """A first version too; the reason names it with its figure and its limit."""
    assert decided(change=change).promoted
    decision = decided(checks=[*GOOD, failing], change=change)
    assert not decision.promoted
    assert f"{failing.name}: {failing.found}, must be {failing.limit}" in decision.reason


def test_a_slice_that_surely_got_worse_stops_it() -> None:
    """However much better the whole is."""
    part = comparison.Slice("carrier = UA", dataclasses.replace(CHANGE, change=0.3), 0.1, surely_worse=True)
    decision = decided(slices=[part, dataclasses.replace(part, name="other", surely_worse=False)])
    assert not decision.promoted
    assert "slices surely more than 5% worse, of 2: 1: carrier = UA (+30 %)" in decision.reason


def test_requests_that_the_champion_takes_must_be_taken() -> None:
    """A column less is no harm; a new one, or another kind, needs the word for it."""
    fewer = Schema(SCHEMA.columns[:1], target="y")
    more = Schema((*SCHEMA.columns, Column("date", "datetime")), target="y")
    other = Schema((Column("distance", "category"), SCHEMA.columns[1]), target="y")
    assert deciding.accepts_requests(fewer, SCHEMA, Policy()).passed
    assert deciding.accepts_requests(SCHEMA, SCHEMA, Policy()).passed
    assert deciding.accepts_requests(more, SCHEMA, Policy()).found == "'date' is new"
    assert not deciding.accepts_requests(more, SCHEMA, Policy()).passed
    assert deciding.accepts_requests(other, SCHEMA, Policy()).found == "'distance' was a number"
    assert deciding.accepts_requests(more, SCHEMA, Policy(allow_schema_change=True)).passed


def test_decisions_without_figures() -> None:
    """Never means never, and force is a person's word."""
    assert not deciding.never().promoted
    assert not deciding.cannot_tell("no rows").promoted
    assert deciding.forced("the old one lies").reason == "forced: the old one lies"
