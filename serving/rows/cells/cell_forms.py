"""What one cell may look like, for values from JSON and for columns of Arrow alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
WHOLE_PATTERN = r"^[+-]?\d+$"

Bools = NDArray[np.bool_]
