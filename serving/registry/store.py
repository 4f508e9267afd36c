"""Where --model points -> a version's files on this machine. The parent process calls this.

It imports mlflow, but only for what is not a local folder. Of a version for the scorer it fetches the two files by
name: no pickle, no `code/`, no MLmodel. They are kept under their digest, so neither a name nor a version from
outside becomes part of a path, and are compared with it each time they are used. A version that MLflow runs is
fetched whole.

The cache is believed where only its owner can have written: a folder, notes and entries of this user that
nobody else may write to. Against another program of the same user, or the machine's root, nothing here helps.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from data.redaction import addresses_around, redact, redact_address
from serving.errors import (
    CacheDown,
    ModelError,
    ModelNotFound,
    NotInLedger,
    NotPromoted,
    RegistryDown,
    UnsafeCache,
    WrongDigest,
)
from serving.registry.promotions import (
    Entry,
    entries_of,
    find_run,
    moved_in_words,
    newest_move,
    origin_of,
    vouch,
)
from serving.registry.signed import Place, check_signed_folder, signed_version
from serving.scorer import scorer_files, version_files
from serving.settings import Model
from serving.signatures import Signed, Trust

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")
LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]+)")
DIGEST = re.compile(r"[0-9a-f]{64}")
SCORER_FOLDER = "scorer"
KEPT_ENTRIES = 16
CACHE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
DEFINITE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""The registry's answers that asking again does not change."""

os.environ.setdefault(
    "MLFLOW_DISABLE_TELEMETRY", "true"
)  # before mlflow is imported: it counts its users online
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # and picks an environment by a stray lock file

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class ResolvedVersion:
    """What the registry says stands where --model points.

    `pinned` is the digest that was promoted, `recorded` the one that was registered, `files` that of all files;
    `signature` is the bundle that was signed of them; `mark` names the entry that was carried out, and comes after the
    alias; `source` is where the files come from; `made` is what tells a version from a later one of the same name and
    number: when and by what it was made.
    """

    uri: str
    name: str = ""
    version: str = ""
    pinned: str | None = None
    source: str = ""
    made: str = ""
    recorded: str | None = None
    files: str | None = None
    signature: str | None = None
    mark: str | None = field(default=None, compare=False)


def is_remote(uri: str) -> bool:
    """Return whether a place is MLflow's to look up; any other is a local folder."""
    return bool(re.match(r"[a-z]+:/", uri))


def local(uri: str, *, runtime: str = "scorer", trust: Trust | None = None) -> Model:
    """Return the version in a folder; with pyfunc any MLflow model there. Raises ModelNotFound or NotTrusted."""
    model = _whole_in(Path(uri)) if runtime == "pyfunc" else _scorer_in(Path(uri))
    if trust:
        check_signed_folder(trust, model, Path(uri))
    return model


def _scorer_in(root: Path) -> Model:
    for folder in (root / SCORER_FOLDER, root):
        if (folder / scorer_files.DOCUMENT_FILE).is_file():
            return Model(str(folder.resolve()), name=root.resolve().name)
    raise ModelNotFound(
        uri=str(root), reason="no folder here holds scorer/scorer.json: pass a version that Slipway logged"
    )


def _whole_in(root: Path) -> Model:
    if not (root / "MLmodel").is_file():
        raise ModelNotFound(
            uri=str(root), reason="no MLflow model here: a folder that MLflow logged has a file MLmodel"
        )
    return Model(str(root.resolve()), name=root.resolve().name, runtime="pyfunc")


def locate(
    uri: str, cache: Path, trust: Trust | None = None, *, resolved: ResolvedVersion | None = None
) -> Model:
    """Return the version for a command that the user runs by hand, promoted or not; raises ServingError.

    `resolved` is what the registry says of the place, where it was asked already.
    """
    if not is_remote(uri):
        return local(uri, trust=trust)
    resolved = resolved or resolve(uri)
    said = vouched(resolved, by_alias=is_alias(uri))
    if said.moved:
        logger.warning("%s", said.moved)
    signed = signed_for(trust, uri, resolved, newest=said.newest) if trust else None
    model = Cache(cache).fetch(resolved, allow_unpromoted=True)
    if signed:
        signed.check_files(Path(model.folder))
    return model


def is_alias(uri: str) -> bool:
    """Return whether a version was asked for by an alias, which can be moved."""
    return "@" in uri


def signed_for(
    trust: Trust, uri: str, resolved: ResolvedVersion, *, newest: int | None, seen: int = 0
) -> Signed:
    """Return what a trusted key signed of what a place points to; raises NotTrusted.

    Parameters
    ----------
    newest : int or None
        The newest entry of the ledger that moved the alias; None where nobody can be asked.
    seen : int
        The newest entry that was served here.
    """
    return signed_version(
        trust,
        resolved.signature,
        name=resolved.name,
        version=resolved.version,
        place=Place(newest, seen) if is_alias(uri) else None,
    )


def resolve(uri: str) -> ResolvedVersion:
    """Ask the registry; raises ModelNotFound for what it does not have, RegistryDown where it cannot be asked."""
    registered = REGISTERED.fullmatch(uri)
    if not registered and not LOGGED.fullmatch(uri) and not re.fullmatch("runs:/.+", uri):
        forms = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID, runs:/RUN/PATH or a folder"
        raise ModelNotFound(uri=uri, reason=f"write {forms}")
    if not registered:
        return ResolvedVersion(uri)
    return _asking(uri, lambda: _ask_registry(registered))


def _ask_registry(match: re.Match[str]) -> ResolvedVersion:
    import mlflow  # noqa: PLC0415 - 2 s that a local folder does not need

    client, name = mlflow.MlflowClient(), match["name"]
    version = (
        client.get_model_version_by_alias(name, match["alias"])
        if match["alias"]
        else client.get_model_version(name, match["version"])
    )
    number, tags = str(int(version.version)), version.tags
    made = (version.creation_timestamp, version.run_id, version.model_id, tags.get(version_files.DIGEST_TAG))
    return ResolvedVersion(
        f"models:/{name}/{number}",
        name,
        number,
        tags.get(version_files.PINNED_TAG),
        str(version.source or ""),
        " ".join(str(each or "-") for each in made),
        tags.get(version_files.DIGEST_TAG),
        tags.get(version_files.FILES_TAG),
        tags.get(version_files.SIGNATURE_TAG),
        tags.get(version_files.ENTRY_TAG),
    )


def registry_address() -> str:
    """Return which registry is asked, absolute and without credentials; nobody is asked for that."""
    import mlflow  # noqa: PLC0415 - as above

    uri = redact_address(str(mlflow.get_registry_uri()))
    file = _database_file(uri)
    return f"sqlite:///{file.absolute()}" if file else uri


def _database_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for any other store."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///(?!file:|:memory:)(?P<path>[^?]+)(?:\?.*)?", uri)
    return Path(unquote(match["path"])) if match else None


def _check_database() -> None:
    """Raise OSError where SQLite would make a new, empty database."""
    import mlflow  # noqa: PLC0415 - as above

    for uri in (mlflow.get_tracking_uri(), mlflow.get_registry_uri()):
        file = _database_file(str(uri))
        if file and not file.is_file():
            raise FileNotFoundError(
                f"there is no database {file.absolute()}: set MLFLOW_TRACKING_URI, or start where it lies"
            )


@dataclass(frozen=True)
class Vouched:
    """What the ledger says: how an alias differs from it, or nothing; and its newest entry that moved the alias."""

    moved: str = ""
    newest: int = 0


def vouched(resolved: ResolvedVersion, *, by_alias: bool = False) -> Vouched:
    """Hold a version's tags to the ledger of its name, and return what that says.

    Raises
    ------
    NotInLedger, LedgerUnreadable
        The name has a ledger, and it does not say what the tags say; a name without one is as it was.
    RegistryDown
        It cannot be asked.
    """
    if not resolved.name:
        return Vouched()
    entries = _asking(resolved.uri, lambda: _ledger_of(resolved.name))
    said = vouch(
        entries, name=resolved.name, version=resolved.version, pinned=resolved.pinned, files=resolved.files
    )
    if said is None and resolved.pinned and (other := _asking(resolved.uri, lambda: _origin_of(resolved))):
        fault = f"MLflow copied it from {other}, pin and all, and nobody promoted it here (-e copy does)"
        raise NotInLedger(name=resolved.name, version=resolved.version, fault=fault)
    moved = moved_in_words(entries, resolved.name, resolved.version) if by_alias else ""
    return Vouched(moved, newest_move(entries))


def _origin_of(resolved: ResolvedVersion) -> str:
    import mlflow  # noqa: PLC0415 - as above

    return origin_of(mlflow.MlflowClient(), resolved.mark or "", resolved.name) if resolved.mark else ""


def _ledger_of(name: str) -> tuple[Entry, ...]:
    import mlflow  # noqa: PLC0415 - as above

    run = find_run(mlflow.MlflowClient(), name)
    return entries_of(name, run.data.params) if run else ()


def _asking(uri: str, ask: Callable[[], T]) -> T:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    try:
        _check_database()
        return ask()
    except (ModelNotFound, ModelError):
        raise
    except Exception as error:  # whatever a registry that is broken, slow or another's may cause
        if isinstance(error, OSError) and error.errno in CACHE_ERRORS:
            raise  # it is the place of the download that fails
        for (
            number
        ) in CACHE_ERRORS:  # MLflow makes an error of its own of what went wrong with some of many files
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number)) from error
        reason = _first_line(error)
        if getattr(error, "error_code", "") in DEFINITE:
            asked = f"asked was {registry_address()}"
            raise ModelNotFound(uri=uri, reason=f"{reason.rstrip('.')} ({asked})") from error
        raise RegistryDown(uri=uri, reason=reason) from error


def _first_line(error: Exception) -> str:
    """Return an error's first line without the secrets of the addresses in it."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return redact(line, *addresses_around())[:300]


class Cache:
    """Folders named by the digest of the two files in them, and what each place pointed to last."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, resolved: ResolvedVersion, *, allow_unpromoted: bool) -> Model:
        """Return the version's files, downloaded unless they are here; raises ModelError or RegistryDown."""
        if not allow_unpromoted and not DIGEST.fullmatch(resolved.pinned or ""):
            raise NotPromoted(uri=resolved.uri)
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
                came = _asking(resolved.uri, lambda: _download_whole(resolved, scratch))
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

    def recall(self, uri: str, runtime: str = "scorer") -> tuple[Model, ResolvedVersion] | None:
        """Return what a place pointed to last, if it is intact and was fetched for the same runtime."""
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
        return (replace(model, folder=str(folder)), resolved) if intact else None

    def _record(self, uri: str) -> Path:
        asked = f"{registry_address()} {uri}"
        return self._root / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"

    def _download(self, resolved: ResolvedVersion) -> str:
        with self._scratch(resolved.uri) as scratch:
            _asking(resolved.uri, lambda: _download_files(resolved, scratch))
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


def _download_files(resolved: ResolvedVersion, folder: Path) -> None:
    import mlflow  # noqa: PLC0415 - as above

    root = resolved.uri
    if logged := LOGGED.fullmatch(root):  # MLflow's own resolver takes the id for a registered name here
        root = mlflow.MlflowClient().get_logged_model(logged["id"]).artifact_location
    uri = f"{root}/{SCORER_FOLDER}"
    sizes = {
        Path(item.path).name: item.file_size for item in mlflow.artifacts.list_artifacts(artifact_uri=uri)
    }
    if not sizes and not mlflow.artifacts.list_artifacts(artifact_uri=root):
        reason = "its files are gone from the artifact store: restore them, or go back with rollback"
        raise ModelNotFound(uri=resolved.uri, reason=reason)
    for file in scorer_files.FILES:
        if file not in sizes and file == scorer_files.EXPLAIN_FILE:
            continue  # the document says whether there must be one
        if file not in sizes:
            raise ModelNotFound(uri=resolved.uri, reason=_why_absent(root, file))
        if (sizes[file] or 0) > scorer_files.LARGEST_FILE:
            raise ModelNotFound(
                uri=resolved.uri,
                reason=f"{file} has {sizes[file]} bytes, most are {scorer_files.LARGEST_FILE}",
            )
        came = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/{file}", dst_path=str(folder)))
        size = came.stat().st_size
        if sizes[file] not in (None, size):
            raise OSError(f"{file} came with {size} of {sizes[file]} bytes")
        came.replace(folder / file)
    for other in folder.glob("*/"):
        shutil.rmtree(other)


def _why_absent(root: str, file: str) -> str:
    """Return why a version lacks one of the scorer's files."""
    import mlflow  # noqa: PLC0415 - as above

    with suppress(mlflow.exceptions.MlflowException):
        if mlflow.artifacts.list_artifacts(artifact_uri=root):
            return f"it has no {SCORER_FOLDER}/{file}: it was made elsewhere; `mlflow models serve` serves it"
    return "its files are gone: they were deleted after it was registered; point to another version"


def _download_whole(resolved: ResolvedVersion, folder: Path) -> Path:
    import mlflow  # noqa: PLC0415 - as above

    came = Path(
        mlflow.artifacts.download_artifacts(artifact_uri=resolved.uri, dst_path=str(folder / "model"))
    )
    if not (came / "MLmodel").is_file():
        raise ModelNotFound(uri=resolved.uri, reason="it holds no MLflow model")
    version_files.only_files(came)
    if resolved.files:
        version_files.check_files(came, resolved.files)
    return came


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
