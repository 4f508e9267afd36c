"""What servers kept of their predictions, and what came back of the truth, as tables.

    returning    labels of a table, all or none
    keyed        labels of a table without ids, by key columns
    captured     one version's rows by day, with their outcomes
    inventory    which versions, days and columns there are, and labels of nobody

It knows no MLflow, and nothing of how a server writes.
"""

from training.captures.captured import DayOfRows, Wanted, captured_days, captured_rows
from training.captures.inventory import captured_day_names, captured_versions, kept_columns, unknown_labels
from training.captures.keyed import Keyed
from training.captures.returning import keep_labels

__all__ = [
    "DayOfRows",
    "Keyed",
    "Wanted",
    "captured_day_names",
    "captured_days",
    "captured_rows",
    "captured_versions",
    "keep_labels",
    "kept_columns",
    "unknown_labels",
]
