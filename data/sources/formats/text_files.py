"""Files of delimited text, all with the same columns: each is read by its own dialect, every value as text.

Arrow would guess a type from the first block and stop at a later 1.5 in a column that began with whole numbers; a guess
over all rows is made by `data.tables`, and a row to be scored has a known schema.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from data.column_names import named
from data.errors import BrokenLine, EmptySource, OutOfReach, SourceError, UnreadableSource
from data.schema import MISSING_WORDS, Schema
from data.sources import packed
from data.sources.files import base_of_all, identity_of, size_of
from data.sources.formats import spreadsheets
from data.sources.formats.spreadsheets import is_workbook
from data.sources.globs import with_constants
from data.sources.layout import Layout
from data.sources.source import (
    BATCH_ROWS,
    Part,
    Source,
    mark_of,
    other_columns,
    part_bytes,
    refuse_duplicates,
    unreadable,
)
from data.text import (
    Dialect,
    Encoding,
    RecordBlocks,
    as_utf8,
    dialect_of,
    encoding_of,
    line_breaks,
    refuse_foreign,
)

BLOCK_BYTES = 2**20

OFFSET_BYTES, PACKED = 4, 5
"""Of a cell beside its text, in Arrow; and how many times smaller packed text is, about."""


@dataclass(frozen=True)
class TextFile:
    """One file, and how it is written."""

    path: str
    sheet: str
    encoding: Encoding
    dialect: Dialect

    @property
    def columns(self) -> list[str]:
        """The columns' names; those that have none are named by their place."""
        return named(self.dialect.names)

    @property
    def how(self) -> str:
        """How it is read, "" where it is plain comma-separated UTF-8."""
        encoding = "" if self.encoding.name == "utf-8" else str(self.encoding)
        return ", ".join(filter(None, [encoding, str(self.dialect)]))


@dataclass(frozen=True)
class TextSource(Source):
    """Files of delimited text, all with the same columns."""

    files: tuple[TextFile, ...] = ()
    partitions: tuple[Mapping[str, pa.Scalar], ...] = ()
    missing_words: tuple[str, ...] = MISSING_WORDS
    order: tuple[str, ...] = ()

    @property
    def notes(self) -> Sequence[str]:
        """How the files are read, where it is not plain comma-separated UTF-8: one line for those alike."""
        alike: dict[str, list[str]] = {}
        for file in self.files:
            alike.setdefault(file.how, []).append(Path(file.path).name)
        return [
            f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {how}"
            for how, names in alike.items()
            if how
        ]

    def knowing(self, schema: Schema) -> Source:
        """Return the same for a model that exists: words that are its categories stay words."""
        return replace(self, missing_words=schema.missing_words)

    def about_rows(self) -> int:
        """Return about how many rows there are: the files' size, by that of a row of the first block."""
        if any(is_workbook(file.path) for file in self.files):
            return 0
        first = next((batch for batch in self.batches() if batch.num_rows), None)
        if first is None:
            return 0
        cells = first.num_rows * first.num_columns
        a_row = (first.nbytes - OFFSET_BYTES * cells + cells) / first.num_rows
        sizes = (size_of(file.path) * (PACKED if packed.packing_of(file.path) else 1) for file in self.files)
        return int(sum(sizes) / a_row)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the sorted paths; raises BrokenLine, BrokenQuote or UnreadableSource."""
        expected = self.order or self.files[0].columns
        for file, added in zip(self.files, self.partitions, strict=True):
            for batch in _records(file, self.missing_words):
                ordered = batch.rename_columns(file.columns).select(expected)
                yield from _in_parts(with_constants(ordered, added), rows)

    def parts(self) -> Sequence[Part]:
        """Return stretches of whole rows of plain files, and whole packed ones; raises SourceError."""
        base = base_of_all([file.path for file in self.files])
        size = part_bytes(sum(size_of(file.path) for file in self.files))
        return list(self._parts(base, size))

    def _parts(self, base: str, size: int) -> Iterator[Part]:
        order = tuple(self.files[0].columns)
        for file, added in zip(self.files, self.partitions, strict=True):
            kinds = mark_of({name: each.type for name, each in added.items()})
            identity = f"{identity_of(file.path, base)} {kinds}"
            for start, stop in pairwise(_edges(file, size)):
                label = f"{file.path}, bytes {start:,} to {stop:,}"
                piece = replace(file, dialect=replace(file.dialect, start=start, stop=stop))
                rows = replace(self, where=label, files=(piece,), partitions=(added,), order=order)
                yield Part(rows, label, f"{identity} {start} {stop}")


def _edges(file: TextFile, size: int) -> list[int]:
    """Return where the stretches of a file's rows begin and end; fewer than two for no rows."""
    dialect = file.dialect
    if dialect.start == dialect.stop:
        return []
    if is_workbook(file.path) or file.encoding.name != "utf-8" or packed.packing_of(file.path):
        return [dialect.start, dialect.stop]  # each part would have to be unpacked up to where it begins
    edges = [dialect.start]
    with _text_of(file.path, file.sheet, file.encoding) as text:
        blocks = RecordBlocks(
            text,
            where=file.path,
            separator=dialect.separator,
            one_column=len(dialect.names) == 1,
            part=(dialect.start, dialect.stop),
        )
        end = dialect.start
        while block := blocks.read(size):
            end += len(block)
            if bytes(block).strip(b"\r\n"):
                edges.append(end)
    return [*edges[:-1], dialect.stop]


def open_texts(
    where: str,
    paths: Sequence[str],
    layout: Layout,
    partitions: Sequence[Mapping[str, pa.Scalar]],
    *,
    sheet: str = "",
) -> TextSource:
    """Open files of delimited text, and compare their headers; raises SourceError or DuplicateColumns."""
    files = tuple(filter(None, (_described(path, sheet, layout) for path in paths)))
    if not files:
        raise EmptySource(where=where)
    for file in files:
        refuse_duplicates(file.path, [*file.columns, *partitions[0]])
        if sorted(file.columns) != sorted(files[0].columns):
            raise other_columns(file.path, file.columns, files[0].path, files[0].columns)
    _refuse_mixed_decimals(files)
    kept = [
        added for path, added in zip(paths, partitions, strict=True) if any(f.path == path for f in files)
    ]
    return TextSource(where, True, files, tuple(kept))


def _refuse_mixed_decimals(files: Sequence[TextFile]) -> None:
    """Raise UnreadableSource where a column's fractions begin with a comma in one file, with a point in another."""
    seen: dict[str, tuple[str, str]] = {}
    for file in files:
        for name, mark in zip(file.columns, file.dialect.decimals, strict=False):
            if not mark:
                continue
            other, path = seen.setdefault(name, (mark, file.path))
            if other != mark:
                raise UnreadableSource(
                    where=file.path,
                    reason=f"column {name!r} has decimals such as 1{mark}5, in {path} such as 1{other}5",
                    repair="write them in one way in each file",
                )


def _described(path: str, sheet: str, layout: Layout) -> TextFile | None:
    """Return how a file is written, None where it has no text."""
    encoding = _encoding_of(path, layout.encoding)
    with _text_of(path, sheet, encoding) as text:
        if not text.read(1):
            return None
        known = "," if is_workbook(path) else ""
        dialect = dialect_of(text, path, header=layout.header, separator=known)
    if dialect.doubt:
        raise UnreadableSource(
            where=path,
            reason=dialect.doubt,
            repair="pass header=none, and the columns are called column_1, column_2 and so on; "
            "or header=first if these are their names",
        )
    return TextFile(path, sheet, encoding, dialect)


def _encoding_of(path: str, name: str) -> Encoding:
    if is_workbook(path):
        return Encoding()
    with packed.opened(path) as file:
        refuse_foreign(file, path)
        return encoding_of(file, path, name)


@contextmanager
def _text_of(path: str, sheet: str, encoding: Encoding) -> Iterator[BinaryIO]:
    """Yield a file's text as UTF-8, unpacked, or a sheet's."""
    if is_workbook(path):
        with spreadsheets.opened(path, sheet) as text:
            yield text
        return
    with packed.opened(path) as plain, as_utf8(plain, encoding.name, path) as text:
        yield text


def _records(file: TextFile, missing_words: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows, a block at a time; columns are numbered."""
    dialect, numbered = file.dialect, [str(index) for index in range(len(file.dialect.names))]
    if dialect.start == dialect.stop:
        return
    with _text_of(file.path, file.sheet, file.encoding) as text:
        blocks = RecordBlocks(
            text,
            where=file.path,
            separator=dialect.separator,
            one_column=len(numbered) == 1,
            part=(dialect.start, dialect.stop),
        )
        try:
            yield from pa_csv.open_csv(
                pa.PythonFile(blocks, mode="r"),
                read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES, column_names=numbered),
                parse_options=pa_csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    strings_can_be_null=True,
                    null_values=missing_words,
                    column_types=dict.fromkeys(numbered, pa.string()),
                ),
            )
        except OutOfReach:
            raise
        except (pa.ArrowException, OSError, SourceError) as error:
            broken = blocks.fault or _wrong_byte(text, file) or _broken_line(text, file)
            raise broken or unreadable(file.path, error) from error


def _in_parts(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


def _wrong_byte(text: BinaryIO, file: TextFile) -> UnreadableSource | None:
    """Return the first line that is not UTF-8, where the user said that it is; None for none."""
    text.seek(0)
    for number, line in enumerate(text, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            shown = (
                line[max(error.start - 10, 0) : error.start + 10].decode("cp1252", errors="replace").strip()
            )
            return UnreadableSource(
                where=f"{file.path}, line {number}",
                reason=f"byte 0x{line[error.start]:02X} in {shown!r} is not UTF-8",
                repair="pass another encoding=..., or save it as UTF-8",
            )
    return None


def _broken_line(text: BinaryIO, file: TextFile) -> BrokenLine | None:
    """Return the first line whose number of fields differs from the header's; empty lines are none."""
    dialect = file.dialect
    text.seek(0)
    above = line_breaks(text.read(dialect.start))
    lines = io.TextIOWrapper(text, encoding="utf-8", errors="replace", newline="")
    reader = csv.reader(lines, delimiter=dialect.separator)
    expected = len(dialect.names)
    try:
        for fields in reader:
            if fields and len(fields) != expected:
                return BrokenLine(
                    where=file.path, line=above + reader.line_num, expected=expected, found=len(fields)
                )
    except csv.Error:
        return None
    finally:
        lines.detach()
    return None
