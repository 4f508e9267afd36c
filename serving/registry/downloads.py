"""A version's files from MLflow's artifact store: the scorer's by name, or the whole folder.

Of a version for the scorer no pickle, no `code/` and no MLmodel is fetched.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from serving.registry.answers import LOGGED, ResolvedVersion
from serving.registry.errors import ModelNotFound
from serving.scorer import scorer_files, version_files

SCORER_FOLDER = "scorer"


def download_files(resolved: ResolvedVersion, folder: Path) -> None:
    """Put the scorer's files into a folder; raises ModelNotFound."""
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


def download_whole(resolved: ResolvedVersion, folder: Path) -> Path:
    """Put all files of a version into a folder, and return where; raises ModelNotFound or ModelError."""
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
