"""What servers kept of their predictions, and what came back of the truth, as tables.

    sources      files that may be taken: rotated ones, and those whose owner is dead
    arrow        a frame, or a record of labels, as an Arrow table
    segments     Parquet files that appear whole or not at all
    compacting   sources become Parquet, each row once, wherever a process dies
    keeping      hours that are too old go
    captured     one version's rows by day, with their outcomes

It knows no MLflow, and nothing of how a server writes.
"""

from training.captures.captured import DayOfRows, Wanted, captured_days
from training.captures.compacting import Compacted, compact, found_at

__all__ = ["Compacted", "DayOfRows", "Wanted", "captured_days", "compact", "found_at"]
