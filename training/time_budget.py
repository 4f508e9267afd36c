"""How long a training may take once its rows are read, checked and split, and what each part may have of that.

One value that knows the clock; it is handed through, and each part asks it what is left. A part that ends early leaves
its time to those after it. What comes last, writing the model's files, the registry, the gate and the page, has no
share: it takes what columns and rows ask for, however short the budget. That is told before the search begins, and what
of it goes beyond the promise is kept from the parts before.
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

PROMISED_SHARE, PROMISED_SECONDS = 1.15, 10.0
"""A training takes no longer than so many times its budget, and so many seconds, once the rows are read."""

MOST_KEPT, MARGIN = 0.5, 0.25
"""Of the budget for what comes last, at most; and of that, in case that it takes longer than was told."""

LEAST_SEARCH, LEAST_FIT, LEAST_MEASURE = 0.2, 3.0, 1.0
"""A search gets this share of the time in any case, the last fit and the learning curve so many seconds."""


@dataclass(frozen=True)
class Budget:
    """How long a training may take, how many settings it may try, when it began, by `time.perf_counter`, and how many
    seconds what comes last is likely to take.
    """

    seconds: float = 60.0
    trials: int = 200
    began: float = field(default_factory=time.perf_counter)
    last: float = 0.0

    @property
    def promised(self) -> float:
        """Seconds after which all has to be over."""
        return PROMISED_SHARE * self.seconds + PROMISED_SECONDS

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began

    @property
    def beyond(self) -> float:
        """Seconds of what comes last, and of the margin, that the promise has no room for beside the budget."""
        return max((1.0 + MARGIN) * self.last - (self.promised - self.seconds), 0.0)

    @property
    def is_too_short(self) -> bool:
        """Whether what comes last takes more than may be kept for it."""
        return self.beyond > MOST_KEPT * self.seconds

    def ends(self, part: Part) -> float:
        """Return the moment at which a part has to be over."""
        usual = min(KEPT_SHARE * self.seconds, KEPT_SECONDS)
        kept = max(usual, min(self.beyond, MOST_KEPT * self.seconds))
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
        return f"{self.elapsed:.0f} s of {self.seconds:.0f}"
