"""Whether what the registry names is what a trusted key signed: the version first, its files once they are here.

Whoever can write to MLflow can move an alias to an older version, with its old signature. So a signature says which
entry of the ledger made the version champion: under an alias that must be the newest, and none older than one that
this server has seen. A version that is asked for by its number was chosen by who asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serving.settings import Model
from serving.signatures import SIGNATURE_FILE, Signed, Trust, signature_beside
from serving.signatures.errors import NotTrusted


@dataclass(frozen=True)
class Place:
    """Where an alias has to be.

    Attributes
    ----------
    newest : int or None
        The newest entry of the ledger that moved the alias, 0 without one; None where nobody can say now.
    seen : int
        The newest entry that was served here.
    """

    newest: int | None
    seen: int = 0


def signed_version(
    trust: Trust, bundle: str | None, *, name: str, version: str, place: Place | None
) -> Signed:
    """Return what a trusted key signed of a version; raises NotTrusted.

    Parameters
    ----------
    place : Place or None
        None for a version that was asked for by its number.
    """
    if not name:
        fault = "only a registered version is signed: point to models:/NAME@ALIAS or models:/NAME/VERSION"
        raise NotTrusted(version="what --model points to", fault=fault)
    signed = trust.check(bundle, name=name, version=version)
    if place is not None and (fault := _misplaced(signed.statement.sequence, place)):
        raise NotTrusted(version=f"{name} version {version}", fault=fault)
    return signed


def _misplaced(sequence: int, place: Place) -> str:
    if not sequence:
        return "it was signed before it was promoted: sign it again"
    if sequence < place.seen:
        return (
            f"it was signed for entry {sequence} of the ledger, and entry {place.seen} was served here already: "
            "go back with rollback, which signs again; after a restored registry start with a new --cache"
        )
    if place.newest is not None and sequence != place.newest:
        now = f"the newest is entry {place.newest}" if place.newest else "there is none now"
        return f"it was signed for entry {sequence} of the ledger, {now}: go back with rollback, or sign it again"
    return ""


def check_signed_folder(trust: Trust, model: Model, root: Path) -> None:
    """Hold a version's folder to the signature that lies in it; raises NotTrusted."""
    of, bundle = f"the version in {root.name}", signature_beside(root)
    if not bundle:
        raise NotTrusted(version=of, fault=f"there is no {SIGNATURE_FILE} beside its files")
    trust.signed_in(bundle, of).check_files(Path(model.folder), whole=model.runtime == "pyfunc")
