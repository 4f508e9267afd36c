"""What is in a packed file: gzip, Zstandard, bzip2, LZ4, or a zip archive of one file.

Its first bytes say how it is packed, not its ending. It is unpacked to disk (to the folder for temporary files), so
that a small file which unpacks to a large one takes no memory, and up to a limit, so that it does not take the disk.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from data.errors import UnreadableSource
from data.figures import number
from data.sources.files import open_file

MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "RAR", b"\xfd7zXZ\x00": "xz"}
ENDINGS = (".gz", ".zst", ".bz2", ".lz4", ".zip")
LARGEST = 16 * 2**30
"""Bytes that a file may unpack to."""

_PART = 2**20


def packing_of(path: str) -> str:
    """Return how a file is packed, "" where it is not; raises UnreadableSource for what cannot be unpacked here."""
    with open_file(path, whole=False) as file:
        start = file.read(8)
    for magic, name in FOREIGN.items():
        if start.startswith(magic):
            raise UnreadableSource(where=path, reason=f"is packed with {name}", repair="unpack it first")
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")


def plain_name(path: str) -> str:
    """Return the name of what is in a file: its own, without the ending of a packed one."""
    if Path(path).suffix.lower() not in ENDINGS:
        return path
    if packing_of(path) == "zip":
        with _archive(path) as archive:
            return _member(path, archive)
    return str(Path(path).with_suffix(""))


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Yield what is in a file, unpacked, as a file to read anywhere; raises UnreadableSource."""
    packing = packing_of(path)
    if not packing:
        with open_file(path) as file:
            yield file
        return
    with tempfile.TemporaryFile() as plain:
        _unpack(path, packing, cast("BinaryIO", plain))
        plain.seek(0)
        yield cast("BinaryIO", plain)


def _unpack(path: str, packing: str, plain: BinaryIO) -> None:
    try:
        if packing == "zip":
            with _archive(path) as archive, archive.open(_member(path, archive)) as member:
                _copy(path, cast("BinaryIO", member), plain)
        else:
            with open_file(path) as file, pa.CompressedInputStream(file, packing) as stream:
                _copy(path, stream, plain)
    except (pa.ArrowException, OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        reason = f"cannot be unpacked: {(str(error) or type(error).__name__).splitlines()[0]}"
        raise UnreadableSource(
            where=path, reason=reason, repair="check that it is whole, or unpack it first"
        ) from error


def _copy(path: str, packed: BinaryIO, plain: BinaryIO) -> None:
    while part := packed.read(_PART):
        if plain.tell() + len(part) > LARGEST:
            raise UnreadableSource(
                where=path,
                reason=f"unpacks to more than {number(LARGEST / 2**30, 3)} GB",
                repair="unpack it, and pass what comes out",
            )
        if plain.tell() % (64 * _PART) == 0 and shutil.disk_usage(tempfile.gettempdir()).free < 65 * _PART:
            raise UnreadableSource(
                where=path,
                reason=f"unpacks to more than {tempfile.gettempdir()} has room for",
                repair="set TMPDIR to a folder that has",
            )
        plain.write(part)


@contextmanager
def _archive(path: str) -> Iterator[zipfile.ZipFile]:
    with open_file(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise UnreadableSource(
                where=path, reason="is a broken zip archive", repair="check that it is whole"
            ) from error
        with archive:
            yield archive


def _member(path: str, archive: zipfile.ZipFile) -> str:
    """Return the name of the only file in an archive, apart from what macOS adds."""
    names = [
        each.filename
        for each in archive.infolist()
        if not each.is_dir() and not each.filename.startswith("__MACOSX/")
    ]
    if len(names) == 1:
        return names[0]
    if "[Content_Types].xml" in names:
        raise UnreadableSource(where=path, reason="is a workbook", repair="let its name end in .xlsx")
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    reason = f"holds {len(names)} files ({shown})" if names else "holds no file"
    raise UnreadableSource(where=path, reason=reason, repair="unpack it, and pass one of them or the folder")
