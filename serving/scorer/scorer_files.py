"""The scorer's two files in a folder, and the one that explains: read, written, and their digest.

The digest is that of two files. The third, where there is one, is covered by it too: the document holds its SHA-256.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from serving.scorer.document import DOCUMENT_FILE, Document, canonical, read_document
from serving.scorer.errors import NotAScorer, WrongDigest

__all__ = [
    "DOCUMENT_FILE",
    "EXPLAIN_FILE",
    "FILES",
    "GRAPH_FILE",
    "LARGEST_FILE",
    "digest_in",
    "digest_of",
    "document_in",
    "explain_in",
    "read",
    "write",
]

GRAPH_FILE = "model.onnx"
EXPLAIN_FILE = "explain.safetensors"
"""What explains predictions; versions without it are as good otherwise."""
FILES = (GRAPH_FILE, DOCUMENT_FILE, EXPLAIN_FILE)
LARGEST_FILE = 2**30
"""A graph or document beyond a gibibyte is refused unread."""


def read(folder: Path) -> tuple[bytes, bytes]:
    """Return the bytes of the graph and of the document; raises NotAScorer."""
    return _read(folder / GRAPH_FILE), _read(folder / DOCUMENT_FILE)


def write(folder: Path, graph: bytes, document: Document, explain: bytes | None = None) -> None:
    """Write the files into a folder that exists; the document says the SHA-256 of what explains."""
    if explain is not None:
        document = replace(document, explain=hashlib.sha256(explain).hexdigest())
        (folder / EXPLAIN_FILE).write_bytes(explain)
    (folder / GRAPH_FILE).write_bytes(graph)
    (folder / DOCUMENT_FILE).write_bytes(canonical(document.as_dict()))


def document_in(folder: Path) -> Document:
    """Return a folder's document; raises NotAScorer."""
    return read_document(_read(folder / DOCUMENT_FILE))[0]


def digest_in(folder: Path) -> str:
    """Return the digest of a folder's files; raises NotAScorer, or WrongDigest for another file that explains."""
    graph, content = read(folder)
    document, canonical_content = read_document(content)
    explain_in(folder, document)
    return digest_of(graph, canonical_content)


def explain_in(folder: Path, document: Document) -> bytes | None:
    """Return what explains the version in a folder, if anything does; raises NotAScorer or WrongDigest."""
    if not document.explain:
        return None
    content = _read(folder / EXPLAIN_FILE)
    result = hashlib.sha256(content).hexdigest()
    if result != document.explain:
        raise WrongDigest(what=f"SHA-256 of {EXPLAIN_FILE}", expected=document.explain, found=result)
    return content


def digest_of(graph: bytes, canonical_document: bytes) -> str:
    """Return the version's digest: SHA-256 over the SHA-256 of the graph and that of the document."""
    parts = hashlib.sha256(graph).digest() + hashlib.sha256(canonical_document).digest()
    return hashlib.sha256(parts).hexdigest()


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise NotAScorer(file=path.name, reason=f"has {size} bytes, at most {LARGEST_FILE} are read")
        return path.read_bytes()
    except OSError as error:
        raise NotAScorer(file=path.name, reason=f"cannot be read ({error.strerror})") from error
