"""Rows for a version that exists, read as the server and `score` read them.

A table's kinds are found out from its cells where there is no model yet. A version has them: "7" is a
category where it was one, an empty text is one where it was, and a cell that the server would refuse is
refused here, too. Formats with types say themselves what a cell is. Columns that the version does not
know, the target among them, are found out as ever, or are what the split that the version keeps needs them to be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.cells import NO_OPTIONS, ReadOptions, plain_texts
from data.errors import UnusableColumn
from data.schema import Column, Schema
from data.sources import Source
from data.tables import Kinds, Table, kept_of, load_kept, texts
from serving.rows import coercion


def load_known(
    source: Source, schema: Schema, kinds: Kinds | None = None, asked: ReadOptions = NO_OPTIONS
) -> Table:
    """Read all rows of a source by a version's schema, other columns by the kinds that its split keeps.

    What is asked for of those is heard, too.

    Raises
    ------
    SourceError
        The source is empty or broken.
    UnusableColumn
        A cell cannot be used, the first of them, or a column's type has no kind.
    OtherKind
        A cell would change its row's side.
    """
    kinds, asked = kinds or {}, replace(asked, known={**asked.known, **schema.readings})
    if not source.is_text:
        return load_kept(source, kinds, asked)
    arrow = source.knowing(schema).read()
    names = [name for name in schema.names if name in arrow.column_names]
    known = Schema(tuple(schema[name] for name in names), target=schema.target)
    packed = coercion.pack_arrow(arrow.select(names), known, is_text=True)
    if packed.faults:
        raise _unusable(packed)
    columns = [schema.without_missing_words(arrow[name], name) for name in arrow.column_names]
    arrow = pa.table(columns, names=arrow.column_names)
    rest, asked = arrow.drop_columns(names), asked.named(arrow.column_names)
    read = tuple((column, words) for column, words in asked.read if column in rest.column_names)
    others = kept_of(source.where, rest, kinds, replace(asked, read=read), is_text=True)
    values = {
        name: _values(arrow[name], known[name], packed.matrix[:, index]) for index, name in enumerate(names)
    }
    frame = pd.DataFrame(
        {
            name: pd.Series(values[name], dtype=values[name].dtype) if name in values else others.frame[name]
            for name in arrow.column_names
        }
    )
    return replace(others, frame=frame, kinds=dict(others.kinds) | {name: known[name].kind for name in names})


def _unusable(packed: coercion.Packed) -> UnusableColumn:
    fault, more = packed.faults[0], packed.n_faults - 1
    return UnusableColumn(
        column=fault.column,
        row=None if fault.row is None else fault.row + 1,
        found=f"expected {fault.expected}, found {fault.found}",
        repair=f"mend it, and {more:,} more" if more else "mend it",
    )


def _values(column: pa.ChunkedArray, known: Column, packed: NDArray[np.float64]) -> NDArray[Any]:
    """Return what training holds of a column: floats, or text as it stands, for rows are told apart by it."""
    if known.kind in ("number", "boolean"):
        return packed
    if known.reading is not None:
        return texts(pa.chunked_array([plain_texts(column, known.reading)[0]]))
    return texts(pc.utf8_trim(column, " \t\r\n") if known.kind == "datetime" else column)
