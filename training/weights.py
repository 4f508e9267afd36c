"""How much each row counts: sample weights, and what they make of a mean and its doubt.

A weight says how much of what is to be predicted a row stands for: the people behind an answer to a survey, the cases
in a line of a summary. Only its size beside the others' counts, so weights are taken relative to their mean; all equal
weights are none (None), and everything is computed to the bit as without.

Rows are drawn with their weights. A row that stands for many is still one draw, as equal rows are: the doubt is that
of `effective` rows, not of the sum of their weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weight = Floats | None
"""Positive and of mean 1 over the rows at hand, of shape (n_rows,); None where all rows count the same."""


def relative(values: Weight) -> Weight:
    """Return weights with a mean of 1, or None where all are equal.

    >>> relative(np.array([2.0, 2.0])) is None
    True
    >>> relative(np.array([1.0, 3.0]))
    array([0.5, 1.5])
    """
    if values is None or (values == values[:1]).all():
        return None
    scaled = values / values.max()  # a sum of the largest floats would be infinite
    return np.asarray(scaled / scaled.mean())


def of(weight: Weight, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Weight:
    """Return the weights of some of the rows."""
    return None if weight is None else weight[rows]


def effective(weight: Floats) -> float:
    """Return how many rows of equal weight have a mean as sure as these: ``(sum w)² / sum w²``.

    The variance of ``sum w x / sum w`` for independent x of one variance is that variance over this number (Kish 1992,
    Journal of Official Statistics 8(2)).

    >>> effective(np.array([1.0, 1.0, 2.0, 0.0]))
    2.6666666666666665
    """
    scaled = weight / weight.max()  # squares of the largest floats would be infinite
    return float(scaled.sum() ** 2 / np.square(scaled).sum())


def mean(values: Floats, weight: Weight) -> float:
    """Return the weighted mean of values of shape (n_rows,)."""
    return float(values.mean()) if weight is None else float(np.average(values, weights=weight))


def spread(values: Floats, weight: Weight) -> float:
    """Return the standard deviation of what a row moves the mean by; over ``sqrt(n_rows)`` it is the standard error.

    A row moves the mean m by ``w (x - m) / mean(w)``, the linearised ratio of two sums (Särndal, Swensson & Wretman
    1992, Model Assisted Survey Sampling, section 5.7): whether its weight and its value go together is counted in.
    """
    if weight is None:
        return float(values.std(ddof=1))
    moves = weight * (values - mean(values, weight)) / weight.mean()
    return float(np.sqrt(np.square(moves).sum() / (len(moves) - 1)))


def median(values: Floats, weight: Weight) -> float:
    """Return the value that half of the weight does not exceed."""
    if weight is None:
        return float(np.median(values))
    return float(np.quantile(values, 0.5, weights=weight, method="inverted_cdf"))
