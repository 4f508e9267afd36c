"""What MLflow's registry says: which version a place means, and what the ledger of promotions says of it.

It asks, and downloads nothing. A registry that does not answer is told apart from one that says no.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from data.redaction import addresses_around, redact, redact_address
from serving.errors import ModelError
from serving.registry.errors import ModelNotFound, NotInLedger, RegistryDown
from serving.registry.promotions import (
    Entry,
    entries_of,
    find_run,
    moved_in_words,
    newest_move,
    origin_of,
    vouch,
)
from serving.registry.signed import Place, signed_version
from serving.scorer import version_files
from serving.signatures import Signed, Trust

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")
LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]+)")
CACHE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
DEFINITE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""The registry's answers that asking again does not change."""

os.environ.setdefault(
    "MLFLOW_DISABLE_TELEMETRY", "true"
)  # before mlflow is imported: it counts its users online
os.environ.setdefault(
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"
)  # two bars for each fetched file of a log
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # and picks an environment by a stray lock file

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
    return asking(uri, lambda: _ask_registry(registered))


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
    entries = asking(resolved.uri, lambda: _ledger_of(resolved.name))
    said = vouch(
        entries, name=resolved.name, version=resolved.version, pinned=resolved.pinned, files=resolved.files
    )
    if said is None and resolved.pinned and (other := asking(resolved.uri, lambda: _origin_of(resolved))):
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


def asking(uri: str, ask: Callable[[], T]) -> T:
    """Return what MLflow answers; raises RegistryDown where it does not, ModelNotFound where it says no."""
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
