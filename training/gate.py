"""Whether a challenger takes the champion's place.

Sees errors on the rows that neither of the two learned from, and says yes or no with the
reason. It moves nothing. The rule is still a plain one, lower RMSE on the same rows: it does
not ask how sure the difference is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation import Scores, score

FEWEST_ROWS = 5


@dataclass(frozen=True)
class Decision:
    """What was decided and why.

    Attributes
    ----------
    promoted : bool
        Whether the alias is to move.
    reason : str
        One sentence with the figures.
    champion : Scores or None
        The champion's errors on the shared holdout rows, where it could be scored.
    """

    promoted: bool
    reason: str
    champion: Scores | None = None

    @property
    def word(self) -> str:
        """The decision as a tag."""
        return "promoted" if self.promoted else "kept champion"


def first(name: str) -> Decision:
    """Decide where there is no champion yet."""
    return Decision(promoted=True, reason=f"{name} had no champion")


def never() -> Decision:
    """Decide where the user asked for no promotion."""
    return Decision(promoted=False, reason="promote=never was asked for")


def cannot_tell(why: str) -> Decision:
    """Decide where the two cannot be compared: a person has to."""
    return Decision(promoted=False, reason=f"cannot be compared with the champion: {why}")


def compare(
    actual: NDArray[np.float64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    *,
    champion_version: str,
    unit: str = "",
) -> Decision:
    """Promote where the challenger's RMSE is lower.

    Parameters
    ----------
    actual, challenger, champion : float64 arrays of shape (n_rows,)
        The target and both predictions, on rows that both versions held out.
    """
    if len(actual) < FEWEST_ROWS:
        return cannot_tell(f"only {len(actual)} rows are held out by both, at least {FEWEST_ROWS} are needed")
    ours, theirs = score(actual, challenger), score(actual, champion)
    better = ours.rmse < theirs.rmse
    reason = (
        f"holdout RMSE {_figure(ours.rmse, unit)} {'is below' if better else 'is not below'} "
        f"{_figure(theirs.rmse, unit)} of champion version {champion_version} on {len(actual):,} shared rows"
    )
    return Decision(promoted=better, reason=reason, champion=theirs)


def _figure(value: float, unit: str) -> str:
    return f"{value:.4g}{' ' + unit if unit else ''}"
