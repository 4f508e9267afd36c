"""Rows with residuals, which stand alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.measuring.intervals.conformal import (
    Residuals,
)


def residuals_on(
    frame: pd.DataFrame, absolute: np.ndarray, *, moments: np.ndarray | None = None
) -> Residuals:
    """Rows that stand alone."""
    blocks = np.random.default_rng(2).integers(0, 2**63, len(frame)).astype(np.uint64)
    return Residuals(frame, absolute, blocks, moments, "calibration")
