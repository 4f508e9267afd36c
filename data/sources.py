"""Where rows come from: files, folders, globs and databases, as Arrow tables.

Reads CSV, Parquet, Feather and JSON lines through `pyarrow.dataset`, and SQL through
SQLAlchemy. It does not know what a column means: `data.inference` does.

Delimited text is read as text, column by column. Arrow would guess a type from the first
block and stop at a later 1.5 in a column that began with whole numbers; a guess over all
rows is made by `data.inference`, and a row to be scored has a known schema.
"""

from __future__ import annotations

import csv
import glob
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset
import pyarrow.fs as pa_fs
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet

from data import missing, read_only
from data.delimited import RecordBlocks
from data.errors import (
    BrokenLine,
    DuplicateColumns,
    EmptySource,
    SourceError,
    SourceNotFound,
    UnreadableSource,
)
from data.joined import is_joined
from data.names import named
from data.redaction import redact, redact_address
from data.schema import Schema

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
SEPARATORS = (",", ";", "\t", "|")
BATCH_ROWS = 65_536
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Source:
    """A place that rows can be read from, opened but not yet read.

    Attributes
    ----------
    where : str
        As the user wrote it, without a password.
    is_text : bool
        Whether every value arrives as text (CSV), so that its kind is still to be found.
    """

    where: str
    is_text: bool = False

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most `rows` at a time."""
        raise NotImplementedError

    def knowing(self, schema: Schema) -> Source:  # noqa: ARG002 - only text has words for a missing value
        """Return the same for a model that exists: words that are its categories stay words."""
        return self

    def read(self) -> pa.Table:
        """Return all rows in order; raises EmptySource where there are none."""
        batches = [batch for batch in self.batches() if batch.num_rows]
        if not batches:
            raise EmptySource(where=self.where)
        return pa.Table.from_batches(batches)


@dataclass(frozen=True)
class FileSource(Source):
    """Files of one format that has types."""

    dataset: pa_dataset.Dataset | None = None

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the sorted paths; raises UnreadableSource."""
        assert self.dataset is not None
        try:
            # One batch ahead: the default read-ahead of 16 batches holds 500 MB of a wide file.
            yield from self.dataset.to_batches(batch_size=rows, batch_readahead=1, fragment_readahead=1)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self._place(), error) from error

    def _place(self) -> str:
        """Return where, with the first column that cannot be read."""
        assert self.dataset is not None
        for name in self.dataset.schema.names:
            try:
                deque(self.dataset.to_batches(columns=[name], batch_readahead=1), maxlen=0)
            except (pa.ArrowException, OSError):
                return f"{self.where}, column {name!r}"
        return self.where


@dataclass(frozen=True)
class TextSource(Source):
    """Files of delimited text, all with the same columns; every value is text."""

    paths: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    partitions: tuple[Mapping[str, pa.Scalar], ...] = ()
    known_words: frozenset[str] = frozenset()

    def knowing(self, schema: Schema) -> Source:
        """Return the same for a model that exists: words that are its categories stay words."""
        return replace(self, known_words=schema.known_words)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the sorted paths; raises BrokenLine, BrokenQuote or UnreadableSource."""
        for path, added in zip(self.paths, self.partitions, strict=True):
            separator, written = _read_header(path)
            header = named(written)
            if sorted(header) != sorted(self.header):
                raise _other_columns(path, header, self.paths[0], self.header)
            for batch in _records(path, separator, written, self.known_words):
                ordered = batch.rename_columns(header).select(self.header)
                yield from _in_parts(_with_constants(ordered, added), rows)


@dataclass(frozen=True)
class SqlSource(Source):
    """The rows of one query."""

    url: str = field(default="", repr=False)
    query: str = ""

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the query's order and change nothing; raises UnreadableSource with its reason."""
        import sqlalchemy  # noqa: PLC0415 - 0.2 s that only a database needs

        try:
            with read_only.connect(self.url, ahead=rows) as connection:
                result = connection.execute(sqlalchemy.text(self.query))
                names = list(result.keys())
                refuse_duplicates(self.where, names)
                for block in result.partitions(rows):
                    columns = [pa.array(values) for values in zip(*block, strict=True)]
                    yield pa.RecordBatch.from_arrays(columns, names=names)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, pa.ArrowException) as error:
            reason = redact(str(error).splitlines()[0], self.url)
            raise UnreadableSource(
                where=self.where, reason=reason, repair=read_only.repair(reason)
            ) from error

    def read(self) -> pa.Table:
        """Return all rows; blocks whose types differ (a whole number, then a fraction) are joined."""
        batches = [pa.Table.from_batches([batch]) for batch in self.batches()]
        if not batches:
            raise EmptySource(where=self.where)
        return pa.concat_tables(batches, promote_options="permissive")


def open_source(where: str, *, query: str = "") -> Source:
    """Open a path, glob, folder or SQLAlchemy URL.

    Raises
    ------
    SourceNotFound, EmptySource, UnreadableSource, DuplicateColumns
        With what was looked for and where.
    """
    if "://" in where and not where.startswith("file://"):
        return _open_sql(where, query)
    return _open_files(where.removeprefix("file://"))


def _open_sql(url: str, query: str) -> Source:
    import sqlalchemy  # noqa: PLC0415 - 0.2 s that only a database needs

    if not query:
        raise UnreadableSource(
            where=url.split("://", maxsplit=1)[0] + "://...",
            reason="a database needs a query",
            repair='pass one, such as query="SELECT * FROM houses"',
        )
    try:
        sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise UnreadableSource(
            where=url.split("://", maxsplit=1)[0] + "://...",
            reason="is no SQLAlchemy URL",
            repair="write it as dialect://user:password@host:port/database",
        ) from error
    if found := read_only.fault_of(query):
        raise UnreadableSource(
            where=redact_address(url), reason=f"the query {found}", repair=read_only.REPAIR
        )
    return SqlSource(where=redact_address(url), url=url, query=query)


def _open_files(where: str) -> Source:
    paths = _matching_paths(where)
    if all(Path(path).stat().st_size == 0 for path in paths):
        raise EmptySource(where=where)
    kind = _format_of(where, paths)
    folder = str(Path(where)) if Path(where).is_dir() else None
    if kind == "csv":
        return _open_delimited(where, paths, folder)
    layout = _json_lines(paths) if kind == "json" else kind
    try:
        dataset = pa_dataset.dataset(paths, format=layout, partitioning="hive", partition_base_dir=folder)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableSource(
            where=where, reason=str(error).splitlines()[0], repair=f"check that it is {kind}"
        ) from error
    refuse_duplicates(where, dataset.schema.names)
    if kind == "parquet":
        _refuse_joined(paths)
    return FileSource(where=where, dataset=dataset)


def _refuse_joined(paths: list[str]) -> None:
    for path in paths:
        with Path(path).open("rb") as file:
            if is_joined(file, pa_parquet.read_metadata(path)):
                raise UnreadableSource(
                    where=path,
                    reason="is more than one Parquet file",
                    repair="keep each in a file of its own",
                )


def _json_lines(paths: list[str]) -> pa_dataset.JsonFileFormat:
    """Read blocks as large as the files, up to 64 MB: keys and kinds that come after the first block are lost."""
    size = max(Path(path).stat().st_size for path in paths)
    block = min(max(size, BLOCK_BYTES), 64 * BLOCK_BYTES)
    return pa_dataset.JsonFileFormat(read_options=pa_json.ReadOptions(block_size=block))


def _matching_paths(where: str) -> list[str]:
    path = Path(where)
    if path.is_file():
        return [str(path)]
    # Path.glob takes no absolute pattern.
    found = path.rglob("*") if path.is_dir() else map(Path, glob.glob(where, recursive=True))  # noqa: PTH207
    files = sorted(str(file) for file in found if file.is_file() and not file.name.startswith((".", "_")))
    if not files:
        raise SourceNotFound(where=where, searched=str(Path.cwd()))
    return files


def _format_of(where: str, paths: list[str]) -> str:
    kinds = {FORMATS.get(Path(path).suffix.lower()) for path in paths}
    if len(kinds) != 1 or None in kinds:
        endings = ", ".join(sorted({Path(path).suffix or "none" for path in paths}))
        raise UnreadableSource(
            where=where,
            reason=f"its ending ({endings}) does not name one format",
            repair=f"use one of {' '.join(FORMATS)}",
        )
    return str(kinds.pop())


def _open_delimited(where: str, paths: list[str], folder: str | None) -> Source:
    header = named(_read_header(paths[0])[1])
    partitions = _partitions(paths, folder)
    refuse_duplicates(where, [*header, *partitions[0]])
    return TextSource(where, True, tuple(paths), tuple(header), tuple(partitions))


def _partitions(paths: list[str], folder: str | None) -> list[Mapping[str, pa.Scalar]]:
    """Return what the folders of each file say, as in `year=2012`."""
    options = pa_dataset.FileSystemFactoryOptions(
        partitioning=pa_dataset.HivePartitioning.discover(), partition_base_dir=folder
    )
    layout = pa_dataset.CsvFileFormat()
    factory = pa_dataset.FileSystemDatasetFactory(pa_fs.LocalFileSystem(), paths, layout, options)
    kinds = factory.inspect(fragments=0)
    said = [
        pa_dataset.get_partition_keys(fragment.partition_expression)
        for fragment in factory.finish(kinds).get_fragments()
    ]
    return [{kind.name: pa.scalar(keys.get(kind.name), kind.type) for kind in kinds} for keys in said]


def _records(
    path: str, separator: str, header: list[str], known_words: frozenset[str]
) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows, a block at a time."""
    with Path(path).open("rb", buffering=0) as file:
        blocks = RecordBlocks(file, where=path, separator=separator, one_column=len(header) == 1)
        try:
            yield from pa_csv.open_csv(
                pa.PythonFile(blocks, mode="r"),
                read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    strings_can_be_null=True,
                    null_values=missing.for_all(known_words),
                    column_types=dict.fromkeys(header, pa.string()),
                ),
            )
        except (pa.ArrowException, OSError, SourceError) as error:
            broken = blocks.fault or find_wrong_encoding(path) or find_broken_line(path, separator)
            raise broken or unreadable(path, error) from error


def _with_constants(batch: pa.RecordBatch, added: Mapping[str, pa.Scalar]) -> pa.RecordBatch:
    for name, value in added.items():
        batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
    return batch


def _in_parts(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


def _other_columns(path: str, header: Sequence[str], first: str, expected: Sequence[str]) -> UnreadableSource:
    other = next((name for name in header if name not in expected), None)
    lacking = next((name for name in expected if name not in header), None)
    found = f"has a column {other!r} that" if other is not None else f"lacks the column {lacking!r} that"
    has = "does not have" if other is not None else "has"
    return UnreadableSource(
        where=path, reason=f"{found} {first} {has}", repair="write the same header into each file"
    )


def unreadable(where: str, error: Exception) -> UnreadableSource:
    """Return what to say where a reader stopped: the first line of its own reason."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return UnreadableSource(where=where, reason=reason, repair="check that the file is whole and in UTF-8")


def _read_header(path: str) -> tuple[str, list[str]]:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            first = next(filter(str.strip, file))
            separator = max(SEPARATORS, key=first.count)
            file.seek(0)
            return separator, next(filter(None, csv.reader(file, delimiter=separator)))
    except UnicodeDecodeError as error:
        raise find_wrong_encoding(path) or error from error
    except (csv.Error, StopIteration) as error:
        raise UnreadableSource(
            where=path, reason="its first line is no header", repair="write the columns' names there"
        ) from error


def refuse_duplicates(where: str, names: list[str]) -> None:
    """Raise DuplicateColumns where a name stands twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DuplicateColumns(where=where, columns=twice)


def find_wrong_encoding(path: str) -> UnreadableSource | None:
    """Return the first line that is not UTF-8, with what stands there, or that it is packed; None for none."""
    with Path(path).open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return UnreadableSource(where=path, reason="is a gzip file", repair="unpack it with gunzip")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte, word = line[error.start], line[max(error.start - 10, 0) : error.start + 10]
                shown = word.decode("cp1252", errors="replace").strip()
                return UnreadableSource(
                    where=f"{path}, line {number}",
                    reason=f"byte 0x{byte:02X} in {shown!r} is not UTF-8",
                    repair=f"save it as UTF-8, as with `iconv -f {_encoding_of(path)} -t UTF-8`",
                )
    return None


def _encoding_of(path: str) -> str:
    with Path(path).open("rb") as file:
        return "UTF-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "CP1252"


def find_broken_line(path: str, separator: str) -> BrokenLine | None:
    """Return the first line whose number of fields differs from the header's; empty lines are none."""
    with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        expected = len(next(reader, []))
        for fields in reader:
            if fields and len(fields) != expected:
                return BrokenLine(where=path, line=reader.line_num, expected=expected, found=len(fields))
    return None
