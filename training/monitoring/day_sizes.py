"""How much a day counts beside the largest of late: known rows stand for rows, so a day of few rows is a small one.

A weekend of fifty rows beside weekdays of five hundred would else weigh like them, and its ways would look like a
change. The share of a day is fixed by numbers of rows alone, before anything looks at what the rows hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

DAYS = 28
"""Over which the largest day is looked for: whole weeks, and few enough to forget a day on which all was sent twice."""


@dataclass
class DaySizes:
    """The numbers of rows of the last days, or of groups of them."""

    sizes: list[int] = field(default_factory=list)

    def see_day(self, rows: int) -> DaySizes:
        """Take the number of one more day."""
        self.sizes = [*self.sizes, rows][-DAYS:]
        return self

    @property
    def share(self) -> float:
        """The last day's, of the largest one's rows.

        >>> DaySizes([500, 50]).share
        0.1
        """
        return self.sizes[-1] / max(*self.sizes, 1)

    def count(self, most: int, random: np.random.Generator) -> int:
        """Return how many of the last day's rows are drawn: `most` of the largest day, of others in proportion.

        A fraction is a row drawn by lot.
        """
        expected = min(most, max(self.sizes)) * self.share
        whole = int(expected)
        return whole + int(expected > whole and random.random() < expected - whole)
