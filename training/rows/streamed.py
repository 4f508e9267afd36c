"""The table of one training that memory does not hold: read in parts, and gone on with by a sample.

A first reading says what the columns are (`data.tables.streams`). The second puts each row on its side, counts,
describes the training rows, and keeps those rows of each side whose content has the smallest hash: the rows that
`training.rows.thinned` takes of a table that memory holds, in the same order, which is the table's where they are all
of its rows. What is said of a fault is found by the
checks of whole tables in the columns concerned, which are read whole for that alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from data.checks import Checked, check_table, trainable
from data.own_files import own_folder
from data.splits import SplitRule, splitting, weighting
from data.tables.streams import Form
from training.commands import trainings
from training.console import Say
from training.errors import UsageError
from training.models import AllRows
from training.rows import thinned
from training.rows.again import AllHeldOut, RowsAgain
from training.rows.first import FirstAsked, FirstReading, read_here
from training.rows.parts import BYTES_A_CELL, cells_in
from training.rows.prepared import PreparedTable, refuse_split_by_weight, roles_of, tell

MOST_BLOCKS = 1_000_000
"""Different rows or groups among which the sides are dealt, where chance does not serve each."""

Reads = Callable[[Form, FirstAsked, Path], FirstReading]
"""Reads all rows, with a folder for what comes of them."""


def arrange_streamed(
    form: Form, rule: SplitRule, config: trainings.TrainConfig, say: Say, reads: Reads = read_here
) -> PreparedTable:
    """Do what `training.rows.arrange` does, for a table of which memory holds a part.

    Raises
    ------
    DataError, UsageError
        As `training.rows.arrange` does; or the rule has to see all rows at once.
    """
    if rule.method in ("time", "repeat"):
        raise UsageError(
            message=f"split={rule.method} looks at all rows at once, and {form.head.where} takes more than memory="
            f"{config.as_params()['memory']}: pass more memory=..., or train another name=... under another split"
        )
    refuse_split_by_weight(config.weight, rule)
    candidates = _candidates(form, rule, config)
    splitting.refuse_columns(form.head, rule)
    likely = replace(rule, cuts=rule.cuts or rule.usual_cuts)
    useful = [name for name in candidates if trainable.reason_to_leave_out(form.head, name) is None]
    columns, cells = max(len(useful), 1), cells_in(form.most_bytes)
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder, ExitStack() as stack:
        while True:  # once, but for few groups, or columns that only all rows show to be of no use
            most = thinned.most(columns, config.seconds_for(form.rows), cells)
            part = Path(tempfile.mkdtemp(dir=folder))
            asked = FirstAsked(likely, candidates, config.target, config.weight, config.time_column, most)
            seen = reads(form, asked, part)
            stack.callback(seen.close)
            seen.refuse_odd()
            distinct, blocks, counts = seen.blocks.distinct(MOST_BLOCKS)
            if rule.cuts is None and rule.method != "column" and len(blocks):
                served = splitting.dealt(rule, blocks, counts)
                if served != likely:
                    likely = served
                    continue
            features, warnings = seen.features()
            splitting.refuse_empty(form.head.where, likely, seen.standing, seen.labelled, distinct)
            weighting.refuse_few(seen.standing, seen.counting, config.weight)
            schema, dropped = seen.schema(features, dict(config.units))
            if len(schema.columns) < columns and seen.is_short():
                columns = len(schema.columns)
                continue
            break
        pa.default_memory_pool().release_unused()  # Arrow keeps for itself what the batches took
        taken = thinned.most(len(schema.columns), config.seconds_for(seen.labelled), cells)
        table, split, moments = seen.sample(taken)
        without = form.rows - seen.labelled
        checked = Checked(table, tuple(features), without, (*form.head.noticed, *warnings), config.weight)
        fingerprint = seen.rows.fingerprint(form.head.names)
        by_time = thinned.most(columns, config.seconds_for(form.rows))
    is_whole = split.counts == seen.counting
    again = RowsAgain(form, schema, seen.noted.sides, seen.noted.mark, seen.seconds)
    room = cells * BYTES_A_CELL
    learned = AllRows(seen.counting["train"], again.learned, seen.seconds, room=room)
    rows = PreparedTable(
        checked,
        split,
        schema,
        fingerprint,
        all_counts=None if is_whole else seen.counting,
        held_by="time_budget" if most == by_time else "memory",
        repeats=splitting.repeats_in_words(likely, seen.labelled, distinct),
        everything=None if is_whole or config.weight else learned,
        held_out=None if is_whole else AllHeldOut(again, seen.noted.drawn, config.weight),
        moments=moments,
    )
    tell(rows, config, say, shown=table, seen=rows, dropped=dropped, weights=seen.weights_in_words())
    return rows


def _candidates(form: Form, rule: SplitRule, config: trainings.TrainConfig) -> list[str]:
    """Return the columns that may be features; raises what is in doubt or absent, or a target of no numbers."""
    candidates, faults = trainable.named_faults(form.head, **roles_of(config, rule))
    trainable.raise_all(form.head.where, faults)
    numbers = [name for name in (config.target, config.weight) if name]
    if any(form.head.kinds[name] != "number" for name in numbers):
        check_table(form.whole(numbers), target=config.target, weight=config.weight)
    return candidates
