"""Figures of several days together, from what was noted of each day: errors and the shares that intervals hold.

Rows of one day err together, so a day is a cluster: the interval comes from how days differ from each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from training.measuring import comparison

Floats = NDArray[np.float64]


def pooled_error(rmse: Floats, rows: Floats) -> comparison.Interval:
    """Return the RMSE of days together, from the RMSE and the number of rows of each, shape (n_days,).

    Its interval is made on the scale of the logarithm, so it lies above zero.

    Notes
    -----
    The mean square is a ratio of two sums over days; its variance is that of `pooled_share`. The delta method leads to
    the root and to its logarithm.
    """
    square = pooled_share(rmse**2, rows)
    value = float(np.sqrt(square.value))
    if not np.isfinite(square.half) or not value:
        return comparison.Interval(value, -np.inf, np.inf)
    factor = float(np.exp(square.half / (2.0 * square.value)))
    return comparison.Interval(value, value / factor, value * factor, square.standard_error / (2.0 * value))


def pooled_share(means: Floats, rows: Floats) -> comparison.Interval:
    """Return the mean over all rows of days together, from each day's mean and number of rows, shape (n_days,).

    Notes
    -----
    A ratio estimator (Cochran 1977, Sampling Techniques, 2.11): its standard error is the root of
    ``D / (D - 1) sum (n_d (m_d - m))^2`` over the number of rows, of D days. Student's
    quantile has D - 1 degrees of freedom.
    """
    count, total = len(means), rows.sum()
    value = float((means * rows).sum() / total)
    if count < comparison.FEWEST_CLUSTERS:
        return comparison.Interval(value, -np.inf, np.inf)
    spread = ((rows * (means - value)) ** 2).sum() * count / (count - 1)
    error = float(np.sqrt(spread) / total)
    half = float(stdtrit(count - 1, (1.0 + comparison.CONFIDENCE) / 2.0)) * error
    return comparison.Interval(value, value - half, value + half, error)
