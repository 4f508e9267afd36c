"""What a challenger learns from, and is judged by: captured rows whose outcome is known.

    rows        days of them, gathered, the newest first
    table       these as a table that a training can read
    promises    held to a contract, the newest days alone too

It knows neither MLflow nor where the rows come from.
"""

from training.lessons.promises import contract_of, hold
from training.lessons.rows import Labelled, PredictedDay, day_means, gather
from training.lessons.table import Shape, joined, table_of, write

__all__ = [
    "PredictedDay",
    "Labelled",
    "Shape",
    "contract_of",
    "day_means",
    "gather",
    "hold",
    "joined",
    "table_of",
    "write",
]
