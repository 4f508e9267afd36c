"""Where --model points -> a version's files on this machine: a folder's own, or the cache's."""

from __future__ import annotations

import logging
from pathlib import Path

from serving.registry.answers import ResolvedVersion, is_alias, is_remote, resolve, signed_for, vouched
from serving.registry.cache import Cache
from serving.registry.downloads import SCORER_FOLDER
from serving.registry.errors import ModelNotFound
from serving.registry.signed import check_signed_folder
from serving.scorer import scorer_files
from serving.settings import Model
from serving.signatures import Trust

logger = logging.getLogger(__name__)


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
