"""What became of predictions, from a table: the same labels as `POST /feedback` takes, held to the same rules."""

from __future__ import annotations

from training import archive, captures
from training.commands import watches
from training.progress import Say
from training.rows import open_table


def feedback(config: watches.FeedbackConfig, say: Say) -> None:
    """Keep the labels of a table.

    Raises
    ------
    NoCaptures, NotCaptured
        There is no such folder, or nothing of this model in it.
    UnusableLabels
        A cell cannot be used: none is kept then.
    DataError
        The table cannot be read.
    """
    places = archive.found_at(config.captures)
    kept = captures.keep_labels(places, config.name, open_table(config, say))
    say("feedback", f"{kept:,} labels of {config.name} kept in {places.labels}")
