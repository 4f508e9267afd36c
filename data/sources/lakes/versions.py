"""Which version of a table an address names, and what to say where none can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pa_fs

from data.errors import UnreadableSource
from data.facts import FactError
from data.sources import remote, stores

_VERSION = re.compile(r"(?P<table>.*[^/])/?@v?(?P<version>\d+)")
_AROUND = re.compile(r"\x1b\[[\d;]*m|↳|, after \d+ retries,.*?retry_timeout\W*\w+", re.DOTALL)
"""What deltalake writes around the lines of its reasons, the last of which says the most, and how long it tried."""


def split_version(where: str) -> tuple[str, int | None]:
    """Return a table, and the version of it that an address names, None for the newest.

    >>> split_version("s3://bucket/flights@3"), split_version("flights/")
    (('s3://bucket/flights', 3), ('flights', None))
    """
    found = _VERSION.fullmatch(where)
    if not found or (not stores.is_remote(where) and Path(where).exists()):
        return where.rstrip("/"), None
    return found["table"], int(found["version"])


def is_folder(where: str) -> bool:
    """Return whether there is a folder, here or in a store; raises OutOfReach."""
    if stores.is_remote(where):
        return bool(remote.about(where).type == pa_fs.FileType.Directory)
    return Path(where).is_dir()


def lacks(where: str, what: str, package: str, extra: str) -> UnreadableSource:
    """Return what to say where a library is not installed."""
    return UnreadableSource(
        where=where, reason=f"{what} needs {package}", repair=f"pip install '.[{extra}]' in Slipway's folder"
    )


@contextmanager
def by_library(
    where: str, kind: str, *, done: str = "read", repair: str = "pass a newer version, or export it"
) -> Iterator[None]:
    """Raise UnreadableSource in place of whatever a library raises that meets a table it cannot read, or write.

    That is anything: of a log or a list of files that is broken off, theirs let through what their parsers raise.
    """
    try:
        yield
    except (FactError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise _given_up(where, f"{done} as {kind}", repair, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what a library in Rust raises, and no Exception
            raise
        raise _given_up(where, f"{done} as {kind}", repair, error) from error


def _given_up(where: str, what: str, repair: str, error: BaseException) -> UnreadableSource:
    """Return what to say where a library gave up: its own reason in one line."""
    said = " ".join(_AROUND.sub(" ", str(error)).split()) or type(error).__name__
    if stores.is_remote(where) and isinstance(error, OSError):
        return stores.FileStore.of(where).fault(where, OSError(said))
    reason = stores.without_secrets(said)[:300]
    return UnreadableSource(where=where, reason=f"cannot be {what}: {reason}", repair=repair)
