"""The rows of a table that memory does not hold, read once more: those to learn from, and all that were held out.

noted       what a first reading notes of each row, and what a later one is held to
held_out    held-out rows as a scorer takes them, from the table or from a file
on_workers  both, by the workers of a cluster
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from training.rows.again.noted import DRAWS, Noted, RowsAgain

if TYPE_CHECKING:
    from training.rows.again import on_workers
    from training.rows.again.held_out import AllHeldOut, HeldOutRows

__all__ = [
    "DRAWS",
    "AllHeldOut",
    "HeldOutRows",
    "Noted",
    "RowsAgain",
    "on_workers",
]

__getattr__ = at_first_use(__name__, {"AllHeldOut": "held_out", "HeldOutRows": "held_out"})
