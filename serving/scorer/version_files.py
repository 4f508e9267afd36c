"""All files of a version under one digest: what a version is trusted by where more of it is loaded than the scorer.

The digest is the SHA-256 of what `sha256sum` prints for the files in the order of their paths, so it can be made
without Slipway. MLflow adds a file of its own where it fetches a version, and Python its bytecode where it imports
from one: these are no part of the version, and `only_files` removes them before anything is loaded. Bytecode is code
all the same, which Python may run in place of the source beside it: a folder that is not ours to clean must have none.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from serving.scorer.errors import NotAVersion, WrongDigest

FILES_TAG = "slipway.files_digest"
"""The digest of all files of a version, as the process that made them saw them."""

DIGEST_TAG, PINNED_TAG = "slipway.scorer_digest", "slipway.pinned_digest"
"""The digest of a version's scorer as it was registered, and as it was promoted: what a server may serve."""

SIGNATURE_TAG = "slipway.signature"
"""A signed statement of a version's files, name and number: a bundle of `serving.signatures`."""

ENTRY_TAG = "slipway.ledger_entry"
"""The mark of the newest entry about a version that was carried out: the ledger's run, the number, the hash."""

TRAINED_IN_TAG = "slipway.trained_in"
"""Of a version with new intervals: the run that its model was trained in."""

MONITORS = "slipway monitor: "
"""How the experiment begins that holds the run of a model's monitor; behind it stands the model's name."""

ALARM_TAG, WATCHED_TAG = "slipway.alarm", "slipway.watched_version"
"""Of a monitor's run: the alarms that stand, since when, and what moved, or `none`; and of which version."""

ADDED_BY_MLFLOW = "registered_model_meta"
BYTECODE = "__pycache__"


def only_files(folder: Path) -> Path:
    """Remove what MLflow and Python added to a version's folder, and return it."""
    (folder / ADDED_BY_MLFLOW).unlink(missing_ok=True)
    for bytecode in sorted(folder.rglob(BYTECODE)):
        if bytecode.is_dir() and not bytecode.is_symlink():
            shutil.rmtree(bytecode, ignore_errors=True)
        else:
            bytecode.unlink(missing_ok=True)
    return folder


def paths_in(folder: Path, *, bytecode: bool = False) -> list[str]:
    """Return the version's files, relative to its folder, in order; raises NotAVersion for what is no plain file.

    `bytecode` lists Python's too, which could be loaded with them.
    """
    paths = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or "\n" in name or "\\" in name:
            raise NotAVersion(file=name)
        if path.is_file() and name != ADDED_BY_MLFLOW and (bytecode or BYTECODE not in name.split("/")):
            paths.append(name)
    return sorted(paths)


def files_digest(folder: Path) -> str:
    """Return the digest of all files of a version; raises NotAVersion."""
    lines = [f"{digest}  {name}\n" for name, digest in digests_in(folder).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digests_in(folder: Path, *, ignored: str = "", bytecode: bool = False) -> dict[str, str]:
    """Return the SHA-256 of each file of a version, in the order of the paths; raises NotAVersion."""
    paths = paths_in(folder, bytecode=bytecode)
    return {name: sha256(folder / name) for name in paths if name != ignored}


def check_files(folder: Path, expected: str) -> None:
    """Raise WrongDigest unless the files in a folder are those of a digest."""
    digest = files_digest(folder)
    if digest != expected:
        raise WrongDigest(what="digest of all files", expected=expected, found=digest)


def sha256(path: Path) -> str:
    """Return the digest of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
