"""What the columns of a table are, as all of its rows say, found without holding them.

A first reading: each batch says the kind of its part of a column by the one routine that there is
(`data.tables.arrow_kinds`), and the kinds of the parts join to that of the column. Where texts may have a reading of
their own (a decimal comma, days first), or the user says one, the columns concerned are held, as Arrow keeps them. Then
each batch becomes a `Table`, with the same cells that the whole table would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.cells import PartedTexts, Reading, ReadOptions, plain_texts, settle_readings
from data.errors import EmptySource, OtherKind, UnreadableSource, UnusableColumn
from data.schema import Kind
from data.sources import Source
from data.tables import Kinds, Table, arrow_kinds, kept_kinds
from data.tables.table import text_columns


@dataclass(frozen=True)
class Form:
    """How each batch of a source becomes rows.

    Attributes
    ----------
    head : Table
        The first rows, with the kinds, readings and doubts of all of them.
    rows : int
        How many there are.
    most_bytes : float
        Of memory, that whoever goes on with them may take.
    """

    source: Source
    head: Table
    rows: int
    most_bytes: float
    _found: Table = field(repr=False)
    _read: frozenset[str] = field(repr=False)
    _kept: Kinds = field(repr=False)
    _options: ReadOptions = field(repr=False)

    def __len__(self) -> int:
        return self.rows

    def bare(self) -> Form:
        """Return the same without the first rows, for who reads parts of it elsewhere."""
        return replace(self, head=self.head.take(np.zeros(0, dtype=np.intp)))

    def tables(self) -> Iterator[Table]:
        """Yield the rows, a batch at a time; raises SourceError or TableError."""
        for batch in self.source.batches():
            if batch.num_rows:
                yield self._table(batch)

    def whole(self, names: Sequence[str]) -> Table:
        """Return all rows of some columns as the whole table would have them; raises TableError.

        For what is said of a fault: the routine that finds it in a table that memory holds finds it here.
        """
        parts = [batch.select(names) for batch in self.source.batches() if batch.num_rows]
        arrow, known = pa.Table.from_batches(parts), {**self._options.known}
        known |= {name: reading for name, reading in self._found.readings.items() if name in names}
        read = tuple(
            (name, words) for name, words in self._options.read if name in names and name not in known
        )
        missing = tuple(word for name in names for word in self._options.words(name, self.head.names))
        options = replace(self._options, read=read, known=known, missing=missing)
        kept = {name: kind for name, kind in self._kept.items() if name in names}
        return kept_kinds.kept_of(self.source.where, arrow, kept, options, is_text=self.source.is_text)

    def _table(self, batch: pa.RecordBatch) -> Table:
        try:
            return _held(batch, self._found, self._read, self._kept, is_text=self.source.is_text)
        except OtherKind as error:
            self.whole([error.column])  # says it with the row's number, and how many there are
            raise


def form_of(source: Source, kept: Kinds, options: ReadOptions, *, most_bytes: float = np.inf) -> Form:
    """Read all rows of a source once, and say what its columns are, those of known kinds as these.

    Parameters
    ----------
    most_bytes : float
        Of memory; the texts that have to be looked at together may take as many.

    Raises
    ------
    SourceError
        The source is empty or broken, or has more texts to be looked at than may be held.
    MissingColumn, UnusableColumn, OtherKind
        As `data.tables.load_kept` has it.
    """
    first = next((batch for batch in source.batches() if batch.num_rows), None)
    if first is None:
        raise EmptySource(where=source.where)
    names = first.schema.names
    options = kept_kinds.with_kept(options.named(names), names, kept)
    options.check(source.where, names)
    columns = [_StreamedColumn(name, options, is_text=source.is_text) for name in names]
    rows = 0
    for batch in source.batches():
        for column, part in zip(columns, batch.columns, strict=True):
            column.look(pa.chunked_array([part]), rows)
        rows += batch.num_rows
    kinds = {column.name: column.kind for column in columns}
    to_hold = [column.name for column in columns if column.has_to_be_held(names)]
    texts = {column.name: column.head for column in columns if column.head is not None}
    if to_hold:
        texts |= text_columns(_whole(source, to_hold, most_bytes), options)
    settled = settle_readings(texts, kinds, options, is_text=source.is_text)
    settled.doubts.update({column.name: column.unusable for column in columns if column.unusable})
    for name, plain in settled.plain.items():
        kinds[name] = arrow_kinds.typed_as(plain, settled.readings[name])[0]
    frame = pd.DataFrame({name: _series(arrow_kinds.nothing(0, kinds[name])) for name in names})
    found = Table(source.where, frame, kinds, settled.readings, settled.doubts, tuple(settled.warnings))
    read = frozenset(settled.plain)
    head = _held(first, found, read, kept, is_text=source.is_text)
    return Form(source, head, rows, most_bytes, found, read, kept, options)


class _StreamedColumn:
    """What the parts of a column have said so far."""

    def __init__(self, name: str, options: ReadOptions, *, is_text: bool) -> None:
        self.name, self._options, self._is_text = name, options, is_text
        self.kind: Kind | None = None
        self.unusable: UnusableColumn | None = None
        self._texts = PartedTexts(options.hint(name)) if is_text else None

    def look(self, part: pa.ChunkedArray, above: int) -> None:
        """Join the kind of a part to that of those above; one that cannot be used makes the column so."""
        if self.unusable:
            return
        try:
            kind, _ = arrow_kinds.typed(part, self.name, is_text=self._is_text)
        except UnusableColumn as error:
            row = None if error.row is None else error.row + above
            self.unusable = UnusableColumn(column=self.name, row=row, found=error.found, repair=error.repair)
            self.kind = None
            return
        self.kind = arrow_kinds.joined(self.kind, kind)
        if self._texts:
            self._texts.look(part, are_numbers=self.kind == "number")

    @property
    def head(self) -> pa.ChunkedArray | None:
        """Of plain numbers that are written as text: cells by which their decimal mark is known."""
        return self._texts.head if self._texts and self.kind == "number" else None

    def has_to_be_held(self, names: Sequence[str]) -> bool:
        """Return whether all cells have to be looked at together for the column's reading."""
        options, kind = self._options, self.kind
        if kind is None:
            return False
        if (known := options.known_of(self.name, kind)) is not None:
            plain = (known, kind) in ((Reading("text"), "category"), (Reading("number"), "number"))
            return not plain or bool(options.words(self.name, names))
        if options.words(self.name, names) or dict(options.read).get(self.name, "text") != "text":
            return True
        if not self._texts or self.name in dict(options.read):
            return False
        return self._texts.may_have_a_reading(kind)


def _whole(source: Source, names: Sequence[str], most_bytes: float) -> pa.Table:
    """Return all cells of some columns; raises UnreadableSource beyond so many bytes."""
    parts, size = [], 0
    for batch in source.batches():
        parts.append(batch.select(names))
        size += parts[-1].nbytes
        if size > most_bytes:
            raise UnreadableSource(
                where=source.where,
                reason=f"the texts of {', '.join(names[:5])}{' and others' if len(names) > 5 else ''} take more than "
                f"{most_bytes / 1e6:,.0f} MB, and all of them say together how they are read",
                repair=f"say it (read={names[0]}:text, ...), write the table as Parquet, or pass more memory=...",
            )
    return pa.Table.from_batches(parts)


def _held(batch: pa.RecordBatch, found: Table, read: frozenset[str], kept: Kinds, *, is_text: bool) -> Table:
    """Return rows with the kinds and readings that were found, or that columns have to have; raises OtherKind."""
    arrow, series = pa.Table.from_batches([batch]), {}
    for name in found.names:
        kind, reading = found.kinds[name], found.readings.get(name)
        if reading is not None and name in read:
            series[name] = _series(_as_read(arrow[name], reading, kind))
            continue
        if kind is None:
            series[name] = _series(arrow_kinds.nothing(len(arrow), None))
            continue
        values = arrow_kinds.values_as(arrow[name], name, kind, is_text=is_text)
        if reading is not None and kind == "number" and reading.sentinels:
            values = np.where(np.isin(values, reading.sentinels), np.nan, values)
        series[name] = _series(values)
    return kept_kinds.hold(replace(found, frame=pd.DataFrame(series)), arrow, kept)


def _as_read(column: pa.ChunkedArray, reading: Reading, kind: Kind | None) -> NDArray[Any]:
    """Return the values of texts that have a reading."""
    part = arrow_kinds.plain(column)
    plain, _ = plain_texts(part if arrow_kinds.is_string(part.type) else part.cast(pa.string()), reading)
    found, values = arrow_kinds.typed_as(plain, reading)
    if found == kind:
        return values
    return (
        arrow_kinds.nothing(len(values), kind)
        if found is None
        else arrow_kinds.texts(pa.chunked_array([plain]))
    )


def _series(values: NDArray[Any]) -> pd.Series:
    return pd.Series(values, dtype=values.dtype)
