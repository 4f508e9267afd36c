"""What servers kept of their predictions, and the labels that came back, as Parquet files.

    sources      files that may be taken: rotated ones, and those whose owner is dead
    arrow        a frame, or a record of labels, as an Arrow table
    folders      where those of a model and a version lie
    segments     Parquet files that appear whole or not at all
    compacting   sources become Parquet, each row once, wherever a process dies
    keeping      hours that are too old go
    mirror       the same files in a bucket

It knows no MLflow, and nothing of how a server writes.
"""

from training.archive.arrow import OURS, OUTCOMES, PREFIX, stored
from training.archive.compacting import compact, found_at
from training.archive.folders import labels_since, of_model, of_version, value_of

__all__ = [
    "OURS",
    "OUTCOMES",
    "PREFIX",
    "compact",
    "found_at",
    "labels_since",
    "of_model",
    "of_version",
    "stored",
    "value_of",
]
