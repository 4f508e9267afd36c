"""A folder in a bucket of S3: an object appears when the last byte of it has come, and not at all before.

A file is made on this disk, and sent when it is whole. What was sent of one before its process was killed is in no
list and no folder; the bucket keeps it, and charges for it, until its rule for unfinished uploads takes it away.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import fs

from data.errors import OutOfReach
from data.own_files import own_folder
from data.sources import asked_of, opened
from serving.batch.outputs.part_folder import refuse_input, room_for
from serving.errors import BadOutput

CLAIM = ".claim-"
"""How objects begin by which the folder is held; pyarrow has no PUT that a store takes from one alone."""
CLAIM_SECONDS = 300
"""After which a claim is taken for one of who was killed."""
PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class BucketFolder:
    """A `PartFolder` in a bucket.

    Attributes
    ----------
    where : str
        Its address, without a / at the end; keys come from the environment of who writes.
    """

    where: str

    def __str__(self) -> str:
        return self.where

    def check(self, read: str) -> None:
        """Raise BadOutput or OutOfReach; whether parts can be written there, the first one tells."""
        refuse_input(self.where, read)
        if not self.names():
            asked_of(self.where, _refuse_no_bucket)

    def make(self) -> None:
        """Do nothing: a folder is there when something is in it."""

    def names(self) -> list[str]:
        """Return what is in it."""

        def listed(store: Any) -> list[str]:
            chosen = fs.FileSelector(store.path(self.where), allow_not_found=True)
            return [info.base_name for info in store.files.get_file_info(chosen)]

        return asked_of(self.where, listed)

    def size(self, name: str) -> int | None:
        """Return how many bytes an object has."""
        where = self._address(name)
        info = asked_of(where, lambda store: store.files.get_file_info(store.path(where)))
        return int(info.size) if info.is_file else None

    def opened(self, name: str) -> BinaryIO:
        """Open an object to read it."""
        try:
            return opened(self._address(name))
        except OutOfReach as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise FileNotFoundError(f"{self._address(name)} is not there") from error
            raise

    @contextmanager
    def whole(self, name: str, allow: Callable[[], None] | None = None) -> Iterator[Path]:
        """Yield a path on this disk, and send what is there; what is not allowed is taken away again."""
        with tempfile.TemporaryDirectory(dir=own_folder()) as made:
            path = Path(made) / name
            with room_for(f"{self._address(name)}, in {path.parent} before it is sent,"):
                yield path
            size = path.stat().st_size
            _send(path, self._address(name))
        if allow:
            self._take_back(name, unless=allow)
        found = self.size(name)
        if found is None and allow:
            raise FileNotFoundError(f"{self._address(name)} is gone")
        if found != size:
            raise OutOfReach(
                where=self._address(name),
                reason="is not what was sent",
                repair="another one may write there, or answer for the store: check that, and run the same again",
            )

    def _take_back(self, name: str, *, unless: Callable[[], None]) -> None:
        """Remove an object for which something is raised, twice: the second time nobody changes the folder."""
        try:
            unless()
        except BadOutput:
            with self.held():
                try:
                    unless()
                except BadOutput:
                    self.remove(name)
                    raise

    def rename(self, name: str, other: str) -> None:
        """Copy an object, and remove it then."""

        def moved(store: Any) -> None:
            with suppress(FileNotFoundError):
                store.files.move(store.path(self._address(name)), store.path(self._address(other)))

        asked_of(self._address(name), moved)

    def remove(self, name: str) -> None:
        """Remove an object."""

        def removed(store: Any) -> None:
            with suppress(FileNotFoundError):
                store.files.delete_file(store.path(self._address(name)))

        asked_of(self._address(name), removed)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put a claim into it, and wait until that is the only one: of two who do, one sees the other's at least.

        A store takes no lock away from who was killed. So a claim counts as long as it is young.
        """
        claim = f"{CLAIM}{secrets.token_hex(8)}"
        try:
            while self._is_contested(claim):
                time.sleep(PAUSE_SECONDS * (1 + secrets.randbelow(100) / 100))
            yield
        finally:
            self.remove(claim)

    def _is_contested(self, claim: str) -> bool:
        """Claim anew, and return whether others do; of these all but the first by name let go for a while."""

        def listed(store: Any) -> dict[str, float]:
            _put(store, self._address(claim), claim.encode())
            found = store.files.get_file_info(fs.FileSelector(store.path(self.where)))
            return {each.base_name: each.mtime_ns / 1e9 for each in found if each.base_name.startswith(CLAIM)}

        claims = asked_of(self.where, listed)
        now = claims.pop(claim)
        old = [name for name, when in claims.items() if when < now - CLAIM_SECONDS]
        for name in old:
            self.remove(name)
        others = claims.keys() - set(old)
        if others and min(others) < claim:
            self.remove(claim)
        return bool(others)

    def _address(self, name: str) -> str:
        return f"{self.where}/{name}"


def _refuse_no_bucket(store: Any) -> None:
    if store.files.get_file_info(store.root.rstrip("/")).type == fs.FileType.NotFound:
        raise OSError("NO_SUCH_BUCKET")


def _send(path: Path, where: str) -> None:
    """Send a file in one call, and in a thread, where no Ctrl-C comes in between.

    A stream of pyarrow's that is dropped before it is closed ends as if all had been written.
    """
    with pa.memory_map(str(path)) as file:
        content = file.read_buffer()

    with ThreadPoolExecutor(1) as beside:
        beside.submit(asked_of, where, lambda store: _put(store, where, content)).result()


def _put(store: Any, where: str, content: pa.Buffer | bytes) -> None:
    stream = store.files.open_output_stream(store.path(where), compression=None)
    stream.write(content)
    stream.close()
