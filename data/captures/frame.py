"""Rows that were predicted within a moment by one version, as a record; and how its columns are to be read.

A frame's matrix holds the columns that its layout names, packed as `data.schema` says. The text of a category that
training never saw is not in the matrix, so it stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.captures.records import Record
from data.schema import Column

Floats = NDArray[np.float64]

Key = tuple[str, str, str]
"""Model, version and digest: the same files may be registered twice, and are two versions then."""

LAYOUT, ROWS = "layout", "rows"
"""Kinds of records."""


class KeptRequest(NamedTuple):
    """What came together.

    Attributes
    ----------
    start : int
        The row of the frame at which it begins.
    offset : float
        Seconds after the frame's begin.
    caller_id : str
        By which the caller knows it; empty where none was given.
    """

    start: int
    offset: float
    caller_id: str = ""


class Unseen(NamedTuple):
    """The text of a category that training never saw."""

    row: int
    column: str
    text: str


@dataclass(frozen=True)
class FrameLayout:
    """Whose rows a file's frames hold: it comes before the first of them.

    Attributes
    ----------
    model, version, digest : str
        As the server names them.
    columns : tuple of Column
        Those that are kept, in the matrix's order.
    hashed : tuple of str
        Of these, the categories that are written as a keyed hash.
    """

    model: str
    version: str
    digest: str
    columns: tuple[Column, ...]
    hashed: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What the frames have that are its own."""
        return self.model, self.version, self.digest

    def head(self) -> dict[str, Any]:
        """Return the head of its record."""
        return {
            "kind": LAYOUT,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "columns": [column.as_dict() for column in self.columns],
            "hashed": list(self.hashed),
        }

    @classmethod
    def of(cls, record: Record) -> FrameLayout | None:
        """Return the layout that a record holds, None where it holds something else; raises ValueError."""
        head = record.head
        if head.get("kind") != LAYOUT:
            return None
        columns = [Column.from_dict(each) for each in _listed(head, "columns")]
        return cls(head["model"], head["version"], head["digest"], tuple(columns), tuple(head["hashed"]))


@dataclass(frozen=True)
class Frame:
    """Rows of one version that were predicted within a moment.

    Attributes
    ----------
    id : str
        What the ids of its rows begin with.
    model, version, digest : str
        Which layout is its own.
    milliseconds : int
        When it was begun, since 1970.
    share : float
        Of the requests of that moment that were kept.
    matrix : float64 array of shape (n_rows, n_kept_columns)
    predictions : float64 array of shape (n_rows,)
    scale : float64 array of shape (n_rows,)
        NaN where no interval was asked for.
    requests : tuple of Request
        In order; the first begins at row 0.
    unseen : tuple of Unseen
    """

    MOST_ROWS: ClassVar[int] = 2**24
    """The ids have so many places."""
    MOST_ID_BYTES: ClassVar[int] = 128
    """Of a caller's id."""

    id: str
    model: str
    version: str
    digest: str
    milliseconds: int
    share: float
    matrix: Floats
    predictions: Floats
    scale: Floats
    requests: tuple[KeptRequest, ...]
    unseen: tuple[Unseen, ...] = ()

    @property
    def key(self) -> Key:
        """Its layout's."""
        return self.model, self.version, self.digest

    def head(self) -> dict[str, Any]:
        """Return the head of its record."""
        return {
            "kind": ROWS,
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "at": self.milliseconds,
            "share": self.share,
            "rows": len(self.predictions),
            "requests": self.requests,
            "unseen": self.unseen,
        }

    def parts(self) -> Sequence[memoryview]:
        """Return the parts of its record: little-endian float64 each."""
        written = (np.ascontiguousarray(each, "<f8") for each in (self.matrix, self.predictions, self.scale))
        return [each.reshape(-1).view(np.uint8).data for each in written]

    @classmethod
    def of(cls, record: Record) -> Frame | None:
        """Return the frame that a record holds, None where it holds something else; raises ValueError."""
        head = record.head
        if head.get("kind") != ROWS:
            return None
        rows = head["rows"]
        matrix, predictions, scale = (np.frombuffer(part, "<f8").astype(np.float64) for part in record.parts)
        if len(predictions) != rows or len(scale) != rows:
            raise ValueError(f"says {rows} rows and holds {len(predictions)}")
        return cls(
            id=head["id"],
            model=head["model"],
            version=head["version"],
            digest=head["digest"],
            milliseconds=head["at"],
            share=head["share"],
            matrix=matrix.reshape(rows, -1),
            predictions=predictions,
            scale=scale,
            requests=tuple(KeptRequest(*each) for each in _listed(head, "requests")),
            unseen=tuple(Unseen(*each) for each in _listed(head, "unseen")),
        )


def _listed(head: Mapping[str, Any], key: str) -> list[Any]:
    result = head[key]
    if not isinstance(result, list):
        raise ValueError(f"has no list of {key}")  # noqa: TRY004 - as for all that is wrong in a file
    return result
