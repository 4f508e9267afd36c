"""The first reading of all rows of a table that memory does not hold: here, or in parts by a cluster's workers.

reading     what rows have come to: dealt to sides, described, counted, some of them kept
runs        a run of parts of a table, read beside a worker
on_workers  all of them, joined in the table's order
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from training.rows.first.reading import FirstAsked, FirstReading, read_here

if TYPE_CHECKING:
    from training.rows.first.on_workers import by_workers

__all__ = ["FirstAsked", "FirstReading", "by_workers", "read_here"]

__getattr__ = at_first_use(__name__, {"by_workers": "on_workers"})
