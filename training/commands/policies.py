"""What a challenger has to show before it takes the place of a champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from training.commands.parameters import Parameter
from training.commands.values import MOST_MARGIN, kinds, one_of

PolicyName = Literal["better", "not-worse"]
POLICIES = ("better", "not-worse")


@dataclass(frozen=True)
class Policy:
    """What a challenger has to show.

    Attributes
    ----------
    name : {"better", "not-worse"}
        The interval of its change in RMSE lies below zero, or below `margin`.
    margin : float
        A share of the champion's RMSE.
    allow_schema_change : bool
        Whether requests that the champion accepts may be refused from now on.
    """

    MOST_MARGIN: ClassVar[float] = MOST_MARGIN

    name: Annotated[
        PolicyName, Parameter(one_of(POLICIES), f"one of {', '.join(POLICIES)}", called="policy")
    ] = "better"
    margin: Annotated[float, Parameter(kinds.MARGIN, "for not-worse: a share of the champion's RMSE")] = 0.01
    allow_schema_change: Annotated[
        bool, Parameter(kinds.YES_OR_NO, "may refuse requests that the champion accepts")
    ] = False

    @property
    def highest(self) -> float:
        """What the interval has to lie below."""
        return 0.0 if self.name == "better" else self.margin

    def __str__(self) -> str:
        """Name it for the ledger."""
        return self.name if self.name == "better" else f"{self.name} by {self.margin:.3g}"


BETTER = Policy()
"""Where nothing is said."""
