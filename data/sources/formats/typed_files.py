"""Files of a format that has types: Parquet and Feather, whose columns are compared before a row is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pa_parquet

from data.column_names import named
from data.errors import UnreadableSource
from data.sources import packed
from data.sources.formats.joined import is_joined
from data.sources.source import (
    BATCH_ROWS,
    Part,
    Source,
    base_of_all,
    identity_of,
    other_columns,
    part_bytes,
    refuse_duplicates,
    unreadable,
)


@dataclass(frozen=True)
class FileSource(Source):
    """Files of one format that has types."""

    dataset: pa_dataset.Dataset | None = None
    is_parquet: bool = False

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the sorted paths; raises UnreadableSource."""
        assert self.dataset is not None
        try:
            # One batch ahead: the default read-ahead of 16 batches holds 500 MB of a wide file.
            scan = {"batch_size": rows, "batch_readahead": 1, "fragment_readahead": 1}
            if (
                self.is_parquet
            ):  # its columns are read as they are needed: a group's bytes held before took 160 MB
                scan["fragment_scan_options"] = pa_dataset.ParquetFragmentScanOptions(pre_buffer=False)
            for batch in self.dataset.to_batches(**scan):
                yield batch.rename_columns(named(batch.schema.names))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self._where_broken(), error) from error

    def about_rows(self) -> int:
        """Return how many rows there are, by what the files say of themselves."""
        assert self.dataset is not None
        try:
            return int(self.dataset.count_rows())
        except (pa.ArrowException, OSError):  # said where they are read
            return 0

    def parts(self) -> Sequence[Part]:
        """Return groups of rows of Parquet, or whole files, of about the size of a part; raises UnreadableSource."""
        assert self.dataset is not None
        try:
            return list(_parts_of(self))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.where, error) from error

    def _where_broken(self) -> str:
        """Return where, with the first column that cannot be read."""
        assert self.dataset is not None
        for name in self.dataset.schema.names:
            try:
                deque(self.dataset.to_batches(columns=[name], batch_readahead=1), maxlen=0)
            except (pa.ArrowException, OSError):
                return f"{self.where}, column {name!r}"
        return self.where


def _parts_of(source: FileSource) -> Iterator[Part]:
    dataset = source.dataset
    assert dataset is not None
    fragments = [fragment for fragment in dataset.get_fragments() if fragment.count_rows()]
    paths = [fragment.path for fragment in fragments]
    base = base_of_all(paths) if paths else ""
    size = part_bytes(sum(Path(path).stat().st_size for path in paths))
    for fragment in fragments:
        for groups in _groups_of(fragment, size) if dataset.format.default_extname == "parquet" else [None]:
            piece = fragment.subset(row_group_ids=list(groups)) if groups else fragment
            label = f"{fragment.path}, row groups {groups[0]} to {groups[-1]}" if groups else fragment.path
            rows = pa_dataset.FileSystemDataset([piece], dataset.schema, dataset.format, dataset.filesystem)
            named_by = (groups[0], groups[-1]) if groups else ()
            yield Part(FileSource(label, False, rows), label, identity_of(fragment.path, base, *named_by))


def _groups_of(fragment: pa_dataset.ParquetFileFragment, size: int) -> Iterator[range]:
    """Yield runs of row groups with at least so many bytes, but for the last one."""
    begin, result = 0, 0
    for group in fragment.row_groups:
        result += group.total_byte_size
        if result >= size:
            yield range(begin, group.id + 1)
            begin, result = group.id + 1, 0
    if begin < fragment.num_row_groups:
        yield range(begin, fragment.num_row_groups)


def open_typed(where: str, paths: Sequence[str], kind: str, base: str) -> Source:
    """Open Parquet or Feather files; raises UnreadableSource or DuplicateColumns."""
    for path in paths:
        if packed.packing_of(path):
            raise UnreadableSource(where=path, reason=f"is a packed file of {kind}", repair="unpack it first")
    options = {"format": kind, "partitioning": "hive", "partition_base_dir": base}
    try:
        dataset = pa_dataset.dataset(list(paths), **options)
        schemas = {fragment.path: fragment.physical_schema for fragment in dataset.get_fragments()}
        partitions = [field for field in dataset.schema if field.name not in schemas[paths[0]].names]
        schema = unified(schemas)
        for field in partitions:
            schema = schema.append(field)
        refuse_duplicates(where, schema.names)
        dataset = pa_dataset.dataset(list(paths), schema=schema, **options)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableSource(
            where=where, reason=str(error).splitlines()[0], repair=f"check that it is {kind}"
        ) from error
    if kind == "parquet":
        _refuse_joined(paths)
    return FileSource(where=where, dataset=dataset, is_parquet=kind == "parquet")


def unified(schemas: Mapping[str, pa.Schema]) -> pa.Schema:
    """Return one schema for files, by path, whose columns have the same names; raises UnreadableSource."""
    (first, expected), *others = schemas.items()
    made = expected
    for path, schema in others:
        if sorted(schema.names) != sorted(expected.names):
            raise other_columns(path, schema.names, first, expected.names)
        made = pa.schema([_common(field, schema.field(field.name), path, first) for field in made])
    return made


def _common(field: pa.Field, other: pa.Field, path: str, first: str) -> pa.Field:
    """Return a field for both; raises UnreadableSource where one type is not a part of the other."""
    if field.type == other.type:
        return field
    plain = [pa.field(field.name, _plain(each.type)) for each in (field, other)]
    try:
        return pa.unify_schemas([pa.schema([each]) for each in plain], promote_options="permissive").field(0)
    except pa.ArrowException as error:
        raise UnreadableSource(
            where=path,
            reason=f"its column {field.name!r} holds {other.type}, in {first} it holds {field.type}",
            repair="write it in one type in each file",
        ) from error


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values: how they are coded may differ from file to file."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _refuse_joined(paths: Sequence[str]) -> None:
    for path in paths:
        with Path(path).open("rb") as file:
            if is_joined(file, pa_parquet.read_metadata(path)):
                raise UnreadableSource(
                    where=path,
                    reason="is more than one Parquet file",
                    repair="keep each in a file of its own",
                )
