"""A table -> a folder of Parquet files, one for each part of it, written by whoever shares the work.

    part-00007-5f0c9a....parquet   rows of one part of the input, in their order
    _manifest.json                 written last: the folder is whole, and these are its parts

A part's name is a hash of the model's digest, of what is asked, and of where its rows stand in which state of their
file. So a second run does what lacks, and nobody needs to know who did the rest. A file gets its name when it is whole
(`serving.batch.outputs`), and its bytes follow from its name: two who write the same part write the same. What was
killed on a disk leaves a file that begins with a point, which readers leave out and the one who finishes throws away.

A folder may be a Delta table, too. Its log is written before the manifest, and parts that only its earlier versions
have stay.

It knows no engine: `serving.batch.engines` says who scores which part. What else is in the folder, and who else writes
there, `serving.batch.upkeep` knows.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from data.redaction import redact_address
from data.sources import Part, Source
from serving.batch.beside import Options, contributions
from serving.batch.outputs import PartFile, PartFolder, committed, table_columns
from serving.batch.tallies import SHOWN_FAULTS, Report
from serving.batch.upkeep import KeptFolder, check_folder, manifest_of, part_name
from serving.batch.whole_file import score_source
from serving.errors import BadOutput, Fault, FaultyRows
from serving.scorer import Scorer

NOTE = "slipway.part"
"""In a part's footer: what was counted while it was written."""
AT_ONCE = 16
"""Parts that are looked at at the same time, which costs a journey to a store each."""


@dataclass(frozen=True)
class Done:
    """A part that is written, or the faults for which it is not.

    Attributes
    ----------
    rows, unscored, unseen
        As in `Report`, of this part.
    names : tuple of str
        Of the columns of the prediction and its interval.
    faults, count
        The first faults, rows counted from 1 in this part, and how many there are; the part is not written then.
    sha256 : str
        Of the part's bytes, "" where it would have to be read.
    """

    rows: int
    unscored: int = 0
    unseen: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    count: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Work:
    """What is to be written, as everyone who shares it is told.

    Attributes
    ----------
    folder : PartFolder
        Where the parts go, which everyone who writes sees under this name.
    parts : tuple of Part
        Of the input, in order.
    digest : str
        Of the model.
    facts : mapping
        What the manifest says beside the parts: the model's name and version, the input.
    delta : bool
        Whether the folder is to be a Delta table.
    run : str
        What tells this run from others where the input does not say its state: a file that is there never changes.
    """

    folder: PartFolder
    parts: tuple[Part, ...]
    options: Options
    digest: str
    facts: Mapping[str, str]
    delta: bool = False
    run: str = ""

    @classmethod
    def on(
        cls,
        folder: PartFolder,
        source: Source,
        scorer: Scorer,
        options: Options,
        facts: Mapping[str, str],
        *,
        delta: bool = False,
    ) -> Work:
        """Divide a source; raises BadOutput or OutOfReach for the folder, and DataError for the source."""
        if options.explain:
            contributions(scorer)
        parts = tuple(source.knowing(scorer.schema).parts())
        if not parts:
            raise BadOutput(reason=f"{source.where} has no rows to score", repair="pass rows")
        check_folder(folder, source.where, delta=delta)
        facts = {**facts, "input": redact_address(source.where)}
        return cls(folder, parts, options, scorer.digest, facts, delta, secrets.token_hex(8))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parts' files, in the order of the input."""
        said = (self.digest, asdict(self.options))
        return tuple(
            part_name(index, [*said, part.identity or part.label + self.run])
            for index, part in enumerate(self.parts)
        )

    @cached_property
    def kept(self) -> KeptFolder:
        """The folder, as it is to be in the end."""
        return KeptFolder(self.folder, self.names, self.delta)

    def done(self, index: int) -> Done | None:
        """Return what a part holds that is written already, None where it is not, or not whole; raises OutOfReach."""
        name = self.names[index]
        if self.folder.size(name) is None:
            return None
        try:
            with self.folder.opened(name) as file:
                noted = pa_parquet.read_metadata(file).metadata or {}
            facts = json.loads(noted[NOTE.encode()])
            return Done(facts["rows"], facts["unscored"], facts["unseen"], tuple(facts["names"]))
        except (OSError, pa.ArrowException, KeyError, ValueError):
            return None

    def columns(self, index: int) -> pa.Schema:
        """Return what a part that is written has."""
        with self.opened(index) as file:
            return pa_parquet.read_schema(file)

    def opened(self, index: int) -> BinaryIO:
        """Open a part that is written; raises BadOutput where another one took it away."""
        try:
            return self.folder.opened(self.names[index])
        except FileNotFoundError as error:
            raise self.kept.lost("a part") from error

    def score(self, index: int, scorer: Scorer) -> Done:
        """Write a part, or return its faults; raises DataError or ServingError for what is no fault of a row."""
        source, report = self.parts[index].source, Report()
        digests: list[str] = []
        output = _hashed(self.kept.whole(self.names[index]), digests)
        try:
            score_source(scorer, source, output, ".parquet", self.options, note=_noted, report=report)
        except FileNotFoundError as error:  # who finished in between threw away what was written
            if done := self.done(index):
                return done
            if self.names[index] in str(error):
                raise self.kept.lost("a part") from error
            raise
        except FaultyRows as error:
            return Done(report.rows, faults=tuple(error.faults), count=error.count)
        return Done(report.rows, report.unscored, report.unseen, report.names, sha256=digests[0])


@contextmanager
def _hashed(output: AbstractContextManager[Path], digests: list[str]) -> Iterator[Path]:
    """Yield where to write, and append the digest of what was written before it is named."""
    with output as partial:
        yield partial
        with partial.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())


def _noted(report: Report) -> dict[str, str]:
    facts = {name: getattr(report, name) for name in ("rows", "unscored", "unseen", "names")}
    return {NOTE: json.dumps(facts, sort_keys=True)}


Engine = Callable[[Work, Sequence[int]], Iterator[tuple[int, Done]]]
"""Scores some parts of the work, in any order."""


def score_parts(
    work: Work,
    engine: Engine,
    *,
    share: tuple[int, int] = (0, 1),
    on_rows: Callable[[int], None] = lambda _: None,
) -> Report | None:
    """Write what lacks of the parts, and the manifest once all are there.

    Parameters
    ----------
    share : (int, int)
        Which of how many shares of the parts is done here: 2 of 10 is every tenth part from the third one on.

    Returns
    -------
    Report or None
        Of the whole folder; None where others have not written their parts yet.

    Raises
    ------
    FaultyRows
        The parts without faults are written, the manifest is not.
    """
    which, of = share
    if of > 1 and not all(part.identity for part in work.parts):
        raise BadOutput(reason=f"nobody can share {work.facts['input']}", repair="leave out parts= and part=")
    digests = work.kept.begin()
    mine = range(which, len(work.parts), of)
    written = _written(work, (index for index in mine if work.parts[index].identity), digests)
    lacking = [index for index in mine if index not in written]
    if lacking:
        work.kept.withdraw_unless(lambda: all(work.done(index) for index in lacking))
    report, faulty = Report(), {}
    for index, done in engine(work, lacking):
        if done.count:
            faulty[index] = done
        elif work.delta and not report.rows:
            table_columns([work.columns(index)])  # an hour later would be late
        written[index] = done
        report.rows += done.rows
        on_rows(report.rows)
    if faulty:
        raise _refused(work, faulty)
    return _finish(work, written, digests)


def _written(work: Work, indexes: Iterable[int], digests: Mapping[str, str]) -> dict[int, Done]:
    """Return those parts that are whole, with the digests that are known of some."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        known = pool.map(lambda index: (index, work.done(index)), indexes)
        found = {index: done for index, done in known if done}
    return {index: replace(done, sha256=digests.get(work.names[index], "")) for index, done in found.items()}


def _refused(work: Work, faulty: Mapping[int, Done]) -> FaultyRows:
    """Return the first faults, with rows counted from the input's first one as far as that is known."""
    faults: list[Fault] = []
    outcome = "the folder is not finished"
    for index, done in sorted(faulty.items()):
        rows = [each.rows if each else None for each in _known(work, faulty, index)]
        if None in rows:  # others have it, and are not done with it
            outcome += f" (rows of {work.parts[index].label})"
            faults += done.faults
            break
        first = sum(filter(None, rows))
        for fault in done.faults[: SHOWN_FAULTS - len(faults)]:
            row = None if fault.row is None else fault.row + first
            faults.append(Fault(row, fault.column, fault.expected, fault.found))
    count = sum(done.count for done in faulty.values())
    return FaultyRows(faults=faults, count=count, outcome=outcome)


def _known(work: Work, faulty: Mapping[int, Done], stop: int) -> Iterator[Done | None]:
    """Yield what is known of the parts before one."""
    return (faulty.get(index) or work.done(index) for index in range(stop))


def _finish(work: Work, written: Mapping[int, Done], digests: Mapping[str, str]) -> Report | None:
    """Write the manifest if all parts are there, and take away what belongs to no part of this work."""
    others = _written(work, (index for index in range(len(work.parts)) if index not in written), digests)
    done = {**written, **others}
    if len(done) < len(work.parts):
        work.kept.check([work.names[index] for index in written])
        return None
    report, content = _described(work, done)

    def commit() -> None:
        if work.delta:
            report.table = _commit(work, done)

    work.kept.finish(content, commit)
    return report


def _described(work: Work, done: Mapping[int, Done]) -> tuple[Report, bytes]:
    """Return what is in the folder, and the manifest that says so."""
    report, described = Report(), []
    for index, (name, part) in enumerate(zip(work.names, work.parts, strict=True)):
        each = done[index]
        report.add(each.rows, each.unscored, each.unseen)
        report.names = each.names
        digest = each.sha256 or _digest(work, index)
        described.append({"file": name, "rows": each.rows, "sha256": digest, "input": part.label})
    said = {
        **work.facts,
        "digest": work.digest,
        "options": asdict(work.options),
        "rows": report.rows,
        "unscored": report.unscored,
        "unseen": report.unseen,
    }
    return report, manifest_of(said, described)


def _commit(work: Work, done: Mapping[int, Done]) -> int:
    """Return the version of a Delta table that has these parts."""

    def looked_at(index: int) -> tuple[PartFile, pa.Schema]:
        name = work.names[index]
        return PartFile(name, work.folder.size(name) or 0, done[index].rows), work.columns(index)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        files, columns = zip(*pool.map(looked_at, range(len(work.parts))), strict=True)
    said = {f"slipway.{name}": fact for name, fact in {**work.facts, "digest": work.digest}.items()}
    return committed(str(work.folder), files, columns, said)


def _digest(work: Work, index: int) -> str:
    with work.opened(index) as file:
        return hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()
