"""Where --model points -> a local folder with the scorer's two files. The parent process calls this.

The only module of `serving` that imports mlflow, and only for what is not a local folder. It
fetches `scorer/` alone: no pickle, no `code/`, no environment.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from serving.errors import ModelNotFound

REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")
SCORER_FOLDER = "scorer"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Located:
    """A version on this machine."""

    folder: Path
    name: str = ""
    version: str = ""


def locate(uri: str, cache: Path) -> Located:
    """Return the scorer's folder, downloaded into `cache` where it is not local; raises ModelNotFound."""
    if re.match(r"[a-z]+:/", uri):
        return _fetch(uri, cache)
    root = Path(uri)
    for folder in (root / SCORER_FOLDER, root):
        if (folder / "scorer.json").is_file():
            return Located(folder.resolve(), name=root.resolve().name)
    raise ModelNotFound(
        uri=uri, reason="no folder here holds scorer/scorer.json: pass a version that Slipway logged"
    )


def _fetch(uri: str, cache: Path) -> Located:
    registered = REGISTERED.fullmatch(uri)
    if not registered and not uri.startswith("runs:/"):
        raise ModelNotFound(
            uri=uri, reason="write models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH or a folder"
        )
    import mlflow  # noqa: PLC0415 - 2 s that a local folder does not need

    try:
        name, version = "", ""
        if registered:
            name, version = registered["name"], registered["version"]
            if version is None:
                client = mlflow.MlflowClient()
                version = str(client.get_model_version_by_alias(name, registered["alias"]).version)
            uri = f"models:/{name}/{version}"
        folder = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{uri}/{SCORER_FOLDER}", dst_path=str(cache)
        )
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ModelNotFound(uri=uri, reason=str(error).splitlines()[0]) from error
    return Located(Path(folder), name, version)


def record_refusal(reason: str) -> None:
    """Write why a command was refused on the run that `mlflow run` opened for it, if there is one."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    import mlflow  # noqa: PLC0415 - see above

    try:
        mlflow.MlflowClient().set_tag(run_id, "slipway.reason", reason[:5000])
    except (mlflow.exceptions.MlflowException, OSError) as error:
        logger.warning("run %s: its reason could not be recorded: %s", run_id, error)
