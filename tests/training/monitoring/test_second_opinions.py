"""What the evidence is made of, by others' code and by exact fractions: crepes' p-values, closed forms, products."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from crepes.base import p_values_batch
from scipy.special import betaln
from scipy.stats import chisquare

from training.monitoring.evidence.harm import BETS, HarmEvidence
from training.monitoring.evidence.ranks import bins_of
from training.monitoring.reference import Level
from training.monitoring.watching import CERTAIN, TIMES, misses_of


@pytest.mark.parametrize("known", [30, 500])
def test_a_bin_is_a_range_of_crepes_p_values(known: int) -> None:
    """A rank among n known values is a conformal p-value in steps of 1 / (n + 1); a bin is some of these steps."""
    random = np.random.default_rng(0)
    reference, stream = random.normal(size=known), random.normal(size=300)
    bins = bins_of("x", reference, random.random(known))
    found = p_values_batch(reference, stream, smoothing=False)
    gap = known + 1 - np.round(found * (known + 1)).astype(int)  # how many known values are smaller
    ends = np.cumsum(bins.gaps)
    assert bins.of(stream, random.random(300)).tolist() == np.searchsorted(ends, gap, side="right").tolist()


def test_ties_are_broken_as_crepes_smooths_them() -> None:
    """Its smoothed p-values fall into our bins by the bins' shares, and so do our ranks; without it neither does."""
    random = np.random.default_rng(1)
    values = random.poisson(20.0, size=8_000).astype(float)
    reference, stream = values[:4_000], values[4_000:]
    bins = bins_of("x", reference, random.random(len(reference)))
    smoothed = 1.0 - p_values_batch(reference, stream, smoothing=True, seed=5)
    theirs = np.searchsorted(np.cumsum(bins.shares)[:-1], smoothed, side="right")
    ours = bins.of(stream, random.random(len(stream)))
    expected = bins.shares * len(stream)
    for found in (ours, theirs):
        counted = np.bincount(found, minlength=len(expected))
        assert chisquare(counted[:-1], expected[:-1] * counted[:-1].sum() / expected[:-1].sum()).pvalue > 1e-4
    unbroken = np.bincount(bins.of(stream, np.zeros(len(stream))), minlength=len(expected))
    assert chisquare(unbroken[:-1], expected[:-1] * unbroken[:-1].sum() / expected[:-1].sum()).pvalue < 1e-9


def test_the_evidence_on_coverage_is_the_beta_binomials() -> None:
    """With n scores of which l - 1 are above, t labels and m misses: a closed form, and a product of fractions."""
    level, missed = Level(0.9, 1.0, above=19, rows=200), [0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0]
    evidence, few = misses_of(level), 20
    evidence.see_day(np.repeat(np.array(missed)[:, None], len(evidence.widths), axis=1))
    count, misses = len(missed), sum(missed)
    mixture = betaln(few + misses, 201 - few + count - misses) - betaln(few, 201 - few)
    product = Fraction(1)
    for number, miss in enumerate(missed):
        before = sum(missed[:number])
        odds = Fraction(few + before, 201 + number)
        product *= odds if miss else 1 - odds
    assert mixture == pytest.approx(np.log(float(product)), rel=1e-12)
    shares = [times * few / 201 for times in TIMES if times * few / 201 < CERTAIN]
    wanted = [misses * np.log(each) + (count - misses) * np.log1p(-each) - mixture for each in shares]
    assert evidence.log_wealth == pytest.approx(np.log(0.5) + np.array(wanted), rel=1e-12)


def test_the_evidence_of_harm_is_a_product_of_bets() -> None:
    """Over the accounts of three days, in fractions: an account of day j takes the days from j on."""
    tau, losses = Fraction(1, 4), [Fraction(1, 2), Fraction(1, 8), Fraction(9, 10)]
    evidence = HarmEvidence(float(tau))
    for loss in losses:
        evidence.see_day(float(loss))
    for index, bet in enumerate(BETS):
        wealth = Fraction(0)
        for first in range(3):
            account = Fraction(1, (first + 1) * (first + 2))
            for loss in losses[first:]:
                account *= 1 + Fraction(str(bet)) / tau * (loss - tau)
            wealth += account
        assert np.exp(evidence.log_wealth[index]) == pytest.approx(float(wealth), rel=1e-12)
