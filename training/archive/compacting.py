"""Files of frames and labels become Parquet: each row once, wherever a process dies.

A source is read, its rows are written and named, and only then it goes. Whoever dies in between leaves the source, and
the next one writes the same files over the same ones. What cannot be read is counted and set aside, never deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from data.captures import Frame, FrameLayout, Places, Record, RecordFile
from training.archive.arrow import labels_of, rows_of
from training.archive.errors import NoCaptures
from training.archive.folders import named
from training.archive.keeping import Forgotten, forget
from training.archive.mirror import copied_to
from training.archive.segments import Segment
from training.archive.sources import CaptureFile, Left, alone, taken
from training.console import Say

MARK = 12
"""Letters of a version's digest in the name of a file: one folder may hold two, and no file does."""

NOT_OURS = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""What a record raises that is whole, and yet none of ours."""


@dataclass
class Compacted:
    """What was done.

    Attributes
    ----------
    rows : Counter of str
        By model and version, such as `flights 3`.
    labels, files : int
    torn, aside : int
        Bytes behind the last whole record of a file, and files with something that is not ours.
    """

    rows: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    files: int = 0
    torn: int = 0
    aside: int = 0
    left: Left = field(default_factory=Left)
    forgotten: Forgotten = field(default_factory=Forgotten)

    def sentences(self) -> Iterator[str]:
        """Say it."""
        written = [f"{rows:,} rows of {which}" for which, rows in sorted(self.rows.items())]
        written += [f"{self.labels:,} labels"] if self.labels else []
        yield f"{self.files} files: {', '.join(written) or 'nothing new'}"
        if self.torn or self.aside:
            yield f"{self.torn:,} bytes of torn ends and {self.aside} files that are not ours were set aside (*.aside)"
        if self.left.foreign:
            yield f"{len(self.left.foreign)} other files were left alone, such as {self.left.foreign[0]}"
        if self.forgotten != Forgotten():
            gone = self.forgotten
            yield (
                f"deleted as too old: {gone.hours} hours, {gone.days_of_labels} days of labels, "
                f"{gone.aside} files set aside"
            )


class _Reader(Protocol):
    """Takes the records of one source."""

    def take(self, record: Record, into: Segment) -> None:
        """Put a record's rows where they belong; raises one of `NOT_OURS`."""

    def count(self, result: Compacted) -> None:
        """Add what was taken."""


class _Frames:
    def __init__(self) -> None:
        self._layouts: dict[tuple[str, str, str], FrameLayout] = {}
        self._rows: Counter[str] = Counter()

    def take(self, record: Record, into: Segment) -> None:
        if layout := FrameLayout.of(record):
            self._layouts[layout.key] = layout
            return
        frame = Frame.of(record)
        if frame is None:
            raise ValueError("is neither layout nor rows")
        layout = self._layouts[frame.key]
        version = f"{named('model', layout.model)}/{named('version', layout.version)}"
        about = {"digest": layout.digest, "hashed": list(layout.hashed)}
        for hour, rows in _by_hour(rows_of(frame, layout)):
            folder = f"{version}/{hour:slipway_date=%Y-%m-%d/slipway_hour=%H}"
            into.add(folder, rows, layout.digest[:MARK], about)
        self._rows[f"{layout.model} {layout.version}"] += len(frame.predictions)

    def count(self, result: Compacted) -> None:
        result.rows.update(self._rows)


class _Labels:
    def __init__(self) -> None:
        self._labels = 0

    def take(self, record: Record, into: Segment) -> None:
        head = record.head
        if head["kind"] != "labels":
            raise ValueError("is no record of labels")
        day = datetime.fromtimestamp(head["received"] / 1_000, tz=UTC)
        table = labels_of(head)
        into.add(f"{named('model', head['model'])}/{day:slipway_received=%Y-%m-%d}", table)
        self._labels += len(table)

    def count(self, result: Compacted) -> None:
        result.labels += self._labels


def _by_hour(rows: pa.Table) -> Iterator[tuple[datetime, pa.Table]]:
    """Yield the hours that rows are of: those of a frame are of one, unless callers date them."""
    hours = pc.floor_temporal(rows["slipway_time"], unit="hour")
    for hour in pc.unique(hours):
        yield hour.as_py(), rows.filter(pc.equal(hours, hour))


def found_at(folder: str) -> Places:
    """Return the places of a folder of captures; raises NoCaptures."""
    places = Places(Path(folder))
    if not any(each.is_dir() for each in (places.frames, places.labels, places.predictions)):
        raise NoCaptures(where=folder, what="has no folder frames, labels or predictions")
    return places


def compact(places: Places, say: Say, keep: timedelta | None = None, to: str = "") -> Compacted:
    """Make Parquet of all that may be taken, delete what is older than `keep`, and copy the files to an address.

    Raises
    ------
    CapturesBusy
        Another one compacts the folder and does not end.
    CannotMirror
        The address cannot be written; all is here.
    OSError
        No room, or no right to write: all that was not written yet stays where it was.
    """
    result = Compacted()
    with alone(places.folder, lambda: say("wait", f"another process compacts {places.folder}")):
        for source in taken(places.frames, places.FRAMES, result.left):
            _compact(source, places.predictions, _Frames(), result)
        for source in taken(places.labels, places.LABELS, result.left):
            _compact(source, places.outcomes, _Labels(), result)
        if keep is not None:
            result.forgotten = forget(places, keep, datetime.now(tz=UTC))
    for sentence in result.sentences():
        say("compact", sentence)
    if to:
        say("copy", f"{copied_to(places, to)} files to {to}")
    return result


def _compact(source: CaptureFile, root: Path, reader: _Reader, result: Compacted) -> None:
    """Make Parquet of one source, and let it go."""
    file, unknown, content = RecordFile(source.path), 0, hashlib.blake2b(digest_size=6)
    segment = Segment(root, {"source": source.path.name})
    try:
        for record in file:
            _learn(content, record)
            unknown += not _was_taken(reader, record, segment)
        segment.finish(f"{source.stem}-{content.hexdigest()}")
    except BaseException:
        segment.drop()
        raise
    source.done(file.end, file.torn, unknown)
    reader.count(result)
    result.files += 1
    result.torn += file.torn
    result.aside += bool(unknown or (file.torn and not file.end))


def _was_taken(reader: _Reader, record: Record, segment: Segment) -> bool:
    try:
        reader.take(record, segment)
    except NOT_OURS:
        return False
    return True


def _learn(content: Any, record: Record) -> None:
    """Let a digest learn a record."""
    head: Mapping[str, Any] = record.head
    content.update(json.dumps(head, sort_keys=True).encode())
    for part in record.parts:
        content.update(part)
