"""How far from a prediction an interval reaches: a table of quantiles, read at the coverage asked for.

`half width = quantile(coverage) * scale(row)`. The table was made on rows that the model was not
fitted on (`training.measuring.intervals.conformal`); what is served is only this table and the graph's second output,
the scale. Rows in serving must be exchangeable with those: a drift breaks the promise silently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from serving.errors import CoverageRefused

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """Predictions and the interval around each, all float64 of shape (n_rows,)."""

    predictions: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True)
class Intervals:
    """The table.

    Attributes
    ----------
    method : str
        "calibration" or "out-of-fold": which rows it was made on.
    rows : int
        How many.
    adaptive : bool
        Whether the graph has a scale for each row; 1 elsewhere.
    coverage, quantile : tuple of float
        Rising; the quantile of |residual| / scale that keeps each coverage.
    """

    LOWEST: ClassVar = 0.5
    HIGHEST: ClassVar = 0.99
    """The coverages that can be asked for."""

    method: str
    rows: int
    adaptive: bool
    coverage: tuple[float, ...]
    quantile: tuple[float, ...]

    def quantile_for(self, coverage: float) -> float:
        """Return the quantile of the next coverage in the table; raises CoverageRefused."""
        if not self.LOWEST <= coverage <= self.HIGHEST:  # NaN too
            raise CoverageRefused(f"coverage must be between {self.LOWEST} and {self.HIGHEST}")
        index = int(np.searchsorted(self.coverage, coverage - 1e-9))
        if index == len(self.coverage):
            needed = math.ceil(coverage / (1.0 - coverage))
            raise CoverageRefused(
                f"coverage {coverage:g} needs at least {needed} calibration rows, this version has {self.rows}: "
                f"ask for at most {self.coverage[-1]:g}"
            )
        return self.quantile[index]

    def around(self, predictions: Floats, scale: Floats | float, coverage: float) -> Bounds:
        """Return the interval around each prediction."""
        half = self.quantile_for(coverage) * scale
        return Bounds(predictions, predictions - half, predictions + half)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"coverage": list(self.coverage), "quantile": list(self.quantile)}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Intervals:
        """Read the JSON form; raises KeyError, TypeError or ValueError where it is not one."""
        intervals = cls(
            method=str(written["method"]),
            rows=int(written["rows"]),
            adaptive=bool(written["adaptive"]),
            coverage=tuple(map(float, written["coverage"])),
            quantile=tuple(map(float, written["quantile"])),
        )
        rising = all(np.all(np.diff(values) >= 0.0) for values in (intervals.coverage, intervals.quantile))
        finite = np.isfinite([*intervals.coverage, *intervals.quantile]).all()
        if (
            len(intervals.coverage) != len(intervals.quantile)
            or not intervals.coverage
            or not rising
            or not finite
        ):
            raise ValueError("has a table of intervals that does not rise")
        return intervals
