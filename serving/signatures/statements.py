"""What a signature says of a version: its name, its number, its entry in the ledger, and the SHA-256 of each file.

It is an in-toto statement with the predicate of OpenSSF Model Signing v1.0, so that other tools check the files by it.
The member `slipway` of the predicate is ours: v1.0 lets others ignore what they do not know. It knows no key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
IGNORED = ("registered_model_meta", "scorer.sig")
"""Files beside a version's own: MLflow's, where it fetches one, and the signature."""

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Statement:
    """One version, file by file.

    Attributes
    ----------
    files : dict of path to SHA-256 in hex
        Relative to the version's folder.
    name, version : str
        As registered; "" where another tool signed a folder.
    sequence : int
        The entry of the ledger that made it champion; 0 for none.
    """

    files: Mapping[str, str]
    name: str = ""
    version: str = ""
    sequence: int = 0

    @property
    def digest(self) -> str:
        """The digest of all files, as `scorer.version_files.files_digest` has it."""
        lines = [f"{self.files[path]}  {path}\n" for path in sorted(self.files)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def as_json(self) -> bytes:
        """Return what is signed."""
        resources = [
            {"name": path, "algorithm": "sha256", "digest": digest}
            for path, digest in sorted(self.files.items())
        ]
        serialization = {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": list(IGNORED),
        }
        about = {"name": self.name, "version": self.version, "sequence": self.sequence}
        written = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": f"{self.name}/{self.version}", "digest": {"sha256": _root(self.files)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"serialization": serialization, "resources": resources, "slipway": about},
        }
        return json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode()


def read_statement(payload: bytes) -> Statement:
    """Read what was signed; raises ValueError with what is wrong with it."""
    written = _object(json.loads(payload), "the statement")
    if written.get("_type") != STATEMENT_TYPE:
        raise ValueError(f"its statement is of type {str(written.get('_type'))[:60]!r}")
    if written.get("predicateType") != PREDICATE_TYPE:
        raise ValueError(f"its predicate is of type {str(written.get('predicateType'))[:60]!r}")
    predicate = _object(written.get("predicate"), "the predicate")
    files = _files(predicate.get("resources"))
    if _subject(written.get("subject")) != _root(files, in_order=True):
        raise ValueError("its subject is not the digest of the files that it lists")
    about = _object(predicate.get("slipway", {}), "the member slipway")
    name, version, sequence = about.get("name", ""), about.get("version", ""), about.get("sequence", 0)
    if not isinstance(name, str) or not isinstance(version, str) or type(sequence) is not int or sequence < 0:
        raise ValueError("its member slipway does not name a version")
    return Statement(files, name, version, sequence)


def _files(resources: Any) -> dict[str, str]:
    result: dict[str, str] = {}
    if not isinstance(resources, list) or not resources:
        raise ValueError("it lists no files")
    for each in resources:
        resource = _object(each, "a file's entry")
        path, digest = str(resource.get("name")), str(resource.get("digest"))
        if resource.get("algorithm") != "sha256" or not SHA256.fullmatch(digest):
            raise ValueError(f"it has no SHA-256 of {path[:60]!r}: sign with sha256, file by file")
        if path in result or path.startswith("/") or {"..", ".", ""} & set(path.split("/")):
            raise ValueError(f"it lists {path[:60]!r}, which is no file of one folder, or twice there")
        result[path] = digest
    return result


def _subject(subject: Any) -> str:
    if not isinstance(subject, list) or len(subject) != 1:
        raise ValueError("it has not one subject")
    return str(_object(_object(subject[0], "the subject").get("digest"), "its digest").get("sha256"))


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")  # noqa: TRY004 - all that is wrong with a text is a ValueError
    return value


def _root(files: Mapping[str, str], *, in_order: bool = False) -> str:
    """Return the SHA-256 of the files' digests, one after the other: as listed, or in the order of the paths."""
    paths = files if in_order else sorted(files)
    return hashlib.sha256(b"".join(bytes.fromhex(files[path]) for path in paths)).hexdigest()
