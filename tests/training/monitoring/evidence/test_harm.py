"""The bet on the mean loss: its bound, its rate of false alarms under dependence, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from training.monitoring.evidence.harm import CLIP, HarmEvidence, limit_of

RISK = 0.01


@pytest.mark.parametrize(
    "make", [lambda r: r.exponential(size=400), lambda r: np.abs(r.standard_t(3, size=400))]
)
def test_the_bound_holds_for_the_mean_loss(make: object) -> None:
    """With a risk of 5 % at most that share of 400 samples may have a true mean above their bound."""
    random, above = np.random.default_rng(0), 0
    large = np.concatenate([make(random) for _ in range(500)])
    for _ in range(400):
        limit = limit_of(make(random), risk=0.05)
        assert limit is not None
        above += limit.losses(large).mean() > limit.upper
    assert above <= binom.ppf(0.999, 400, 0.05)


def test_errors_that_are_all_zero_leave_no_limit() -> None:
    """A perfect model has no scale for a loss; nor has a single row."""
    assert limit_of(np.zeros(50), risk=RISK) is None
    assert limit_of(np.ones(1), risk=RISK) is None


def test_one_wild_error_is_one_loss() -> None:
    """Clipped at the known quantile, it cannot win a bet alone."""
    limit = limit_of(np.random.default_rng(0).exponential(size=1_000), risk=RISK)
    assert limit is not None
    assert limit.losses(np.array([1e12])).tolist() == [1.0]
    assert limit.clip == pytest.approx(-np.log(1 - CLIP), rel=0.2)


def alarmed(losses: np.ndarray, tau: float) -> bool:
    """Whether the evidence ever reached 2 / RISK."""
    evidence = HarmEvidence(tau)
    for loss in losses:
        evidence.see_day(float(loss))
        if evidence.log_mean >= -np.log(RISK / 2):
            return True
    return False


def test_quiet_and_wild_weeks_raise_no_more_false_alarms() -> None:
    """Losses whose spread follows the days before are dependent; only their mean, given the past, has to keep."""
    random, raised = np.random.default_rng(1), 0
    for _ in range(300):
        spread, losses = 0.1, []
        for _ in range(200):
            losses.append(0.3 + spread * random.choice([-1.0, 1.0]))
            spread = min(max(spread * random.choice([0.5, 2.0]), 0.01), 0.3)
        raised += alarmed(np.array(losses), 0.3)
    assert raised <= binom.ppf(0.99, 300, RISK / 2)


def test_a_loss_that_doubles_is_harm_within_three_weeks() -> None:
    """From 0.2 to 0.4 against a limit of 0.22: what a person would want to know."""
    losses = np.concatenate([np.full(30, 0.2), np.full(21, 0.4)])
    assert alarmed(losses, 0.22)
    assert not alarmed(np.full(365, 0.2), 0.22)


def test_a_state_goes_on_as_if_never_stopped() -> None:
    """The same numbers after a restart."""
    whole, first, second = HarmEvidence(0.3), HarmEvidence(0.3), HarmEvidence(0.3)
    for loss in (0.1, 0.5, 0.4):
        whole.see_day(loss)
    first.see_day(0.1)
    second.restore(first.as_dict())
    second.see_day(0.5)
    second.see_day(0.4)
    assert second.as_dict() == whole.as_dict()
