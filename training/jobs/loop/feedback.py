"""What became of predictions, from a table: the same labels as `POST /feedback` takes, held to the same rules.

A table without ids has key columns instead: then captures become Parquet first, for the predictions are looked for.
"""

from __future__ import annotations

from data.captures import Places
from data.column_names import matching
from data.errors import MissingColumn
from training import archive, captures
from training.commands import watches
from training.console import Say
from training.rows import open_table
from training.rows.known import load_known


def feedback(config: watches.FeedbackConfig, say: Say) -> None:
    """Keep the labels of a table.

    Raises
    ------
    NoCaptures, NotCaptured
        There is no such folder, or nothing of this model in it.
    UnusableLabels
        A cell cannot be used: none is kept then.
    UnusableKey
        Captures do not hold a column of the key as it was sent.
    DataError
        The table cannot be read.
    """
    places = archive.found_at(config.captures)
    kept = _by_key(config, places, say) if config.key else _by_id(config, places, say)
    say("feedback", f"{kept:,} labels of {config.name} kept in {places.labels}")


def _by_id(config: watches.FeedbackConfig, places: Places, say: Say) -> int:
    return captures.keep_labels(places, config.name, open_table(config, say))


def _by_key(config: watches.FeedbackConfig, places: Places, say: Say) -> int:
    archive.compact(places, say)
    keyed = captures.Keyed.of(places, config.name, config.key)
    table = load_known(open_table(config, say), keyed.schema, keyed.kinds)
    for role, name in (*(("key", name) for name in config.key), ("outcome", keyed.schema.target)):
        if name not in table.frame:
            near = matching(name, table.names)
            raise MissingColumn(where=table.where, role=role, column=near, columns=table.names)
    if keyed.left_out:
        say("feedback", f"{keyed.left_out} files of captures have no such key: their rows find no outcome")
    returned = keyed.keep(table)
    if str(returned):
        say("feedback", f"left out: {returned}")
    return returned.labels
