"""What servers kept of their predictions, and what came back of the truth, as tables.

    sources      files that may be taken: rotated ones, and those whose owner is dead
    arrow        a frame, or a record of labels, as an Arrow table
    folders      where those of a model and a version lie
    segments     Parquet files that appear whole or not at all
    compacting   sources become Parquet, each row once, wherever a process dies
    keeping      hours that are too old go
    returning    labels of a table, all or none
    mirror       the same files in a bucket
    captured     one version's rows by day, with their outcomes
    inventory    which versions, days and columns there are, and labels of nobody

It knows no MLflow, and nothing of how a server writes.
"""

from training.captures.captured import DayOfRows, Wanted, captured_days, captured_rows
from training.captures.compacting import compact, found_at
from training.captures.inventory import captured_day_names, captured_versions, kept_columns, unknown_labels
from training.captures.returning import keep_labels

__all__ = [
    "DayOfRows",
    "Wanted",
    "captured_day_names",
    "captured_days",
    "captured_rows",
    "captured_versions",
    "compact",
    "found_at",
    "keep_labels",
    "kept_columns",
    "unknown_labels",
]
