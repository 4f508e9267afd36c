"""Which rows a model learns from, is calibrated on and is judged by; and how much each row counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from data.splits.rules import METHODS, Method, SplitRule

if TYPE_CHECKING:
    from data.splits import splitting, weighting
    from data.splits.sides import SIDES, Side, Split
    from data.splits.splitting import split_table

__all__ = [
    "METHODS",
    "Method",
    "SIDES",
    "Side",
    "Split",
    "SplitRule",
    "split_table",
    "splitting",
    "weighting",
]

__getattr__ = at_first_use(
    __name__, {"SIDES": "sides", "Side": "sides", "Split": "sides", "split_table": "splitting"}
)
