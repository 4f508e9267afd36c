"""What learned a sample of a large table learns all of its rows, in parts.

learning    lines, by exact sums; which models can
trees       LightGBM's, from a file
"""

from training.models.all_rows.learning import (
    AllRows,
    Sums,
    can_learn_all,
    has_room,
    is_line,
    learn_all,
    seconds_for,
    seen_by,
    sums_of,
)

__all__ = [
    "AllRows",
    "Sums",
    "can_learn_all",
    "has_room",
    "is_line",
    "learn_all",
    "seconds_for",
    "seen_by",
    "sums_of",
]
