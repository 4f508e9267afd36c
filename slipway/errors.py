"""What is refused here, beside what training and serving raise.

NotATable       rows cannot be read as a table
RefusedRows     rows hold what the model cannot use
"""

from __future__ import annotations

from collections.abc import Sequence

from data.errors import DataError
from serving.errors import Fault, ServingError


class NotATable(DataError):
    """Rows cannot be read as a table."""

    template = "these rows are no table: {reason}: {repair}"
    reason: str
    repair: str


class RefusedRows(ServingError):
    """Cells cannot be used; rows are counted from 0, as pandas' `iloc` does.

    Attributes
    ----------
    faults : sequence of Fault
        The first of them.
    count : int
        How many there are in all.
    """

    template = "{count:,} of the cells cannot be used by {uri}: mend them, nothing was predicted\n{listed}"
    uri: str
    faults: Sequence[Fault]
    count: int

    @property
    def listed(self) -> str:
        """A line for each of the first cells, and one for the others."""
        lines = [f"  {fault}" for fault in self.faults]
        others = self.count - len(lines)
        return "\n".join([*lines, f"  and {others:,} more"] if others > 0 else lines)
