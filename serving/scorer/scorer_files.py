"""The scorer's two files in a folder: read, written, and their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from serving.errors import NotAScorer
from serving.scorer.document import DOCUMENT_FILE, Document, canonical, read_document

__all__ = [
    "DOCUMENT_FILE",
    "GRAPH_FILE",
    "LARGEST_FILE",
    "digest_in",
    "digest_of",
    "document_in",
    "read",
    "write",
]

GRAPH_FILE = "model.onnx"
LARGEST_FILE = 2**30
"""A graph or document beyond a gibibyte is refused unread."""


def read(folder: Path) -> tuple[bytes, bytes]:
    """Return the bytes of the graph and of the document; raises NotAScorer."""
    return _read(folder / GRAPH_FILE), _read(folder / DOCUMENT_FILE)


def write(folder: Path, graph: bytes, document: Document) -> None:
    """Write both files into a folder that exists."""
    (folder / GRAPH_FILE).write_bytes(graph)
    (folder / DOCUMENT_FILE).write_bytes(canonical(document.as_dict()))


def document_in(folder: Path) -> Document:
    """Return a folder's document; raises NotAScorer."""
    return read_document(_read(folder / DOCUMENT_FILE))[0]


def digest_in(folder: Path) -> str:
    """Return the digest of a folder's two files; raises NotAScorer."""
    graph, content = read(folder)
    return digest_of(graph, read_document(content)[1])


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
