"""A version's signature in the registry: made of the files that are there now, kept as a tag of the version.

A tag is the version's own: two versions may share one model's files, and MLflow's copy of a version takes it along,
where it is refused as that of another name. Who signs needs no access to the artifact store but to read.
"""

from __future__ import annotations

from serving.errors import ServingError
from serving.scorer import version_files
from serving.signatures import SIGNATURE_FILE, Statement, Trust
from training.records import tag_names
from training.records.errors import NotSigned
from training.records.registry import model_registry
from training.signing import SigningKey


def signed(version: model_registry.Version, key: SigningKey, *, sequence: int) -> str:
    """Return a bundle that says what a version's files are; raises WrongFiles, Unvouched or NotLoadable."""
    files = version_files.digests_in(version.folder, ignored=SIGNATURE_FILE)
    return key.signed(Statement(files, version.name, version.number, sequence))


def keep(version: model_registry.Version, bundle: str) -> None:
    """Let the version bear it."""
    model_registry.tag(version.name, version.number, {tag_names.SIGNATURE: bundle})


def check(version: model_registry.Version, files: str, *, newest: int) -> str:
    """Return which of the keys in some files, by comma, signed a champion as it is; raises NotSigned.

    Parameters
    ----------
    newest : int
        The entry of the ledger that made it champion.
    """
    try:
        trust = Trust.in_files([path.strip() for path in files.split(",") if path.strip()])
        if trust is None:
            raise NotSigned("trust names no file: pass public keys in PEM, by comma")
        signed = trust.check(version.tags.get(tag_names.SIGNATURE), name=version.name, version=version.number)
        if signed.statement.sequence != newest:
            raise NotSigned(
                f"{version.name} version {version.number} is signed {signed.in_words}, entry {newest} made it "
                "champion: a server with --trust refuses it; sign it again"
            )
        signed.check_files(version.folder, whole=True)
    except ServingError as error:
        raise NotSigned(str(error)) from error
    return signed.in_words
