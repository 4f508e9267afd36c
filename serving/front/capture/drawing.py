"""Which requests are kept: a share, drawn by lot, and fewer where more rows come than are wanted.

Every request of a moment has the same chance to be drawn, whatever it holds, and the share is kept beside the rows: who
weighs a row with 1/share has the mean of all. That ends where memory is full: a large request that was drawn finds no
room before a small one does, and is counted as `full`.
"""

from __future__ import annotations

import random

NOT_DRAWN = "share"
"""Why most are not kept where a share was asked for; nobody counts these."""


class Draw:
    """One worker's lots.

    Attributes
    ----------
    share : float
        Of the requests that are kept at the moment.
    """

    def __init__(self, share: float, rows: float) -> None:
        self._wanted, self._rows = share, rows
        self._random = random.Random()  # noqa: S311 - a lot, no secret
        self._offered, self._began = 0, float("-inf")
        self.share = share

    def begin(self, now: float) -> None:
        """Begin a moment, with a share by the rows that came a second since the last one began."""
        if self._rows:
            seconds = now - self._began
            self.share = min(self._wanted, self._rows * seconds / max(self._offered, 1))
        self._offered, self._began = 0, now

    def refusal(self, rows: int) -> str:
        """Return why a request is not kept, as it is counted; nothing where it is kept."""
        self._offered += rows
        lot = self._random.random()
        if lot < self.share:
            return ""
        return "rate" if lot < self._wanted else NOT_DRAWN
