"""Where --model points -> the scorer's two files on this machine. The parent process calls this.

The only module of `serving` that imports mlflow, and only for what is not a local folder. Of a
version it fetches the two files by name: no pickle, no `code/`, no MLmodel. They are kept under
their digest, so neither a name nor a version from outside becomes part of a path, and are
compared with it each time they are used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from data.redaction import addresses_around, redact
from serving.errors import ModelError, ModelNotFound, NotPromoted, RegistryDown, WrongDigest
from serving.scorer_format import (
    DOCUMENT_FILE,
    GRAPH_FILE,
    LARGEST_FILE,
    digest_of,
    read_document,
    read_files,
)
from serving.settings import Model

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")
LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]+)")
DIGEST = re.compile(r"[0-9a-f]{64}")
SCORER_FOLDER = "scorer"
PINNED_TAG = "slipway.pinned_digest"
KEPT_ENTRIES = 16
DEFINITE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""The registry's answers that asking again does not change."""

logger = logging.getLogger("serving")
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """What the registry says stands where --model points.

    `pinned` is the digest that was promoted; `source` is where the version's files come from.
    """

    uri: str
    name: str = ""
    version: str = ""
    pinned: str | None = None
    source: str = ""


def is_remote(uri: str) -> bool:
    """Return whether a place is MLflow's to look up; any other is a local folder."""
    return bool(re.match(r"[a-z]+:/", uri))


def local(uri: str) -> Model:
    """Return the version in a folder; raises ModelNotFound."""
    root = Path(uri)
    for folder in (root / SCORER_FOLDER, root):
        if (folder / DOCUMENT_FILE).is_file():
            return Model(str(folder.resolve()), name=root.resolve().name)
    raise ModelNotFound(
        uri=uri, reason="no folder here holds scorer/scorer.json: pass a version that Slipway logged"
    )


def local_whole(uri: str) -> Model:
    """Return any MLflow model in a folder, for MLflow to run; raises ModelNotFound."""
    root = Path(uri)
    if not (root / "MLmodel").is_file():
        raise ModelNotFound(
            uri=uri, reason="no MLflow model here: a folder that MLflow logged has a file MLmodel"
        )
    return Model(str(root.resolve()), name=root.resolve().name, runtime="pyfunc")


def locate(uri: str, cache: Path) -> Model:
    """Return the version for a command that the user runs by hand, promoted or not; raises ServingError."""
    return Cache(cache).fetch(resolve(uri), allow_unpromoted=True) if is_remote(uri) else local(uri)


def resolve(uri: str) -> Found:
    """Ask the registry; raises ModelNotFound for what it does not have, RegistryDown where it cannot be asked."""
    registered = REGISTERED.fullmatch(uri)
    if not registered and not LOGGED.fullmatch(uri) and not re.fullmatch("runs:/.+", uri):
        places = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID, runs:/RUN/PATH or a folder"
        raise ModelNotFound(uri=uri, reason=f"write {places}")
    if not registered:
        return Found(uri)
    return _asking(uri, lambda: _ask_registry(registered))


def _ask_registry(place: re.Match[str]) -> Found:
    import mlflow  # noqa: PLC0415 - 2 s that a local folder does not need

    client, name = mlflow.MlflowClient(), place["name"]
    version = (
        client.get_model_version_by_alias(name, place["alias"])
        if place["alias"]
        else client.get_model_version(name, place["version"])
    )
    number, pinned = str(int(version.version)), version.tags.get(PINNED_TAG)
    return Found(f"models:/{name}/{number}", name, number, pinned, str(version.source or ""))


def _asking(uri: str, ask: Callable[[], T]) -> T:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    try:
        return ask()
    except ModelNotFound:
        raise
    except Exception as error:  # whatever a registry that is broken, slow or another's may cause
        reason = _first_line(error)
        if getattr(error, "error_code", "") in DEFINITE:
            raise ModelNotFound(uri=uri, reason=reason) from error
        raise RegistryDown(uri=uri, reason=reason) from error


def _first_line(error: Exception) -> str:
    """Return an error's first line without the secrets of the addresses in it."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return redact(line, *addresses_around())[:300]


def digest_in(folder: Path) -> str:
    """Return the digest of the two files; raises ModelError."""
    graph, content = read_files(folder)
    return digest_of(graph, read_document(content)[1])


class Cache:
    """Folders named by the digest of the two files in them, and what each place pointed to last."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, found: Found, *, allow_unpromoted: bool) -> Model:
        """Return the version's files, downloaded unless they are here; raises ModelError or RegistryDown."""
        if not allow_unpromoted and not DIGEST.fullmatch(found.pinned or ""):
            raise NotPromoted(uri=found.uri)
        digest = found.pinned if found.pinned and self.holds(found.pinned) else self._download(found)
        if found.pinned and digest != found.pinned:
            raise WrongDigest(expected=found.pinned, found=digest)
        return Model(str(self._root / digest), name=found.name, version=found.version, digest=digest)

    def fetch_whole(self, found: Found) -> Model:
        """Return all files of a version that MLflow runs itself; raises RegistryDown or ModelNotFound.

        No digest was recorded for them: a version's files are taken to stay what they were.
        """
        place = self._root / f"whole-{self._record(f'{found.uri} {found.source}').stem}"
        if not place.is_dir():
            try:
                self._root.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(prefix="new-", dir=self._root) as scratch:
                    came = _asking(found.uri, lambda: _download_whole(found, Path(scratch)))
                    came.replace(place)
            except OSError as error:
                raise RegistryDown(
                    uri=found.uri, reason=f"cache {self._root}: {error.strerror or error}"
                ) from error
        os.utime(place)
        return Model(str(place), name=found.name, version=found.version, runtime="pyfunc")

    def holds(self, digest: str) -> bool:
        """Return whether an intact entry is here; another one is thrown away."""
        entry = self._root / digest
        if not DIGEST.fullmatch(digest) or not entry.is_dir():
            return False
        try:
            if digest_in(entry) == digest:
                os.utime(entry)
                return True
        except (ModelError, OSError) as error:
            logger.warning("cache entry %s is broken (%s), it is fetched again", digest[:12], error)
        shutil.rmtree(entry, ignore_errors=True)
        return False

    def remember(self, uri: str, model: Model) -> None:
        """Record what a place pointed to, for a start without the registry."""
        written = self._record(uri).with_suffix(f".{os.getpid()}")
        try:
            written.write_text(json.dumps(asdict(model)))
            written.replace(self._record(uri))
            self._prune()
        except OSError as error:
            logger.warning("the cache could not note %s: %s", uri, error.strerror)

    def recall(self, uri: str, runtime: str = "scorer") -> Model | None:
        """Return what a place pointed to last, if it is intact and was fetched for the same runtime."""
        try:
            model = Model(**json.loads(self._record(uri).read_text()))
            if model.runtime != runtime:  # nobody asked for a model to run its own code here
                return None
            if runtime == "pyfunc":
                return model if Path(model.folder).is_dir() else None
            known = bool(model.digest and self.holds(model.digest))
            return replace(model, folder=str(self._root / str(model.digest))) if known else None
        except (OSError, ValueError, TypeError):
            return None

    def _record(self, uri: str) -> Path:
        registry = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI", "")
        return self._root / f"{hashlib.sha256(f'{registry} {uri}'.encode()).hexdigest()}.json"

    def _download(self, found: Found) -> str:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="new-", dir=self._root) as scratch:
                _asking(found.uri, lambda: _download_files(found, Path(scratch)))
                digest = digest_in(Path(scratch))
                shutil.rmtree(self._root / digest, ignore_errors=True)
                os.rename(scratch, self._root / digest)  # noqa: PTH104 - Path's leaves the object astray
                Path(scratch).mkdir()  # for the context to remove
        except OSError as error:
            raise RegistryDown(
                uri=found.uri, reason=f"cache {self._root}: {error.strerror or error}"
            ) from error
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


def _download_files(found: Found, folder: Path) -> None:
    import mlflow  # noqa: PLC0415 - as above

    root = found.uri
    if logged := LOGGED.fullmatch(root):  # MLflow's own resolver takes the id for a registered name here
        root = mlflow.MlflowClient().get_logged_model(logged["id"]).artifact_location
    place = f"{root}/{SCORER_FOLDER}"
    sizes = {
        Path(item.path).name: item.file_size for item in mlflow.artifacts.list_artifacts(artifact_uri=place)
    }
    for file in (GRAPH_FILE, DOCUMENT_FILE):
        if file not in sizes:
            reason = (
                f"it has no {SCORER_FOLDER}/{file}: it was made elsewhere; `mlflow models serve` serves it"
            )
            raise ModelNotFound(uri=found.uri, reason=reason)
        if (sizes[file] or 0) > LARGEST_FILE:
            raise ModelNotFound(
                uri=found.uri, reason=f"{file} has {sizes[file]} bytes, most are {LARGEST_FILE}"
            )
        came = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{place}/{file}", dst_path=str(folder)))
        size = came.stat().st_size
        if sizes[file] not in (None, size):
            raise OSError(f"{file} came with {size} of {sizes[file]} bytes")
        came.replace(folder / file)
    for other in folder.glob("*/"):
        shutil.rmtree(other)


def _download_whole(found: Found, folder: Path) -> Path:
    import mlflow  # noqa: PLC0415 - as above

    came = Path(mlflow.artifacts.download_artifacts(artifact_uri=found.uri, dst_path=str(folder / "model")))
    if not (came / "MLmodel").is_file():
        raise ModelNotFound(uri=found.uri, reason="it holds no MLflow model")
    return came


def record_refusal(reason: str) -> None:
    """Write why a command was refused on the run that `mlflow run` opened for it, if there is one."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    import mlflow  # noqa: PLC0415 - see above

    try:
        mlflow.MlflowClient().set_tag(run_id, "slipway.reason", redact(reason, *addresses_around())[:5000])
    except (mlflow.exceptions.MlflowException, OSError) as error:
        logger.warning("run %s: its reason could not be recorded: %s", run_id, error)
