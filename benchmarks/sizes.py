"""How much a benchmark measures: as much as docs/benchmarks.md says, or as little as shows that it still runs."""

from __future__ import annotations

import os
from typing import TypeVar

TINY = "SLIPWAY_TINY_BENCHMARKS"
"""Set for each benchmark by `python -m benchmarks --tiny`."""

Size = TypeVar("Size")


def sized(full: Size, *, tiny: Size) -> Size:
    """Return the one that is asked for."""
    return tiny if os.environ.get(TINY) else full
