"""The gate moves nothing and says why."""

from __future__ import annotations

import numpy as np

from training import gate

ACTUAL = np.arange(100.0)


def test_a_lower_error_is_promoted_with_both_figures() -> None:
    """Everybody who reads the tag can check the claim."""
    decision = gate.compare(ACTUAL, ACTUAL + 1.0, ACTUAL + 2.0, champion_version="3", unit="min")
    assert decision.promoted and decision.word == "promoted"
    assert decision.reason == "holdout RMSE 1 min is below 2 min of champion version 3 on 100 shared rows"
    assert decision.champion is not None and decision.champion.rmse == 2.0


def test_a_tie_keeps_the_champion() -> None:
    """A retrain on the same rows gives the same model: moving the alias would be noise."""
    decision = gate.compare(ACTUAL, ACTUAL + 1.0, ACTUAL + 1.0, champion_version="3")
    assert not decision.promoted
    assert "is not below" in decision.reason


def test_without_shared_rows_nothing_is_promoted() -> None:
    """Rows that one of the two learned from prove nothing."""
    none = np.array([])
    decision = gate.compare(none, none, none, champion_version="3")
    assert not decision.promoted
    assert "only 0 rows are held out by both" in decision.reason


def test_the_first_version_is_promoted_and_never_means_never() -> None:
    """The two decisions that need no figures."""
    assert gate.first("houses").promoted
    assert not gate.never().promoted
