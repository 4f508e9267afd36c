"""A place that rows can be read from, opened but not yet read; what every kind of it has in common."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from data.errors import DuplicateColumns, EmptySource, UnreadableSource, nearest
from data.schema import Schema

BATCH_ROWS = 65_536
"""Rows that are read at a time where nobody asks for another number."""

PART_BYTES, MOST_PARTS = 8 * 2**20, 1_000
"""The size of a part of a small table, and their number in a large one."""


@dataclass(frozen=True)
class Source:
    """A place that rows can be read from, opened but not yet read.

    Attributes
    ----------
    where : str
        As the user wrote it, without a password.
    is_text : bool
        Whether every value arrives as text (CSV), so that its kind is still to be found.
    """

    where: str
    is_text: bool = False

    @property
    def version(self) -> str:
        """The address that gives these rows again whatever is written later, "" where there is none."""
        return ""

    @property
    def notes(self) -> Sequence[str]:
        """How it is read, where that is not what everybody would expect, in lines."""
        return [f"{self.version}, a version of the table"] if self.version else ()

    def about_rows(self) -> int:
        """Return about how many rows there are, 0 where only reading them would tell."""
        return 0

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, at most `rows` at a time."""
        raise NotImplementedError

    def parts(self) -> Sequence[Part]:
        """Return the rows in parts that can be read by themselves, in order; raises SourceError."""
        return [Part(self, self.where)]

    def knowing(self, schema: Schema) -> Source:  # noqa: ARG002 - only text has words for a missing value
        """Return the same for a model that exists: words that are its categories stay words."""
        return self

    def read(self) -> pa.Table:
        """Return all rows in order; raises EmptySource where there are none."""
        batches = [batch for batch in self.batches() if batch.num_rows]
        if not batches:
            raise EmptySource(where=self.where)
        return pa.Table.from_batches(batches)


@dataclass(frozen=True)
class Part:
    """Some rows of a source.

    Attributes
    ----------
    source : Source
        These rows alone; it may be sent to another process, which sees the same files.
    label : str
        Where they stand, in words.
    identity : str
        What tells them from other rows, from what stood there before the file was changed, and from themselves where
        another file makes their columns of another kind; "" where nothing does.
    """

    source: Source
    label: str
    identity: str = ""


def mark_of(kinds: Mapping[str, pa.DataType]) -> str:
    """Return what tells columns of these kinds from others."""
    said = json.dumps([(name, str(kind)) for name, kind in kinds.items()])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def part_bytes(total: int) -> int:
    """Return how many bytes a part has, by those of all: a thousand parts at most where none needs to be small.

    It depends on the input alone, so that all who share the work find the same parts.
    """
    return max(PART_BYTES, total // MOST_PARTS)


def unreadable(where: str, error: Exception) -> UnreadableSource:
    """Return what to say where a reader stopped: the first line of its own reason."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return UnreadableSource(where=where, reason=reason, repair="check that the file is whole and in UTF-8")


def refuse_duplicates(where: str, names: Sequence[str]) -> None:
    """Raise DuplicateColumns where a name stands twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DuplicateColumns(where=where, columns=twice)


def other_columns(path: str, header: Sequence[str], first: str, expected: Sequence[str]) -> UnreadableSource:
    """Return what to say of a file whose columns are not those of the first one, with the near miss."""
    other = next((name for name in header if name not in expected), None)
    lacking = [name for name in expected if name not in header]
    if other is None:
        reason = f"lacks the column {lacking[0]!r} that {first} has"
    else:
        near = nearest(other, lacking)
        reason = f"has a column {other!r} that {first} does not have"
        reason += f", which has {near!r}" if near else ""
    return UnreadableSource(where=path, reason=reason, repair="write the same header into each file")
