"""Rows for a version that exists, of a table that memory does not hold: a sample of them, read a batch at a time.

It knows neither models nor the registry.
"""

from __future__ import annotations

from dataclasses import replace

from data.cells import ReadOptions
from data.errors import LargerThanMemory
from data.schema import Schema
from data.sources import Source
from data.splits import SIDES, SplitRule, splitting
from data.tables import Kinds
from data.tables.streams import Form, bytes_in_memory, form_of
from training.rows import parts, thinned


def form_for(source: Source, schema: Schema, kinds: Kinds, asked: ReadOptions, room: float) -> Form:
    """Return how each batch of a source becomes rows as a version's schema has them; raises DataError.

    Text is held to the kinds of all of its columns, as `known_rows` does it; other formats say what a cell is.
    """
    asked = replace(asked, known={**asked.known, **schema.readings})
    if source.is_text:
        kinds = {column.name: column.kind for column in schema.columns} | dict(kinds)
    return form_of(source.knowing(schema), kinds, asked, most_bytes=room)


def judged(form: Form, rule: SplitRule, target: str, weight: str, *, otherwise: str) -> parts.Sampled:
    """Return as many rows of each side as a training of such a table is judged with, at least.

    Raises
    ------
    DataError
        The table cannot be used, or the rule has to see all rows at once: then it says what to do otherwise.
    """
    if rule.method in ("time", "repeat"):
        needed = parts.COPIES * bytes_in_memory(form.source)
        raise LargerThanMemory(
            where=form.head.where, needed=needed, free=min(form.most_bytes, needed), otherwise=otherwise
        )
    splitting.refuse_columns(form.head, rule)
    rule = replace(rule, cuts=rule.cuts or rule.usual_cuts)
    most = thinned.most(len(form.head.names), 0.0, parts.cells_in(form.most_bytes))
    by_side: dict[str, int] = {side: most[side] for side in SIDES}
    sides_of = lambda rows: splitting.sides_of(rows, rule).sides  # noqa: E731
    return parts.sampled(form, target, weight, most=by_side, sides_of=sides_of)
