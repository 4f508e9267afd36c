"""Rows of JSON: an object in each line, or one array of objects; which of the two, the content says.

Each file is read twice, block by block: for the columns and their types, which a late row may add to or widen, and for
the rows. An array, or objects over several lines, become lines on disk, object by object and as they stand.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.json as pa_json

from data.errors import EmptySource, UnreadableSource
from data.sources import packed
from data.sources.files import base_of_all, identity_of
from data.sources.formats.typed_files import unified
from data.sources.globs import with_constants
from data.sources.layout import Layout
from data.sources.source import BATCH_ROWS, Part, Source, mark_of, refuse_duplicates
from data.text import BOM, Encoding, as_utf8, encoding_of

BLOCK_BYTES = 16 * 2**20
LONGEST_OBJECT = 64 * 2**20
_PART = 2**20
_CHANGED = re.compile(r".*Column\(/(.+)\) (changed from .*|was specified twice) in row (\d+)")


@dataclass(frozen=True)
class JsonSource(Source):
    """Files of JSON, all with the same columns, of the types that suit all their rows."""

    files: tuple[tuple[str, Encoding], ...] = ()
    schema: pa.Schema = None
    partitions: tuple[Mapping[str, pa.Scalar], ...] = ()

    @property
    def notes(self) -> Sequence[str]:
        """The encodings that are not UTF-8."""
        return [f"{Path(path).name}: {encoding}" for path, encoding in self.files if encoding.name != "utf-8"]

    def parts(self) -> Sequence[Part]:
        """Return a part for each file."""
        base = base_of_all([path for path, _ in self.files])
        kinds = dict(zip(self.schema.names, self.schema.types, strict=True))
        return [
            Part(
                replace(self, where=file[0], files=(file,), partitions=(added,)),
                file[0],
                f"{identity_of(file[0], base)} {mark_of(kinds | {name: each.type for name, each in added.items()})}",
            )
            for file, added in zip(self.files, self.partitions, strict=True)
        ]

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the sorted paths; raises UnreadableSource."""
        for (path, encoding), added in zip(self.files, self.partitions, strict=True):
            for table in _tables(path, encoding, self.schema):
                for batch in table.combine_chunks().to_batches(max_chunksize=rows):
                    yield with_constants(batch, added)


def open_json(
    where: str, paths: Sequence[str], layout: Layout, partitions: Sequence[Mapping[str, pa.Scalar]]
) -> Source:
    """Open files of JSON, and find out their columns; raises SourceError or DuplicateColumns."""
    schemas, files, kept = {}, [], []
    for path, added in zip(paths, partitions, strict=True):
        with packed.opened(path) as file:
            encoding = encoding_of(file, path, layout.encoding)
        columns = _schema_of(path, encoding)
        if columns is not None:
            schemas[path] = columns
            files.append((path, encoding))
            kept.append(added)
    if not schemas:
        raise EmptySource(where=where)
    schema = unified(_as_written(schemas))
    refuse_duplicates(where, [*schema.names, *partitions[0]])
    return JsonSource(where, files=tuple(files), schema=schema, partitions=tuple(kept))


def _schema_of(path: str, encoding: Encoding) -> pa.Schema | None:
    """Return the columns of a file, each of a type that all its rows have; None where there are no rows."""
    known: pa.Schema | None = None
    for table in _tables(path, encoding, None):
        if known is None:
            known = table.schema
        extra = [field for field in table.schema if field.name not in known.names]
        absent = [field for field in known if field.name not in table.schema.names]
        late = pa.schema([*table.schema, *absent])
        known = unified(_as_written({path: pa.schema([*known, *extra]), f"{path} (further down)": late}))
    return known


def _as_written(schemas: Mapping[str, pa.Schema]) -> Mapping[str, pa.Schema]:
    """Return schemas in which dates are text where not all texts of their column are dates."""
    texts = {field.name for schema in schemas.values() for field in schema if pa.types.is_string(field.type)}
    return {
        path: pa.schema(
            [
                pa.field(field.name, pa.string())
                if field.name in texts and pa.types.is_timestamp(field.type)
                else field
                for field in schema
            ]
        )
        for path, schema in schemas.items()
    }


def _tables(path: str, encoding: Encoding, schema: pa.Schema | None) -> Iterator[pa.Table]:
    """Yield a file's rows, a block at a time; raises UnreadableSource with the line."""
    options = pa_json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "error"
    )
    with packed.opened(path) as file, as_utf8(file, encoding.name, path) as text, _lines(text, path) as lines:
        first = 1
        for block in _blocks(lines):
            if block.strip():
                read = pa_json.ReadOptions(block_size=len(block) + 1)
                try:
                    yield pa_json.read_json(io.BytesIO(block), read_options=read, parse_options=options)
                except pa.ArrowException as error:
                    raise _fault(path, block, first, error) from error
            first += block.count(b"\n")


def _blocks(lines: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines of about a block's length."""
    while block := lines.read(BLOCK_BYTES):
        yield block + lines.readline()


def _fault(path: str, block: bytes, first: int, error: Exception) -> UnreadableSource:
    """Return the line of a block that is no row, and why."""
    changed = _CHANGED.match(str(error))
    if changed:
        rows = [number for number, line in enumerate(block.split(b"\n"), first) if line.strip()]
        return UnreadableSource(
            where=f"{path}, object {rows[min(int(changed[3]), len(rows) - 1)]}",
            reason=f"column {changed[1]!r} {changed[2]}",
            repair="write it once, and in one type, in each object",
        )
    for number, line in enumerate(block.split(b"\n"), first):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                raise ValueError("no object")
        except ValueError as wrong:
            return UnreadableSource(
                where=f"{path}, line {number}",
                reason=f"is no object of JSON: {wrong}",
                repair="mend the line",
            )
    return UnreadableSource(where=path, reason=str(error).splitlines()[0], repair="check that it is JSON")


@contextmanager
def _lines(file: BinaryIO, path: str) -> Iterator[BinaryIO]:
    """Yield a file of one object in each line: the file itself where it is, else one on disk."""
    start = len(BOM) if file.read(len(BOM)) == BOM else 0
    file.seek(start)
    if _is_object(file.readline(LONGEST_OBJECT)):
        file.seek(start)
        yield file
        return
    file.seek(start)
    with tempfile.TemporaryFile() as made:
        for text in _objects(_Text(file), path):
            # A line break within an object is blank: in a text of JSON it is written \n.
            made.write(text.replace("\n", " ").replace("\r", " ").encode() + b"\n")
        made.seek(0)
        yield cast("BinaryIO", made)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


class _Text:
    """A text that is read as far as it is looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._text, self._place = file, "", 0
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._parse = json.JSONDecoder().raw_decode

    def next_sign(self) -> str:
        """Return the next character that is not blank, "" at the end."""
        while True:
            left = self._text[self._place :].lstrip()
            self._text, self._place = left, 0
            if left or not self._more():
                return left[:1]

    def skip(self) -> None:
        """Go past one character."""
        self._place += 1

    def take_value(self) -> tuple[object, str]:
        """Return the value of JSON that begins here, and its text; raises ValueError."""
        while True:
            try:
                value, end = self._parse(self._text, self._place)
            except ValueError:
                if len(self._text) - self._place > LONGEST_OBJECT or not self._more():
                    raise
            else:
                start, self._place = self._place, end
                return value, self._text[start:end]

    def _more(self) -> bool:
        part = self._file.read(_PART)
        self._text, self._place = self._text[self._place :] + self._decode(part, final=not part), 0
        return bool(part)


def _objects(text: _Text, path: str) -> Iterator[str]:
    """Yield the text of each object of an array, or of objects one after another; raises UnreadableSource."""
    is_array, number = text.next_sign() == "[", 0
    if is_array:
        text.skip()
    while (sign := text.next_sign()) and not (is_array and sign == "]"):
        number += 1
        try:
            value, written = text.take_value()
        except ValueError as error:
            raise _no_object(path, number, f"is no JSON: {str(error).split(':')[0]}") from error
        if not isinstance(value, dict):
            raise _no_object(path, number, f"is {written[:20]} and no object")
        yield written
        sign = text.next_sign()
        if is_array and sign == ",":
            text.skip()
        elif is_array and sign not in ("", "]"):
            raise _no_object(path, number, "is followed by no comma")
    if not is_array:
        return
    text.skip()
    if not sign or text.next_sign():
        raise _no_object(
            path, number, "is the last, and " + ("more follows" if sign else "the array is not closed")
        )


def _no_object(path: str, number: int, reason: str) -> UnreadableSource:
    return UnreadableSource(
        where=f"{path}, object {number}",
        reason=reason,
        repair="write an array of objects, or an object in each line",
    )
