"""What is kept of a version's columns: some are left out, and some categories written as a keyed hash.

The hashes stand in their own order, so that a code says nothing of the category that it had in the model. A version
that comes later may have other columns: what cannot be hashed in it is left out, never written as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.captures import FrameLayout, Unseen
from data.column_names import matching
from data.schema import Column
from serving.rows.cells import Texts
from serving.runtimes import Runtime
from serving.scorer import Floats
from serving.settings import CaptureRules

MOST_TEXT = 64
"""Bytes of an unseen category's text."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptColumns:
    """One version's.

    Attributes
    ----------
    layout : Layout
        As it is written.
    places : integer array
        Of the kept columns in the model's matrix.
    codes : mapping of place among the kept columns to float array
        The new code of each old one, of hashed columns.
    key : bytes
        Of the hashes.
    """

    layout: FrameLayout
    places: NDArray[np.intp]
    codes: dict[int, Floats]
    key: bytes
    is_whole: bool

    @classmethod
    def of(cls, runtime: Runtime, rules: CaptureRules, key: bytes) -> KeptColumns:
        """Return what is kept of a version."""
        described = runtime.description
        names = [column.name for column in described.columns]
        left = {matching(word, names) for word in rules.exclude}
        hashed = {matching(word, names) for word in rules.hashed}
        clear = {column.name for column in described.columns if column.kind != "category"} & hashed
        if clear:
            logger.error(
                "version %s: %s is no category now and cannot be hashed: it is left out of the captures",
                described.label,
                ", ".join(sorted(clear)),
            )
        left |= clear
        indexes = [index for index, name in enumerate(names) if name not in left]
        kept = [described.columns[index] for index in indexes]
        codes = {}
        for index, column in enumerate(kept):
            if column.name in hashed:
                kept[index], codes[index] = _hashed(column, key)
        layout = FrameLayout(
            model=runtime.model.name or described.name,
            version=described.label,
            digest=described.digest,
            columns=tuple(kept),
            hashed=tuple(kept[index].name for index in codes),
        )
        return cls(
            layout, np.array(indexes, dtype=np.intp), codes, key, len(kept) == len(names) and not codes
        )

    def matrix(self, whole: Floats) -> Floats:
        """Return the rows of a version's matrix as they are written."""
        if self.is_whole:
            return whole
        kept = whole[:, self.places]
        for index, codes in self.codes.items():
            known = kept[:, index] >= 0
            kept[known, index] = codes[kept[known, index].astype(np.intp)]
        return kept

    def unseen(self, texts: Iterable[tuple[int, Texts]]) -> tuple[Unseen, ...]:
        """Return the texts of requests, each with its first row, as they are written."""
        kept = {column.name for column in self.layout.columns}
        return tuple(
            Unseen(start + row, column, self._written(column, text))
            for start, some in texts
            for row, column, text in some
            if column in kept
        )

    def _written(self, column: str, text: str) -> str:
        if column in self.layout.hashed:
            return hash_of(text, self.key)
        return text.encode(errors="replace")[:MOST_TEXT].decode(errors="ignore")


def read_key(path: str) -> bytes:
    """Return the key in a file, without the line's end; nothing where none is named. Raises OSError."""
    return Path(path).read_bytes().strip() if path else b""


def hash_of(text: str, key: bytes) -> str:
    """Return what is written in place of a category: HMAC-SHA256 of its UTF-8 text, in hex."""
    return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _hashed(column: Column, key: bytes) -> tuple[Column, Floats]:
    hashes = [hash_of(category, key) for category in column.categories]
    order = np.argsort(hashes)
    codes = np.empty(len(hashes))
    codes[order] = np.arange(len(hashes))
    named = replace(column, categories=tuple(hashes[index] for index in order), reading=None)
    return named, codes
