"""Tables that memory may not hold, for commands that learn nothing.

sampling    some rows of one, chosen by their content
seeing      all of its rows by columns, in memory or not, and some of them whole
"""

from training.rows.parts.sampling import BYTES_A_CELL, Sampled, cells_in, sampled, sampled_alike
from training.rows.parts.seeing import COPIES, Seen, fingerprint_of, room_for, seen

__all__ = [
    "BYTES_A_CELL",
    "COPIES",
    "Sampled",
    "Seen",
    "cells_in",
    "fingerprint_of",
    "room_for",
    "sampled",
    "sampled_alike",
    "seen",
]
