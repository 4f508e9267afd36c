"""Versions' files on this machine, kept under their digest, and what each place pointed to last.

So neither a name nor a version from outside becomes part of a path, and files are compared with their digest each
time they are used.

The cache is believed where only its owner can have written: a folder, notes and entries of this user that
nobody else may write to. Against another program of the same user, or the machine's root, nothing here helps.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from serving.errors import ModelError
from serving.registry.answers import ResolvedVersion, asking, registry_address
from serving.registry.downloads import download_files, download_whole
from serving.registry.errors import CacheDown, NotPromoted, UnsafeCache
from serving.scorer import scorer_files, version_files
from serving.scorer.errors import WrongDigest
from serving.settings import Model

DIGEST = re.compile(r"[0-9a-f]{64}")
KEPT_ENTRIES = 16

logger = logging.getLogger(__name__)


class Cache:
    """Folders named by the digest of the two files in them, and what each place pointed to last."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, resolved: ResolvedVersion, *, allow_unpromoted: bool) -> Model:
        """Return the version's files, downloaded unless they are here; raises ModelError or RegistryDown."""
        if not allow_unpromoted:
            _refuse_unpromoted(resolved)
        expected = resolved.pinned or resolved.recorded
        digest = expected if expected and self.holds(expected) else self._download(resolved)
        if expected and digest != expected:
            raise WrongDigest(expected=expected, found=digest)
        if not resolved.pinned:
            logger.warning("%s: no promotion vouches for it", resolved.uri)
        return Model(str(self._root / digest), name=resolved.name, version=resolved.version, digest=digest)

    def fetch_whole(self, resolved: ResolvedVersion) -> Model:
        """Return all files of a version that MLflow runs itself; raises ModelError, RegistryDown or ModelNotFound.

        They are compared with the digest that Slipway recorded when it registered the version. Of a model that others
        registered there is none: its files are taken to stay what they were.
        """
        folder = self._place_of_whole(resolved)
        if not (_is_ours(folder) and _is_whole(folder, resolved.files)):
            with self._scratch(resolved.uri) as scratch:
                came = asking(resolved.uri, lambda: download_whole(resolved, scratch))
                shutil.rmtree(folder, ignore_errors=True)
                came.chmod(0o700)
                came.replace(folder)
        _touch(folder)
        return Model(str(folder), name=resolved.name, version=resolved.version, runtime="pyfunc")

    def _place_of_whole(self, resolved: ResolvedVersion) -> Path:
        return self._root / f"whole-{self._record(f'{resolved.uri} {resolved.source} {resolved.made}').stem}"

    @contextmanager
    def _scratch(self, uri: str) -> Iterator[Path]:
        """Give a folder for a download; raises CacheDown or UnsafeCache."""
        try:
            self.check()
            with tempfile.TemporaryDirectory(prefix="new-", dir=self._root) as scratch:
                yield Path(scratch)
        except OSError as error:
            raise CacheDown(uri=uri, folder=self._root, reason=error.strerror or str(error)) from error

    def check(self) -> None:
        """Make the folder unless it is there; raises OSError, or UnsafeCache where others can write to it."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self._root.stat()
        if status.st_uid != os.geteuid():
            raise UnsafeCache(
                folder=self._root, reason=f"belongs to user {status.st_uid}, not to {os.geteuid()}"
            )
        if status.st_mode & 0o022:
            raise UnsafeCache(folder=self._root, reason="can be written by others")
        if status.st_mode & 0o077:
            self._root.chmod(0o700)

    def holds(self, digest: str) -> bool:
        """Return whether an intact entry is here; another one is thrown away."""
        entry = self._root / digest
        if not DIGEST.fullmatch(digest) or not entry.is_dir():
            return False
        try:
            if _is_ours(entry) and scorer_files.digest_in(entry) == digest:
                _touch(entry)
                return True
        except (ModelError, OSError) as error:
            logger.warning("cache entry %s is broken (%s), it is fetched again", digest[:12], error)
        shutil.rmtree(entry, ignore_errors=True)
        return False

    def drop(self, model: Model) -> None:
        """Throw a version's files away, so that they are fetched again."""
        shutil.rmtree(model.folder, ignore_errors=True)

    def remember(self, uri: str, model: Model, resolved: ResolvedVersion, *, entry: int = 0) -> None:
        """Record what a place pointed to, for a start without the registry, and the entry that it was signed for."""
        note = {
            "model": asdict(model),
            "found": asdict(resolved),
            "entry": max(entry, self.newest_entry(uri)),
        }
        written = self._record(uri).with_suffix(f".{os.getpid()}")
        try:
            written.touch(mode=0o600)
            written.write_text(json.dumps(note))
            written.replace(self._record(uri))
            self._prune()
        except OSError as error:
            logger.warning("the cache could not note %s: %s", uri, error.strerror)

    def newest_entry(self, uri: str) -> int:
        """Return the newest entry of the ledger that a version was signed for that was served here; 0 for none."""
        try:
            return int(self._noted(uri).get("entry", 0))
        except (OSError, ValueError, TypeError, AttributeError):
            return 0

    def _noted(self, uri: str) -> Any:
        note = self._record(uri)
        return json.loads(note.read_text()) if _is_ours(note) else {}

    def recall(
        self, uri: str, runtime: str = "scorer", *, allow_unpromoted: bool = False
    ) -> tuple[Model, ResolvedVersion] | None:
        """Return what a place pointed to last, if it is intact and was fetched for the same runtime.

        Raises NotPromoted, as `fetch` does: an earlier start may have allowed what this one does not.
        """
        try:
            self.check()
            written = self._noted(uri)
            model, resolved = Model(**written["model"]), ResolvedVersion(**written["found"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if model.runtime != runtime:  # nobody asked for a model to run its own code here
            return None
        digest = str(model.digest)
        is_whole = runtime == "pyfunc"
        folder = self._place_of_whole(resolved) if is_whole else self._root / digest
        intact = _is_ours(folder) and _is_whole(folder, resolved.files) if is_whole else self.holds(digest)
        if intact and not is_whole and not allow_unpromoted:
            _refuse_unpromoted(resolved)
        return (replace(model, folder=str(folder)), resolved) if intact else None

    def _record(self, uri: str) -> Path:
        asked = f"{registry_address()} {uri}"
        return self._root / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"

    def _download(self, resolved: ResolvedVersion) -> str:
        with self._scratch(resolved.uri) as scratch:
            asking(resolved.uri, lambda: download_files(resolved, scratch))
            return self._keep(scratch)

    def put_back(self, uri: str, files: Mapping[str, bytes], digest: str) -> bool:
        """Keep files again that were lost here; returns whether they are what they were. Raises CacheDown."""
        with self._scratch(uri) as scratch:
            for name, content in files.items():
                (scratch / name).write_bytes(content)
            return scorer_files.digest_in(scratch) == digest == self._keep(scratch)

    def _keep(self, scratch: Path) -> str:
        """Give the files in a folder their place; return their digest."""
        digest = scorer_files.digest_in(scratch)
        shutil.rmtree(self._root / digest, ignore_errors=True)
        os.rename(scratch, self._root / digest)  # noqa: PTH104 - Path's leaves the object astray
        scratch.mkdir()  # for the context to remove
        return digest

    def _prune(self) -> None:
        entries = [path for path in self._root.iterdir() if path.is_dir()]
        abandoned = [
            path
            for path in entries
            if path.name.startswith("new-") and path.stat().st_mtime < time.time() - 3600
        ]
        kept = (path for path in entries if DIGEST.fullmatch(path.name) or path.name.startswith("whole-"))
        whole = sorted(kept, key=lambda path: path.stat().st_mtime)
        for path in [*abandoned, *whole[:-KEPT_ENTRIES]]:
            shutil.rmtree(path, ignore_errors=True)


def _refuse_unpromoted(resolved: ResolvedVersion) -> None:
    """Raise NotPromoted for a version that no promotion vouches for."""
    if not DIGEST.fullmatch(resolved.pinned or ""):
        raise NotPromoted(uri=resolved.uri)


def _is_ours(path: Path) -> bool:
    """Return whether a folder or file is this user's own, and nobody else may write to it."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _touch(entry: Path) -> None:
    with suppress(OSError):  # a cache that can only be read serves what it holds
        os.utime(entry)


def _is_whole(folder: Path, files: str | None) -> bool:
    """Return whether a version's files are here, intact where that can be told; others are thrown away."""
    if folder.is_dir():
        try:
            version_files.only_files(folder)  # whatever ran its code may have left bytecode there
            if files:
                version_files.check_files(folder, files)
        except (ModelError, OSError) as error:
            logger.warning("cache entry %s is broken (%s), it is fetched again", folder.name[:18], error)
            shutil.rmtree(folder, ignore_errors=True)
    return folder.is_dir()
