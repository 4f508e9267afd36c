"""What columns add to the predictions of a day's rows, by the version's own reasons, within a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.facts import FactError
from serving.scorer import Scorer
from training.arrivals.day import Arrivals
from training.console import Say
from training.measuring import importance
from training.records import model_registry

MOST_ROWS, MOST_SECONDS = 1_000, 2.0
"""Of a day, for its explanation."""

Floats = NDArray[np.float64]


def explaining(version: model_registry.Version, arrivals: Arrivals, say: Say) -> Explained | None:
    """Return what explains a version's rows; None where the rows do not have all of their values."""
    lacking = any(name in version.schema.names for name in arrivals.lacking)
    return None if lacking else Explained(version, say)


class Explained:
    """Says what each column adds on average; loads the scorer at the first question, and is silent after a failure."""

    def __init__(self, version: model_registry.Version, say: Say) -> None:
        self._version, self._say = version, say
        self._scorer: Scorer | None = None
        self._failed = False

    def __call__(self, matrix: Floats) -> Floats | None:
        """Return the mean absolute contribution of each column; None where nothing can be said."""
        if self._failed:
            return None
        try:
            self._scorer = self._scorer or Scorer.load(self._version.scorer_folder)
            added = importance.contributions(self._scorer, matrix, seconds=MOST_SECONDS, most_rows=MOST_ROWS)
        except FactError as error:
            self._failed = True
            self._say("watch", f"how much the columns count is left out: {error}")
            return None
        return None if added is None else np.array(list(added.means.values()))
