"""The Parquet files once more, where pyarrow's file systems reach: s3://bucket/folder, gs://, abfs://, file:///.

What is not there yet, or with another size, is copied, so that a copy that was interrupted is made whole by the next
call. Nothing is deleted there: who keeps rows for some time only says so to the bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from data.captures import Places
from training.archive.errors import CannotMirror

MANY = 2**20
"""Bytes that are copied at once."""


def copied_to(places: Places, uri: str) -> int:
    """Copy what is lacking under an address, and return how many files that were; raises CannotMirror."""
    try:
        there, root = fs.FileSystem.from_uri(uri)
        sizes = _sizes(there, root)
        lacking = [
            (path, name)
            for path, name in _files(places)
            if sizes.get(f"{root}/{name}") != path.stat().st_size
        ]
        for path, name in lacking:
            if isinstance(there, fs.LocalFileSystem):  # a bucket has no folders to make
                there.create_dir(f"{root}/{name}".rpartition("/")[0])
            _copy(path, there, f"{root}/{name}")
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0][:300]
        raise CannotMirror(uri=uri, reason=reason, where=str(places.folder)) from error
    return len(lacking)


def _copy(path: Path, there: fs.FileSystem, name: str) -> None:
    """Copy a file; `pyarrow.fs.copy_files` would be silent about a bucket that refused the last of it."""
    with path.open("rb") as source, there.open_output_stream(name) as sink:
        while part := source.read(MANY):
            sink.write(part)


def _files(places: Places) -> Iterator[tuple[Path, str]]:
    """Yield each file with its name below the folder."""
    for folder in (places.predictions, places.outcomes):
        for path in sorted(folder.glob("slipway_model=*/**/*.parquet")):
            yield path, path.relative_to(places.folder).as_posix()


def _sizes(there: fs.FileSystem, root: str) -> dict[str, int]:
    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    return {each.path: each.size for each in there.get_file_info(selector) if each.is_file}
