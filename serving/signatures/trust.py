"""Whether a key that the operator trusts has signed this version, at this place of the ledger, with these files.

The files of the keys are read at each question: a key that is added or taken away counts from the next version on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.scorer import scorer_files, version_files
from serving.signatures.bundles import LARGEST, Envelope, envelope_in
from serving.signatures.errors import BadTrust, NotTrusted
from serving.signatures.public_keys import PublicKey, key_in
from serving.signatures.statements import SHA256, Statement, read_statement

SIGNATURE_FILE = "scorer.sig"
"""In a version's folder, where it lies outside of MLflow."""

SIGN = "sign it: mlflow run . --env-manager local -e sign -P name={name} -P version={version}"
OURS = "scorer/"
"""Where a version keeps what answers."""


@dataclass(frozen=True)
class Signed:
    """What a trusted key signed, and the key's hint."""

    statement: Statement
    hint: str

    @property
    def in_words(self) -> str:
        """By which key, and for which entry of the ledger."""
        entry = f", entry {self.statement.sequence}" if self.statement.sequence else ""
        return f"by the key {self.hint[:16]}{entry}"

    def check_files(self, folder: Path, *, whole: bool = False) -> None:
        """Hold a folder to it: the scorer's files in it, or all files of a version; raises NotTrusted.

        Of all files, bytecode too: Python may run it instead of the source that was signed.
        """
        files = self.statement.files
        if whole:
            result = version_files.digests_in(folder, ignored=SIGNATURE_FILE, bytecode=True)
            expected = dict(files)
        else:
            here = [name for name in scorer_files.FILES if (folder / name).is_file()]
            result = {OURS + name: version_files.sha256(folder / name) for name in here}
            expected = {path: digest for path, digest in files.items() if path.startswith(OURS)}
        for path in sorted(expected.keys() | result.keys()):
            if result.get(path) != expected.get(path):
                word = "is changed" if path in result else "is absent"
                word = word if path in expected else "was added"
                of = f"{self.statement.name} version {self.statement.version}".removeprefix(" version ")
                raise NotTrusted(version=of or "the folder", fault=f"{path} {word} since it was signed")


@dataclass(frozen=True)
class Trust:
    """The public keys of those who may sign."""

    paths: tuple[Path, ...]

    @classmethod
    def in_files(cls, files: Sequence[str]) -> Trust | None:
        """Return the trust in some files, which are read once; None without any. Raises BadTrust."""
        trust = cls(tuple(Path(file).absolute() for file in files))
        return trust if trust.keys() else None

    def keys(self) -> list[PublicKey]:
        """Read all keys; raises BadTrust."""
        return [key_in(path) for path in self.paths]

    def signed_in(self, bundle: str, of: str) -> Signed:
        """Return what a trusted key signed; raises NotTrusted.

        Parameters
        ----------
        of : str
            The version in words, for errors.
        """
        try:
            envelope = envelope_in(bundle)
            key = self._signer(envelope)
            if key is None:
                named = (
                    f"by the key {envelope.hint[:16]}"
                    if SHA256.fullmatch(envelope.hint)
                    else "by another key"
                )
                raise NotTrusted(
                    version=of, fault=f"it was signed {named}, or changed since: {self._known()}"
                )
            return Signed(read_statement(envelope.payload), key.hint)
        except BadTrust as error:
            raise NotTrusted(version=of, fault=str(error)) from error
        except (ValueError, RecursionError) as error:
            raise NotTrusted(version=of, fault=f"its signature cannot be read: {error or 'JSON'}") from error

    def check(self, bundle: str | None, *, name: str, version: str) -> Signed:
        """Return what was signed of a registered version; raises NotTrusted."""
        of = f"{name} version {version}"
        if not bundle:
            raise NotTrusted(version=of, fault=f"it is not signed: {SIGN.format(name=name, version=version)}")
        signed = self.signed_in(bundle, of)
        statement = signed.statement
        if (statement.name, statement.version) != (name, version):
            said = (
                f"{statement.name} version {statement.version}" if statement.name else "a folder, no version"
            )
            raise NotTrusted(version=of, fault=f"its signature is that of {said}")
        return signed

    def _signer(self, envelope: Envelope) -> PublicKey | None:
        fits = [key for key in self.keys() if envelope.hint in ("", key.hint)]
        return next((key for key in fits if key.signed(envelope)), None)

    def _known(self) -> str:
        return "trusted are " + ", ".join(f"{key.hint[:16]} ({key.path.name})" for key in self.keys())


def signature_beside(folder: Path) -> str:
    """Return the bundle that lies in a version's folder, or nothing."""
    try:
        with (folder / SIGNATURE_FILE).open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST + 1)
    except OSError:
        return ""
