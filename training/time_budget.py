"""How long a training may take once its rows are read, checked and split, and what each part may have of that.

One value that knows the clock; it is handed through, and each part asks it what is left. A part that ends early leaves
its time to those after it. Writing the model's files, the registry and the page have no share of their own: they take
about as long for any table, and the last seconds are kept for them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Literal

Part = Literal["search", "fit", "measure"]

ENDS: dict[Part, float] = {"search": 0.6, "fit": 0.85, "measure": 0.95}
"""When each part has to be over, as a share of the time without what is kept."""

KEPT_SHARE, KEPT_SECONDS = 0.25, 3.0
"""Of the time for what comes last: the smaller of the two."""

LEAST_SEARCH, LEAST_FIT, LEAST_MEASURE = 0.2, 3.0, 1.0
"""A search gets this share of the time in any case, the last fit and the learning curve so many seconds."""


@dataclass(frozen=True)
class Budget:
    """How long a training may take, how many settings it may try, and when it began, by `time.perf_counter`."""

    seconds: float = 60.0
    trials: int = 200
    began: float = field(default_factory=time.perf_counter)

    def ends(self, part: Part) -> float:
        """Return the moment at which a part has to be over."""
        kept = min(KEPT_SHARE * self.seconds, KEPT_SECONDS)
        return self.began + ENDS[part] * (self.seconds - kept)

    def left(self, part: Part) -> float:
        """Return the seconds until then; none where it is past."""
        return max(0.0, self.ends(part) - time.perf_counter())

    @property
    def to_search(self) -> float:
        """Seconds for the trials, from now on."""
        return max(self.left("search"), LEAST_SEARCH * self.seconds)

    @property
    def to_fit(self) -> float:
        """Seconds for fitting what was chosen, from now on."""
        return max(self.left("fit"), LEAST_FIT)

    @property
    def to_measure(self) -> float:
        """Seconds for what more rows would bring, from now on."""
        return max(self.left("measure"), LEAST_MEASURE)

    def without(self, seconds: float) -> Budget:
        """Return the same budget as if so many seconds had not passed: what they went by for is not counted."""
        return replace(self, began=self.began + seconds)

    def elapsed_in_words(self) -> str:
        """Say how much of it is used.

        >>> Budget(60.0, began=time.perf_counter() - 12.0).elapsed_in_words()
        '12 s of 60'
        """
        return f"{time.perf_counter() - self.began:.0f} s of {self.seconds:.0f}"
