"""Which folder or file an output names, on a disk or in a bucket."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from data.redaction import redact_address
from data.sources import is_remote
from serving.batch.outputs.bucket_folder import BucketFolder
from serving.batch.outputs.disk_folder import DiskFolder
from serving.batch.outputs.part_folder import PartFolder, refuse_name
from serving.errors import BadOutput


def folder_of(output: str) -> PartFolder:
    """Return the folder that is named; raises BadOutput for a store that nothing is written to."""
    if not is_remote(output):
        return DiskFolder(Path(output))
    if not output.lower().startswith("s3://"):
        raise BadOutput(
            reason=f"output {redact_address(output)!r} is in a store that is only read",
            repair="write to a disk, or to s3://bucket/folder/",
        )
    return BucketFolder(output.rstrip("/"))


def whole_file(output: str) -> AbstractContextManager[Path]:
    """Yield where to write what appears under a name once it is whole; raises BadOutput as `folder_of`."""
    if not is_remote(output):
        path = Path(output)
        path = path.resolve() if path.is_symlink() else path  # who made a link wants the file that it names
        return DiskFolder(path.parent).whole(path.name)
    folder, name = _in_bucket(output)
    return folder.whole(name)


def check_output(output: str, *, read: str = "") -> None:
    """Raise BadOutput or OutOfReach where no CSV or Parquet file can be written so, or it is the one that is `read`."""
    refuse_name(output)
    if Path(output).suffix not in (".csv", ".parquet"):
        raise BadOutput(
            reason=f"output {Path(output).name!r} names no format",
            repair="end it in .csv or .parquet, or in / for a folder of parts",
        )
    if is_remote(output):
        _in_bucket(output)[0].check("")
        is_read = output == read
    else:
        path = Path(output)
        if not path.absolute().parent.is_dir():
            raise BadOutput(
                reason=f"there is no folder {path.parent}", repair="make it, or pass an absolute path"
            )
        is_read = path.is_file() and Path(read).is_file() and path.samefile(read)
    if is_read:
        name = output.rpartition("/")[2]
        raise BadOutput(reason=f"output {name!r} is the input", repair="name another file")


def _in_bucket(output: str) -> tuple[PartFolder, str]:
    folder, _, name = output.rpartition("/")
    if not is_remote(folder):
        raise BadOutput(reason=f"output {output!r} names no bucket", repair="write s3://bucket/file.parquet")
    return folder_of(folder), name
