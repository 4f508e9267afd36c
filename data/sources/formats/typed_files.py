"""Files of a format that has types: Parquet and Feather, whose columns are compared before a row is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.fs as pa_fs
import pyarrow.parquet as pa_parquet

from data.column_names import named
from data.errors import UnreadableSource
from data.sources import lakes, packed, remote, stores
from data.sources.files import base_of_all, identity_of, of_each, open_file, size_of
from data.sources.formats.joined import is_joined
from data.sources.globs import partitions
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


@dataclass(frozen=True)
class FileSource(Source):
    """Files of one format that has types."""

    dataset: pa_dataset.Dataset | None = None
    is_parquet: bool = False
    place: stores.FileStore | None = None
    folder: str = ""

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the sorted paths; raises UnreadableSource."""
        assert self.dataset is not None
        try:
            # One batch ahead: the default read-ahead of 16 batches holds 500 MB of a wide file.
            scan = {"batch_size": rows, "batch_readahead": 1, "fragment_readahead": 1}
            if self.is_parquet:
                # Columns are read as they are needed: a group's bytes held before took 160 MB. From far away each
                # column would be a journey, so that a group's are asked for together.
                ahead = self.place is not None
                scan["fragment_scan_options"] = pa_dataset.ParquetFragmentScanOptions(pre_buffer=ahead)
            for batch in self.dataset.to_batches(**scan):
                yield batch.rename_columns(named(batch.schema.names))
        except (pa.ArrowException, OSError) as error:
            raise self._fault(error) from error

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
            raise self._fault(error) from error

    @property
    def version(self) -> str:
        """The address of this version of a Delta table."""
        return self.where if self.folder else ""

    def named(self, path: str) -> str:
        """Return where a file of the dataset is, by what the dataset calls it."""
        if self.folder:
            return f"{self.folder}/{path}"
        return self.place.named(path) if self.place else path

    def _fault(self, error: Exception) -> UnreadableSource:
        if self.place is not None and isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            return self.place.fault(self.where, error)
        if self.folder and isinstance(error, FileNotFoundError):
            return UnreadableSource(
                where=self.where,
                reason="a file of this version is gone, as after a vacuum",
                repair="pass a newer version",
            )
        return unreadable(self._where_broken(), error)

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
    paths = [source.named(each.path) for each in fragments]
    base = base_of_all(paths) if paths else ""
    size = part_bytes(sum(of_each(size_of, paths)))
    kinds = mark_of(dict(zip(dataset.schema.names, dataset.schema.types, strict=True)))
    for fragment, path in zip(fragments, paths, strict=True):
        identity = f"{identity_of(path, base)} {kinds}"
        for groups in _groups_of(fragment, size) if dataset.format.default_extname == "parquet" else [None]:
            piece = fragment.subset(row_group_ids=list(groups)) if groups else fragment
            label = f"{path}, row groups {groups[0]} to {groups[-1]}" if groups else path
            rows = pa_dataset.FileSystemDataset([piece], dataset.schema, dataset.format, dataset.filesystem)
            which = f" {groups[0]} {groups[-1]}" if groups else ""
            yield Part(replace(source, where=label, dataset=rows, is_parquet=False), label, identity + which)


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
    for path, packing in zip(paths, of_each(packed.packing_of, paths), strict=True):
        if packing:
            raise UnreadableSource(where=path, reason=f"is a packed file of {kind}", repair="unpack it first")
    if kind == "parquet":
        lakes.refuse_files_of_tables(paths)
    place = stores.FileStore.of(where) if stores.is_remote(where) else None
    files = list(paths)
    options: dict[str, Any] = {"format": kind, "partition_base_dir": base}
    if place:
        files = [place.path(path) for path in paths]
        options |= {"partition_base_dir": place.path(base), "filesystem": place.files}
    try:
        options["partitioning"] = _folders(pa_dataset.dataset(files, **options), paths, base)
        dataset = pa_dataset.dataset(files, **options)
        schemas = dict(zip(paths, _schemas(dataset), strict=True))
        partitions = [field for field in dataset.schema if field.name not in schemas[paths[0]].names]
        schema = unified(schemas)
        for field in partitions:
            schema = schema.append(field)
        refuse_duplicates(where, schema.names)
        dataset = pa_dataset.dataset(files, schema=schema, **options)
        if kind == "parquet":
            _refuse_joined(paths)
    except (pa.ArrowException, OSError) as error:
        if place and isinstance(error, OSError):
            raise place.fault(where, error) from error
        repair = f"check that it is {kind}" + (f"; or {stores.IN_BETWEEN}" if place else "")
        raise UnreadableSource(where=where, reason=str(error).splitlines()[0], repair=repair) from error
    return FileSource(where=where, dataset=dataset, is_parquet=kind == "parquet", place=place)


def open_delta(where: str) -> Source | None:
    """Open a Delta table, None where there is none; raises UnreadableSource or DuplicateColumns."""
    found = lakes.delta_files(where)
    if found is None:
        return None
    place = stores.FileStore.of(where) if stores.is_remote(where) else None
    return FileSource(found.where, dataset=found.dataset, is_parquet=True, place=place, folder=found.folder)


def _folders(
    dataset: pa_dataset.Dataset, paths: Sequence[str], base: str
) -> pa_dataset.Partitioning | str | None:
    """Return the columns that folders' names are, without those that the files have; raises UnreadableSource.

    For a column in both the files count, and whatever is known of them has to be what the names say.
    """
    keys = partitions(paths, base)
    both = set(keys[0]) & set(dataset.schema.names)
    if not both:
        return "hive"
    for path, fragment, said in zip(paths, dataset.get_fragments(), keys, strict=True):
        for name in sorted(both):
            if not _holds_only(fragment, name, said[name].as_py()):
                raise UnreadableSource(
                    where=path,
                    reason=f"its column {name!r} is not what its folder's name says",
                    repair="rename the folder",
                )
    return pa_dataset.HivePartitioning(
        pa.schema([(name, value.type) for name, value in keys[0].items() if name not in both])
    )


def _holds_only(fragment: pa_dataset.Fragment, name: str, value: object) -> bool:
    """Return whether the statistics of a file of Parquet say that a column has one value."""
    groups = getattr(fragment, "row_groups", [])
    known = [(group.statistics or {}).get(name, {}) for group in groups if group.num_rows]
    return bool(groups) and all(str(each.get(end)) == str(value) for each in known for end in ("min", "max"))


def _schemas(dataset: pa_dataset.Dataset) -> list[pa.Schema]:
    fragments = list(dataset.get_fragments())
    if isinstance(dataset.filesystem, pa_fs.LocalFileSystem):
        return [fragment.physical_schema for fragment in fragments]
    return list(remote.each_at_once(lambda fragment: fragment.physical_schema, fragments))


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
        _refuse_rounding(plain)
        return pa.unify_schemas([pa.schema([each]) for each in plain], promote_options="permissive").field(0)
    except pa.ArrowException as error:
        raise UnreadableSource(
            where=path,
            reason=f"its column {field.name!r} holds {other.type}, in {first} it holds {field.type}",
            repair="write it in one type in each file",
        ) from error


def _refuse_rounding(fields: Sequence[pa.Field]) -> None:
    """Raise ArrowTypeError for decimals beside floats: as floats, Arrow rounds 1.1 to a neighbour."""
    kinds = [each.type for each in fields]
    if any(map(pa.types.is_decimal, kinds)) and any(map(pa.types.is_floating, kinds)):
        raise pa.ArrowTypeError


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values: how they are coded may differ from file to file."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _refuse_joined(paths: Sequence[str]) -> None:
    for path, joined in zip(paths, of_each(_is_joined, paths), strict=True):
        if joined:
            raise UnreadableSource(
                where=path,
                reason="is more than one Parquet file",
                repair="keep each in a file of its own",
            )


def _is_joined(path: str) -> bool:
    with open_file(path, whole=False) as file:
        return is_joined(file, pa_parquet.read_metadata(file))
