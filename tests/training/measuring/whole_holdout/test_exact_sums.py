"""Sums of very many numbers are the same bits in any order, and those of exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from training.measuring.whole_holdout.exact_sums import LARGEST, ExactSums, unit_near

RANDOM = np.random.default_rng(3)
VALUES = np.concatenate([RANDOM.normal(size=4_000), RANDOM.normal(0.0, 1e6, 900), -1e15 * RANDOM.random(100)])
GROUPS = RANDOM.integers(0, 7, len(VALUES)) * (np.abs(VALUES) < 1e9)


def summed(order: np.ndarray, parts: int) -> ExactSums:
    """Sum the values of each group in an order, and in so many parts."""
    sums = ExactSums(7, unit_near(1.3))
    for places in np.array_split(order, parts):
        sums.add(sums.limbs(VALUES[places]), GROUPS[places])
    return sums


def test_neither_order_nor_parts_change_a_bit() -> None:
    """Beside numbers of 1e15, of which float64 would keep none of the small ones' last digits."""
    order = np.arange(len(VALUES))
    one, other = summed(order, 1), summed(RANDOM.permutation(order), 13)
    assert one.by_group().tolist() == other.by_group().tolist()
    assert one.total() == other.total()
    assert np.cumsum(VALUES)[-1] != np.cumsum(np.sort(VALUES))[-1]


def test_they_are_those_of_fractions() -> None:
    """Each number is off by 2^-49 at most: half of the last multiple."""
    sums = summed(np.arange(len(VALUES)), 3)
    for group, found in enumerate(sums.by_group()):
        expected = sum(map(Fraction, VALUES[group == GROUPS].tolist()), Fraction(0))
        assert (
            abs(Fraction(float(found)) - expected) <= Fraction(2) ** -49 * len(VALUES) + abs(expected) / 2**53
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, LARGEST])
def test_what_cannot_be_summed_is_refused(value: float) -> None:
    """It would make every figure wrong without a word."""
    with pytest.raises(ArithmeticError, match="no finite number, or farther off"):
        ExactSums(1, 1.0).add_all(np.array([1.0, value]))
