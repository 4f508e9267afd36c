"""Which files a path, a folder or a glob means, and what their folders say, as in `year=2012`."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.fs as pa_fs

from data.errors import SourceNotFound
from data.sources import remote, stores
from data.sources.hidden import is_hidden


def matching(where: str) -> list[str]:
    """Return the files in order; raises SourceNotFound or OutOfReach where there are none."""
    if stores.is_remote(where):
        return remote.matching(where)
    path = Path(where)
    if path.is_file():
        return [str(path)]
    # Path.glob takes no absolute pattern.
    candidates = path.rglob("*") if path.is_dir() else map(Path, glob.glob(where, recursive=True))  # noqa: PTH207
    base, words = Path(base_of(where)), "" if path.is_dir() else where
    files = sorted(
        str(file)
        for file in candidates
        if file.is_file() and not is_hidden(file.relative_to(base).as_posix(), words)
    )
    if not files:
        raise SourceNotFound(where=where, searched=str(Path.cwd()))
    return files


def base_of(where: str) -> str:
    """Return the folder below which folders are partitions: what the user named, up to the first wildcard."""
    if stores.is_remote(where):
        return remote.base_of(where)
    if Path(where).is_dir():
        return str(Path(where))
    if Path(where).is_file():
        return str(Path(where).parent)
    parts = Path(where).parts
    first = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:first]))


def partitions(paths: Sequence[str], base: str) -> list[Mapping[str, pa.Scalar]]:
    """Return what the folders of each file below a base say."""
    if stores.is_remote(base):  # nothing is read of the files: their names are enough
        place = stores.FileStore.of(base)
        base, paths = place.path(base), [place.path(path) for path in paths]
    options = pa_dataset.FileSystemFactoryOptions(
        partitioning=pa_dataset.HivePartitioning.discover(), partition_base_dir=base
    )
    layout = pa_dataset.CsvFileFormat()
    factory = pa_dataset.FileSystemDatasetFactory(pa_fs.LocalFileSystem(), list(paths), layout, options)
    kinds = factory.inspect(fragments=0)
    keys_by_file = [
        pa_dataset.get_partition_keys(fragment.partition_expression)
        for fragment in factory.finish(kinds).get_fragments()
    ]
    return [{kind.name: pa.scalar(keys.get(kind.name), kind.type) for kind in kinds} for keys in keys_by_file]


def with_constants(batch: pa.RecordBatch, added: Mapping[str, pa.Scalar]) -> pa.RecordBatch:
    """Return a batch with what its file's folders say, as columns."""
    for name, value in added.items():
        batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
    return batch
