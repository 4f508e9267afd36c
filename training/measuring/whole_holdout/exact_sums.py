"""Sums of very many numbers, by group: neither the order of the numbers nor their parts change a bit of them.

Each number is taken as whole multiples of five powers of two times a unit, 24 bits apart, and whole numbers add up
exactly. What of a number lies below 2^-49 units is rounded away, of each number by itself. So with a unit of about
their size, means have the sixteen digits of a float64. It knows no models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP = 24
EXPONENTS = (2 * STEP, STEP, 0, -STEP, -2 * STEP)
LARGEST = 2.0**84
"""In units, of what can be summed: 65,536 of the largest multiples are less than 2^53, up to which float64 is exact."""


class ExactSums:
    """Sums by group, in a unit that is a power of two."""

    def __init__(self, groups: int, unit: float) -> None:
        self._unit = unit
        self._sums = np.zeros((len(EXPONENTS), groups), dtype=np.int64)

    def limbs(self, values: Floats) -> list[Floats]:
        """Return the multiples of each power of two, arrays of whole numbers of shape (n_rows,).

        Raises
        ------
        ArithmeticError
            A number is not finite, or too large beside the unit.

        >>> [limb.tolist() for limb in ExactSums(1, 2.0).limbs(np.array([6.5]))]
        [[0.0], [0.0], [3.0], [4194304.0], [0.0]]
        """
        rest, limbs = values / self._unit, []
        if not (np.abs(rest) < LARGEST).all():  # NaN neither
            raise ArithmeticError("a prediction is no finite number, or farther off than can be summed")
        for exponent in EXPONENTS:
            limbs.append(np.rint(rest * 2.0**-exponent))
            rest = rest - limbs[-1] * 2.0**exponent
        return limbs

    def add(self, limbs: Sequence[Floats], groups: NDArray[np.integer]) -> None:
        """Add at most 65,536 numbers to their groups."""
        count = self._sums.shape[1]
        for place, limb in enumerate(limbs):
            if limb.any():
                self._sums[place] += np.bincount(groups, limb, minlength=count).astype(np.int64)

    def add_all(self, values: Floats) -> None:
        """Add at most 65,536 numbers to the only group."""
        self._sums[:, 0] += [int(limb.sum()) for limb in self.limbs(values)]

    def by_group(self) -> Floats:
        """Return each group's sum, rounded once."""
        return np.array([self._rounded(sums) for sums in self._sums.T.tolist()])

    def total(self) -> float:
        """Return the sum of all groups, rounded once."""
        return self._rounded(self._sums.astype(object).sum(axis=1).tolist())

    def _rounded(self, sums: Sequence[int]) -> float:
        least = EXPONENTS[-1]
        whole = sum(each << (exponent - least) for each, exponent in zip(sums, EXPONENTS, strict=True))
        return float(self._unit * (whole / 2**-least))


def unit_near(size: float) -> float:
    """Return the power of two next to a size; 1 for none.

    >>> unit_near(5.0), unit_near(0.0)
    (4.0, 1.0)
    """
    return float(2.0 ** np.rint(np.log2(size))) if 0.0 < size < np.inf else 1.0
