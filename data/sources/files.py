"""A file by its path or address: its bytes, its size, and what tells it from what it was before a change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from data.sources import remote, stores

Result = TypeVar("Result")


def open_file(path: str, *, whole: bool = True) -> BinaryIO:
    """Open a file to read anywhere; one far away is asked for in large parts if it is read as a whole."""
    if stores.is_remote(path):
        return remote.opened(path, remote.AHEAD if whole else 0)
    return Path(path).open("rb")


def size_of(path: str) -> int:
    """Return how many bytes a file has."""
    return state_of(path)[0]


def state_of(path: str) -> tuple[int, int]:
    """Return a file's bytes, and when they were written, in nanoseconds."""
    if stores.is_remote(path):
        told = remote.about(path)
        return int(told.size or 0), int(told.mtime_ns or 0)
    result = Path(path).stat()
    return result.st_size, result.st_mtime_ns


def base_of_all(paths: Sequence[str]) -> str:
    """Return the folder that all files are in, however it was named."""
    if stores.is_remote(paths[0]):
        scheme = paths[0].partition("://")[0]
        folders = [path.partition("://")[2].rpartition("/")[0] for path in paths]
        return f"{scheme}://{os.path.commonpath(folders)}"
    return os.path.commonpath([Path(path).absolute().parent for path in paths])


def identity_of(path: str, base: str) -> str:
    """Return what tells a file from another one, and from what it was before a change."""
    name = path.removeprefix(f"{base}/") if stores.is_remote(path) else os.path.relpath(path, base)
    return " ".join(map(str, (name, *state_of(path))))


def of_each(question: Callable[[str], Result], paths: Sequence[str]) -> Iterable[Result]:
    """Yield what is found of each file: far away, all are asked about before the first answer is used."""
    if paths and stores.is_remote(paths[0]):
        return remote.each_at_once(question, paths)
    return map(question, paths)
